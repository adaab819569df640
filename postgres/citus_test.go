package postgres_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
)

// onCitus is for tests of what is particular to a distributed database. All
// others hold it to the contract of every store.
func onCitus(t *testing.T) {
	t.Helper()
	if !pgtest.OnCitus() {
		t.Skipf("%s does not name a coordinator", pgtest.CitusEnv)
	}
}

const workers = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0"

// TestDistributeKeepsEveryRow fills a database that has no workers yet.
func TestDistributeKeepsEveryRow(t *testing.T) {
	onCitus(t)
	url := pgtest.New(t)
	conn := foreign(t, url)
	exec(t, conn, "SELECT citus_set_node_property(nodename, nodeport, 'shouldhaveshards', false) FROM ("+workers+") w")
	s := openAt(t, url, postgres.Options{})
	migrate(t, s)
	putOwners(t, s, 3)
	var batch []sandtrail.Admitted
	for i := range 500 {
		batch = append(batch, execution(now.Add(-time.Duration(i)*5*time.Hour), func(e *sandtrail.Execution) {
			e.UserID, e.StrategyID, e.Success = fmt.Sprint("u", i%3), fmt.Sprint("s", i%2), i%5 > 0
		}))
	}
	appendAll(t, s, batch...)
	exec(t, conn, "DELETE FROM sandbox_execution_logs WHERE user_id = 'u2' AND NOT success")
	before := value[string](t, conn, strings.Replace(sameRows, "%s", "*", 1))

	exec(t, conn, "SELECT citus_set_node_property(nodename, nodeport, 'shouldhaveshards', true) FROM ("+workers+") w")
	if applied := migrate(t, s); len(applied) != 1 || applied[0].Name != "citus" {
		t.Fatalf("applied %+v, want the distribution", applied)
	}
	if after := value[string](t, conn, strings.Replace(sameRows, "%s", "*", 1)); after != before {
		t.Errorf("rows changed: %s, were %s", after, before)
	}
	deepCheck(t, s)
	if done := appendAll(t, s, append(batch[:10:10], execution(now))...); done.Duplicates < 6 {
		t.Errorf("sent again: %+v", done)
	}
	for range 2 {
		deepCheck(t, s)
		if err := s.Maintain(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	checks, err := s.Doctor(t.Context(), database.Shallow, now)
	if err != nil || !strings.Contains(fmt.Sprint(checks), "on 2 of 2 workers") {
		t.Errorf("doctor says %+v, %v", checks, err)
	}
}

func TestWorkersAreRefused(t *testing.T) {
	onCitus(t)
	_, coordinator := open(t)
	u, err := url.Parse(coordinator)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = value[string](t, foreign(t, coordinator), "SELECT nodename || ':' || nodeport FROM pg_dist_node WHERE groupid <> 0 LIMIT 1")
	s := openAt(t, u.String(), postgres.Options{})
	if _, err := s.Migrate(t.Context(), now); !errors.Is(err, sandtrail.CodeInvalid) || !strings.Contains(err.Error(), "coordinator") {
		t.Errorf("migrate on a worker: %v, want a refusal that names the coordinator", err)
	}
}

// TestForeignRowsAreKnownBeforeTheyAreReconciled reads and repeats them.
func TestForeignRowsAreKnownBeforeTheyAreReconciled(t *testing.T) {
	onCitus(t)
	s, url := open(t)
	putOwners(t, s, 1)
	a := execution(now, func(e *sandtrail.Execution) { e.ExecutionTime = 5 })
	exec(t, foreign(t, url), `INSERT INTO sandbox_execution_logs (id, user_id, strategy_id, execution_type, success, execution_time, created_at)
		VALUES ($1, 'u0', 's0', 'VALIDATION', true, 5, $2)`, a.Execution.ID.String(), now)
	if got, err := s.Execution(t.Context(), a.Execution.ID); err != nil || got.ExecutionTime != 5 {
		t.Errorf("by id: %+v, %v", got, err)
	}
	if done := appendAll(t, s, a, execution(now)); done.Accepted != 1 || done.Duplicates != 1 {
		t.Errorf("sent again: %+v, want a duplicate", done)
	}
	deepCheck(t, s)
}

// TestAnIDUsedTwiceIsReported is about what nothing can refuse on many
// machines.
func TestAnIDUsedTwiceIsReported(t *testing.T) {
	onCitus(t)
	s, url := open(t)
	putOwners(t, s, 2)
	a := execution(now)
	appendAll(t, s, a)
	conn := foreign(t, url)
	exec(t, conn, `INSERT INTO sandbox_execution_logs (id, user_id, strategy_id, execution_type, success, execution_time)
		VALUES ($1, 'u1', 's0', 'VALIDATION', true, 5)`, a.Execution.ID.String())
	reconcile(t, s)
	if stats, err := s.StrategyStats(t.Context(), "s0"); err != nil || stats.Count != 1 {
		t.Errorf("counted %d, %v; want the first alone", stats.Count, err)
	}
	checks, err := s.Doctor(t.Context(), database.Deep, now)
	if err != nil || !strings.Contains(fmt.Sprint(checks), "1 executions without their entry") {
		t.Errorf("doctor says %+v, %v", checks, err)
	}
	exec(t, conn, "UPDATE sandbox_execution_logs SET id = md5(id::text)::uuid WHERE user_id = 'u1'")
	reconcile(t, s)
	deepCheck(t, s)
}

// TestReconcilingGoesOnWhereItStopped loads more than one round looks at.
func TestReconcilingGoesOnWhereItStopped(t *testing.T) {
	onCitus(t)
	s, url := open(t)
	putOwners(t, s, 10)
	conn := foreign(t, url)
	_, err := conn.CopyFrom(t.Context(), pgx.Identifier{"sandbox_execution_logs"},
		[]string{"user_id", "strategy_id", "execution_type", "success", "execution_time", "created_at"},
		pgx.CopyFromSlice(50_000, func(i int) ([]any, error) {
			at := now.Add(-time.Duration(i) * 30 * time.Second)
			return []any{fmt.Sprint("u", i%10), fmt.Sprint("s", i%7), "VALIDATION", i%3 > 0, int32(i % 900), at}, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	rounds := func() (n int) {
		t.Helper()
		for n = 1; n < 20; n++ {
			reconcile(t, openAt(t, url, postgres.Options{})) // another server each time
			if value[bool](t, conn, "SELECT (SELECT count(*) FROM sandtrail.ids) = (SELECT count(*) FROM sandbox_execution_logs)") {
				break
			}
		}
		return n
	}
	if n := rounds(); n < 2 || n > 6 {
		t.Errorf("reconciled in %d rounds", n)
	}
	deepCheck(t, s)
	exec(t, conn, "DELETE FROM users WHERE id = 'u3'")
	exec(t, conn, "DELETE FROM sandbox_execution_logs WHERE NOT success")
	exec(t, conn, "UPDATE sandbox_execution_logs SET execution_time = 7 WHERE user_id = 'u5'")
	rounds()
	for range 5 { // a whole turn
		reconcile(t, s)
	}
	deepCheck(t, s)
}

// TestCleanupCountsWhatIsNotReconciledYet drops a week that others wrote to.
func TestCleanupCountsWhatIsNotReconciledYet(t *testing.T) {
	onCitus(t)
	s, url := open(t)
	putOwners(t, s, 2)
	old := now.AddDate(0, 0, -70)
	appendAll(t, s, execution(old), execution(now))
	exec(t, foreign(t, url), `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
		SELECT 'u1', 's1', 'TERMINAL', true, n, $1::timestamptz + n * interval '1 second' FROM generate_series(1, 100) n`, old)
	if n, err := s.Cleanup(t.Context(), sandtrail.Before(now.AddDate(0, 0, -30))); err != nil || n != 101 {
		t.Errorf("deleted %d, %v; want 101", n, err)
	}
	if n, err := s.DeleteUser(t.Context(), "u1"); err != nil || n != 0 {
		t.Errorf("deleted %d more, %v", n, err)
	}
	deepCheck(t, s)
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.VerifyLog(t.Context(), s, ledger.Verification{Report: func(f ledger.Finding) { t.Errorf("%+v", f) }}); err != nil {
		t.Error(err)
	}
}

// TestReconcilingAtOnce lets two cleanups reconcile the same week, each from
// before the other has.
func TestReconcilingAtOnce(t *testing.T) {
	onCitus(t)
	s, url := open(t)
	putOwners(t, s, 1)
	old := now.AddDate(0, 0, -70)
	appendAll(t, s, execution(old))
	conn := foreign(t, url)
	exec(t, conn, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
		VALUES ('u0', 's0', 'TERMINAL', true, 1, $1)`, old)
	const lock = "(hashtextextended('sandtrail sandtrail fold', 0))"
	exec(t, conn, "SELECT pg_advisory_lock"+lock)
	type outcome struct {
		n   int64
		err error
	}
	ended := make(chan outcome)
	for range 2 {
		go func() {
			n, err := s.Cleanup(t.Context(), sandtrail.Before(now.AddDate(0, 0, -30)))
			ended <- outcome{n, err}
		}()
	}
	for value[int](t, conn, `SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) < 2 {
	}
	exec(t, conn, "SELECT pg_advisory_unlock"+lock)
	one, other := <-ended, <-ended
	if err := errors.Join(one.err, other.err); err != nil || one.n+other.n != 2 {
		t.Errorf("deleted %d and %d, %v; want 2 in all", one.n, other.n, err)
	}
	deepCheck(t, s)
}
