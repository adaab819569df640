package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
)

// TestFollowWhileRecordsMove asks for what is new while a transaction moves it
// from the default partition into one of its own, and waits for it.
func TestFollowWhileRecordsMove(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("partitions are made there in another way")
	}
	s, url := open(t)
	putOwners(t, s, 1)
	mover, watch := foreign(t, url), foreign(t, url)
	place, err := s.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const rows = 3
	exec(t, mover, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
		SELECT 'u0', 's0', 'TERMINAL', true, 7, '2150-01-01' FROM generate_series(1, $1)`, rows)

	exec(t, mover, "BEGIN")
	exec(t, mover, "LOCK TABLE sandtrail.logs_default IN ACCESS EXCLUSIVE MODE")
	exec(t, mover, "CREATE TABLE sandtrail.logs_apart (LIKE sandbox_execution_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
	exec(t, mover, `WITH strays AS (DELETE FROM sandtrail.logs_default RETURNING *) INSERT INTO sandtrail.logs_apart SELECT * FROM strays`)
	exec(t, mover, "ALTER TABLE sandbox_execution_logs ATTACH PARTITION sandtrail.logs_apart FOR VALUES FROM ('2149-01-01') TO ('2151-01-01')")
	type answer struct {
		found []sandtrail.Followed
		err   error
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	answered := make(chan answer, 1)
	go func() {
		found, err := s.Follow(ctx, place, 10)
		answered <- answer{found, err}
	}()
	for !value[bool](t, watch, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'sandtrail.logs_default'::regclass)") {
		if ctx.Err() != nil {
			t.Fatal("the follower waits for no lock")
		}
	}
	exec(t, mover, "COMMIT")
	if a := <-answered; a.err != nil || len(a.found) != rows {
		t.Errorf("followed %d, %v; want the %d that were moved meanwhile", len(a.found), a.err, rows)
	}
}
