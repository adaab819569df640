package postgres_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// afterFirst does something when the first statement with a text has ended.
type afterFirst struct {
	text string
	do   func()
	met  bool
}

type statementKey struct{}

func (a *afterFirst) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, statementKey{}, data.SQL)
}

func (a *afterFirst) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if text, _ := ctx.Value(statementKey{}).(string); !a.met && strings.Contains(text, a.text) {
		a.met = true
		a.do()
	}
}

// A partition that is made while doctor counts takes nothing out of its
// snapshot, where the rows that it moves would be in neither: the first question
// has locked the default partition.
func TestPartitionsMadeMeanwhileHideNothing(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("there a snapshot keeps the writers out while it begins, and partitions are made otherwise")
	}
	_, url := open(t)
	mover := openAt(t, url, postgres.Options{})
	hook := &afterFirst{text: "SELECT day FROM", do: func() {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_ = mover.Maintain(ctx, now) // it cannot, or need not
	}}
	s, err := postgres.OpenTraced(t.Context(), url, hook)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	putOwners(t, s, 1)
	exec(t, foreign(t, url), `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
		VALUES ('u0', 's0', 'TERMINAL', true, 1, $1)`, now.AddDate(0, -8, 0))
	checks, err := s.Doctor(t.Context(), database.Deep, now)
	if err != nil || !hook.met {
		t.Fatalf("%v, met: %t", err, hook.met)
	}
	for _, c := range checks {
		if c.Name == "roll-ups" && !c.OK {
			t.Errorf("%s: %s", c.Name, c.Detail)
		}
	}
	if err := mover.Maintain(t.Context(), now); err != nil {
		t.Error(err)
	}
	deepCheck(t, s)
}

func TestDoctorSaysWhereCommitsAreNotDurable(t *testing.T) {
	s, url := open(t)
	conn := foreign(t, url)
	exec(t, conn, "ALTER DATABASE "+conn.Config().Database+" SET synchronous_commit TO off")
	checks, err := openAt(t, url, postgres.Options{}).Doctor(t.Context(), database.Shallow, now)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, c := range checks {
		found = found || c.Name == "durability" && !c.OK && c.Fix != ""
	}
	if !found {
		t.Errorf("doctor says %+v", checks)
	}
	deepCheck(t, s)
}

// fetches notes how many rows each FETCH of a cursor gave: what is held at once.
type fetches struct{ rows []int64 }

func (f *fetches) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (f *fetches) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if strings.HasPrefix(data.CommandTag.String(), "FETCH ") {
		f.rows = append(f.rows, data.CommandTag.RowsAffected())
	}
}

// The counts of a week of many users move without all of them in memory.
func TestRetireInSteps(t *testing.T) {
	_, url := open(t)
	held := &fetches{}
	s, err := postgres.OpenTraced(t.Context(), url, held)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const users, step = 5000, 2000
	other := foreign(t, url)
	putOwners(t, s, 1)
	exec(t, other, "INSERT INTO users (id, email) SELECT 'm' || i, 'm' || i FROM generate_series(1, $1) i", users)
	old := now.AddDate(0, -3, 0)
	exec(t, other, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
		SELECT 'm' || i, 's0', 'TERMINAL', true, i, $2 FROM generate_series(1, $1) i`, users, old)
	for range 2 { // the first moves them into a partition of their own
		if err := s.Maintain(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.DropWeek(t.Context(), old); err != nil || n != users {
		t.Errorf("dropped %d, %v; want %d", n, err, users)
	}
	if len(held.rows) < users/step || slices.Max(held.rows) > step {
		t.Errorf("took %v days of subjects at a time, want at most %d of over %d", held.rows, step, users)
	}
	stats, err := s.UserStats(t.Context(), "m77")
	if err != nil || stats.TotalExecutions != 0 {
		t.Errorf("%+v, %v; want that nothing is left", stats, err)
	}
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	deepCheck(t, s)
}
