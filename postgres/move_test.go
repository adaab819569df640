package postgres_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
)

// movedRows is how many rows each question of TestReadersWhileRecordsMove is
// about: more than a verification on two cores reads at once.
const movedRows = 3 * ledger.BlockLeaves

// movedQuestions ask in every way for the rows of a week, which u0 and s0 own,
// and return how many they found. A place is one before the rows came.
var movedQuestions = map[string]func(ctx context.Context, s *postgres.Store, w sandtrail.Window, place follow.Place) (int, error){
	"list": func(ctx context.Context, s *postgres.Store, w sandtrail.Window, _ follow.Place) (int, error) {
		page, err := s.Executions(ctx, sandtrail.Query{Filter: sandtrail.Filter{Since: w.Since, Until: w.Until}, Limit: 1000}, now)
		return len(page.Items), err
	},
	"list of an owner": func(ctx context.Context, s *postgres.Store, w sandtrail.Window, _ follow.Place) (int, error) {
		page, err := s.Executions(ctx, sandtrail.Query{Filter: sandtrail.Filter{UserID: "u0", Since: w.Since, Until: w.Until}, Limit: 1000}, now)
		return len(page.Items), err
	},
	"export": func(ctx context.Context, s *postgres.Store, w sandtrail.Window, _ follow.Place) (n int, err error) {
		q := sandtrail.Query{Filter: sandtrail.Filter{Since: w.Since, Until: w.Until, Type: sandtrail.Terminal}, Limit: 100}
		out := ledger.Service{Log: s}.Export(io.Discard, "ndjson", "")
		for {
			page, err := s.Executions(ctx, q, now)
			if err != nil {
				return n, err
			}
			if err := out.Lines(ctx, page.Items); err != nil || page.NextCursor == "" {
				return int(out.Records), err
			}
			q.Cursor = page.NextCursor
		}
	},
	"statistics": func(ctx context.Context, s *postgres.Store, w sandtrail.Window, _ follow.Place) (int, error) {
		// From within a quarter of an hour, which no roll-up counts.
		stats, err := s.WindowStats(ctx, sandtrail.Window{Since: w.Since.Add(time.Millisecond), Until: w.Since.Add(time.Minute)})
		return int(stats.Total), err
	},
	"health": func(ctx context.Context, s *postgres.Store, w sandtrail.Window, _ follow.Place) (int, error) {
		health, err := s.StrategyHealth(ctx, "s0", 1000)
		return int(health.TotalValidations), err
	},
	"verify": func(ctx context.Context, s *postgres.Store, _ sandtrail.Window, _ follow.Place) (int, error) {
		var first error
		sum, err := ledger.VerifyLog(ctx, s, ledger.Verification{Report: func(f ledger.Finding) {
			if first == nil {
				first = fmt.Errorf("found %+v", f)
			}
		}})
		if err == nil {
			err = first
		}
		return int(sum.Intact), err
	},
	"follow": func(ctx context.Context, s *postgres.Store, _ sandtrail.Window, place follow.Place) (int, error) {
		found, err := s.Follow(ctx, place, 1000)
		return len(found), err
	},
}

// TestReadersWhileRecordsMove asks for rows while the store moves them from the
// default partition into one of their own. Who waits for it finds all of them.
func TestReadersWhileRecordsMove(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("partitions are made there in another way")
	}
	for name, ask := range movedQuestions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := openMoving(t)
			for round := range 2 { // the second by plans that are kept
				week := time.Date(2020, 1, 6+7*round, 0, 0, 0, 0, time.UTC)
				place := m.insert(t, week)
				m.whileMoved(t, week, func(ctx context.Context) {
					n, err := ask(ctx, m.reader, sandtrail.Window{Since: week, Until: week.AddDate(0, 0, 7)}, place)
					if err != nil || n != movedRows {
						t.Errorf("round %d: found %d, %v; want the %d that were moved meanwhile", round, n, err, movedRows)
					}
				})
				exec(t, m.watch, "DELETE FROM sandbox_execution_logs")
			}
		})
	}
}

// moving is a database in which one store moves rows that another reads.
type moving struct {
	mover, reader *postgres.Store
	holder, watch *pgx.Conn
}

func openMoving(t *testing.T) moving {
	s, url := open(t)
	putOwners(t, s, 1)
	return moving{s, openAt(t, url, postgres.Options{}), foreign(t, url), foreign(t, url)}
}

// insert adds rows of the first minute of a week, which has no partition, and
// seals them. It returns a place before them.
func (m moving) insert(t *testing.T, week time.Time) follow.Place {
	t.Helper()
	place, err := m.reader.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exec(t, m.watch, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
		SELECT 'u0', 's0', 'TERMINAL', true, 7, $1::timestamptz + i * interval '1 millisecond' FROM generate_series(1, $2::integer) i`, week, movedRows)
	for _, step := range m.mover.Upkeep() {
		if step.Name == "strays" {
			continue
		}
		if err := step.RunOnce(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	return place
}

// whileMoved asks while the mover, who has moved the rows of a week, waits for
// a lock that it needs to attach the partition. It lets the mover go on when
// the question waits as well.
func (m moving) whileMoved(t *testing.T, week time.Time, ask func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	exec(t, m.holder, "BEGIN; LOCK TABLE users IN ROW EXCLUSIVE MODE")
	moved, asked := make(chan error, 1), make(chan struct{})
	go func() { moved <- m.mover.MakePartition(ctx, week) }()
	m.await(ctx, t, "users")
	go func() {
		defer close(asked)
		ask(ctx)
	}()
	m.await(ctx, t, "sandbox_execution_logs", "sandtrail.logs_default")
	exec(t, m.holder, "ROLLBACK")
	<-asked
	if err := <-moved; err != nil {
		t.Error(err)
	}
}

// await returns when a session waits for a lock of one of the tables.
func (m moving) await(ctx context.Context, t *testing.T, tables ...string) {
	t.Helper()
	for !value[bool](t, m.watch, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = ANY ($1::text[]::regclass[]))", tables) {
		if ctx.Err() != nil {
			t.Fatalf("no session waits for a lock of %v", tables)
		}
	}
}
