package postgres_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/storetest"
)

func TestRecordsComeBack(t *testing.T) {
	s, _ := open(t)
	putOwners(t, s, 2)
	memory, cpu := 12, 99.5
	full := execution(now, func(e *sandtrail.Execution) {
		e.Success, e.TimedOut, e.MemoryUsed, e.CPUUsage = false, true, &memory, &cpu
		e.ErrorCount, e.WarningCount = 1, 2
		e.Classes, e.Metadata = []string{"A", "B"}, []byte(`{"errors":[{"severity":"error","message":"é, \"x\""}]}`)
	})
	bare := execution(now.Add(-time.Hour))
	if done := appendAll(t, s, full, bare); done.Accepted != 2 {
		t.Fatalf("accepted %d, want 2", done.Accepted)
	}
	if done := appendAll(t, s, bare, full); done.Duplicates != 2 {
		t.Fatalf("duplicates %d, want 2", done.Duplicates)
	}
	page, err := s.Executions(t.Context(), sandtrail.Query{Filter: sandtrail.Filter{UserID: "u0"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []sandtrail.Admitted{full, bare} {
		if got := page.Items[i]; !want.SameContent(got) || got.Strategy.Name != "Strategy 0" || got.User.Email != "u0@example.com" {
			t.Errorf("record %d: got %+v, want %+v", i, got, want)
		}
		got, err := s.Execution(t.Context(), want.Execution.ID)
		if err != nil || !want.SameContent(got) {
			t.Errorf("by id: got %+v, %v", got, err)
		}
	}
	if _, err := s.Execution(t.Context(), sandtrail.NewID(now)); !errors.Is(err, sandtrail.CodeNotFound) {
		t.Errorf("unknown id: %v, want ErrNotFound", err)
	}
	stats, err := s.StrategyStats(t.Context(), "s0")
	if err != nil || stats.Count != 2 || *stats.SuccessRate != 50 || *stats.Avg.MemoryUsed != 12 || *stats.Percentiles.ExecutionTime.P99 != 120 {
		t.Errorf("stats: %+v, %v", stats, err)
	}
	health, err := s.StrategyHealth(t.Context(), "s0", 100)
	if err != nil || health.TotalValidations != 2 || !health.LastValidated.Equal(now) {
		t.Errorf("health: %+v, %v", health, err)
	}
	q := sandtrail.TrendQuery{}
	q.Since, q.Until = sandtrail.LastDays(now, 7)
	trends, err := s.Trends(t.Context(), q)
	if err != nil || len(trends) != 8 || trends[0].Total != 2 || trends[1].Total != 0 {
		t.Errorf("trends: %+v, %v", trends, err)
	}
	ranks, err := s.Ranking(t.Context(), sandtrail.RankQuery{Subject: sandtrail.Users, Since: q.Since, Until: q.Until, Order: sandtrail.MostFailures})
	if err != nil || len(ranks) != 1 || ranks[0] != (sandtrail.Rank{ID: "u0", Name: "u0@example.com", Total: 2, Failed: 1}) {
		t.Errorf("ranking: %+v, %v", ranks, err)
	}
	deepCheck(t, s)
	if n, err := s.Cleanup(t.Context(), sandtrail.Before(now)); err != nil || n != 1 {
		t.Errorf("cleanup: %d, %v; want 1", n, err)
	}
	if n, err := s.DeleteUser(t.Context(), "u0"); err != nil || n != 1 {
		t.Errorf("delete user: %d, %v; want 1", n, err)
	}
	deepCheck(t, s)
}

// libpq takes an address that says all in its query, and Prisma's too.
func TestAddressWithoutHost(t *testing.T) {
	u, err := url.Parse(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	query := url.Values{
		"host": {u.Hostname()}, "port": {u.Port()}, "user": {u.User.Username()}, "dbname": {strings.TrimPrefix(u.Path, "/")},
	}
	migrate(t, openAt(t, "postgres://?"+query.Encode(), postgres.Options{}))
}

// TestConformance runs the suite with the one connection that every question
// must do with, and what may depend on it for each isolation level that a
// database can have as its default, the last with as many connections as a
// server has.
func TestConformance(t *testing.T) {
	for _, test := range []struct {
		level, pool string
		run         func(*testing.T, func(*testing.T) database.Database)
	}{
		{"read committed", "1", storetest.Run},
		{"repeatable read", "2", storetest.RunTransactions},
		{"serializable", "", storetest.RunTransactions},
	} {
		t.Run(strings.ReplaceAll(test.level, " ", ""), func(t *testing.T) {
			t.Parallel()
			another := copies(t, test.level, test.pool)
			test.run(t, func(t *testing.T) database.Database {
				s, err := postgres.Open(t.Context(), withPool(t, another(t), test.pool), postgres.Options{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				return s
			})
		})
	}
}

func TestDeletionIsReported(t *testing.T) {
	storetest.DeletionIsReported(t, func(t *testing.T) database.Database {
		s, _ := open(t)
		return s
	})
}

func TestCleanupArchived(t *testing.T) {
	storetest.CleanupArchived(t, func(t *testing.T) database.Database {
		s, _ := open(t)
		return s
	})
}

// Another client writes into an old week while it is about to be dropped: the
// week stays, for the sake of what the archive does not have.
func TestCleanupLeavesWhatComesBeforeTheDrop(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("a cleanup waits there in another way")
	}
	s, url := open(t)
	putOwners(t, s, 1)
	other, watch := foreign(t, url), foreign(t, url)
	old := execution(now.AddDate(0, -3, 0))
	appendAll(t, s, old)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
		VALUES ('u0', 's0', 'TERMINAL', true, 1, $1)`, old.Execution.CreatedAt); err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		deleted int64
		err     error
	}
	done := make(chan outcome)
	go func() {
		deleted, err := s.CleanupArchived(t.Context(), time.Time{}, sandtrail.Before(now.AddDate(0, -2, 0)), func(id sandtrail.ID) bool { return id == old.Execution.ID })
		done <- outcome{deleted, err}
	}()
	for !value[bool](t, watch, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation IS NOT NULL)") {
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.deleted != 1 || got.err != nil {
		t.Errorf("deleted %d, %v; want the one that is archived", got.deleted, got.err)
	}
	if n := value[int](t, other, "SELECT count(*)::int FROM sandbox_execution_logs"); n != 1 {
		t.Errorf("%d are left, want what came late", n)
	}
	deepCheck(t, s)
}

// Partitions that were emptied, by whatever came first, hold nothing that is
// not archived: they go, and what is not archived keeps its own.
func TestCleanupArchivedDropsWhatIsEmpty(t *testing.T) {
	s, url := open(t)
	other := foreign(t, url)
	putOwners(t, s, 2)
	keep := func(e *sandtrail.Execution) { e.UserID = "u1" }
	archived, kept := execution(now.AddDate(0, -5, 0)), execution(now.AddDate(0, -3, 0), keep)
	appendAll(t, s, archived, execution(now.AddDate(0, -4, 0)), kept, execution(now.AddDate(0, -3, 0)), execution(now, keep))
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	before := len(partitionsOf(t, s))
	exec(t, other, "DELETE FROM sandbox_execution_logs WHERE id = $1", [16]byte(archived.Execution.ID))
	if _, err := s.DeleteUser(t.Context(), "u0"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		deleted, err := s.CleanupArchived(t.Context(), time.Time{}, sandtrail.Before(now.AddDate(0, -2, 0)), func(sandtrail.ID) bool { return false })
		if err != nil || deleted != 0 {
			t.Fatalf("deleted %d, %v; want none", deleted, err)
		}
		if err := s.Maintain(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		if left := partitionsOf(t, s); len(left) != before-2 {
			t.Errorf("%d partitions are left of %d, want two fewer: %q", len(left), before, left)
		}
	}
	if _, err := s.Execution(t.Context(), kept.Execution.ID); err != nil {
		t.Error(err)
	}
	deepCheck(t, s)
}

// An execution that comes again while its partition of before waits to be
// swept is a new one, and stays.
func TestSweepLeavesWhatCameAgain(t *testing.T) {
	s, _ := open(t)
	putOwners(t, s, 1)
	old := execution(now.Add(-30 * 24 * time.Hour))
	other := execution(old.Execution.CreatedAt)
	appendAll(t, s, old, other)
	maintain := func() {
		t.Helper()
		if err := s.Maintain(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	maintain()
	if n, err := s.DropWeek(t.Context(), old.Execution.CreatedAt); n != 2 || err != nil {
		t.Fatalf("dropped %d, %v; want 2", n, err)
	}
	if done := appendAll(t, s, old); done.Accepted != 1 {
		t.Fatalf("%d were accepted, want 1", done.Accepted)
	}
	maintain()
	if _, err := s.Execution(t.Context(), old.Execution.ID); err != nil {
		t.Error(err)
	}
	if _, err := s.Execution(t.Context(), other.Execution.ID); !errors.Is(err, sandtrail.CodeNotFound) {
		t.Errorf("what did not come again: %v, want ErrNotFound", err)
	}
	if done := appendAll(t, s, old); done.Duplicates != 1 {
		t.Errorf("the same again: %+v, want a duplicate", done)
	}
	deepCheck(t, s)
}
