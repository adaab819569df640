package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// campaignEnv lengthens TestCampaign: SANDTRAIL_TEST_CAMPAIGN=30m.
const campaignEnv = "SANDTRAIL_TEST_CAMPAIGN"

// TestCampaign lets clients of every kind write at once, with folds, cleanups
// and cascades between, and their sessions ended now and then as those of a
// server that is killed, and then compares everything derived with the records.
// Prisma's part is in package prisma.
func TestCampaign(t *testing.T) {
	const clients, rounds = 16, 20
	s, url := open(t)
	putOwners(t, s, 10)
	end := campaignEnd(t)
	var wait sync.WaitGroup
	for i := range clients {
		plain, err := pgxpool.New(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		c := &campaigner{T: t, Rand: rand.New(rand.NewPCG(uint64(i), 1)), store: openAt(t, url, postgres.Options{}), plain: plain}
		wait.Go(func() {
			for round := 0; round < rounds || time.Now().Before(end); round++ {
				if err := c.act(); err != nil && !expected(err) {
					t.Errorf("client %d, round %d: %v", i, round, err)
					return
				}
			}
		})
	}
	wait.Wait()
	reconcile(t, s)
	deepCheckDerived(t, s) // before all is folded
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	deepCheck(t, s)
}

func campaignEnd(t *testing.T) time.Time {
	t.Helper()
	length := os.Getenv(campaignEnv)
	if length == "" {
		return time.Time{}
	}
	d, err := sandtrail.ParseDuration(length)
	if err != nil {
		t.Fatalf("%s: %v", campaignEnv, err)
	}
	return time.Now().Add(d)
}

// expected are the errors that clients get from each other's deeds: owners
// deleted under them, deadlocks and rows moved under plain SQL, sessions ended,
// no moment to lock the table in.
func expected(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) && slices.Contains([]string{"23503", "40P01", "40001", "57P01"}, e.Code) {
		return true
	}
	if pgconn.SafeToRetry(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return true // ended while nothing was asked
	}
	if pgtest.OnCitus() && e != nil && e.Code == "XX000" && strings.Contains(e.Message, "foreign key") {
		return true // its COPY knows no codes
	}
	return errors.Is(err, sandtrail.ErrUnavailable) || errors.Is(err, sandtrail.ErrInvalid) || errors.Is(err, sandtrail.ErrNotFound)
}

// deepCheckDerived is deepCheck for ids and roll-ups alone.
func deepCheckDerived(t *testing.T, s *postgres.Store) {
	t.Helper()
	checks, err := s.Doctor(t.Context(), sandtrail.Deep, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if !c.OK && (c.Name == "ids" || c.Name == "roll-ups") {
			t.Errorf("doctor: %s: %s", c.Name, c.Detail)
		}
	}
}

// campaigner is one client of the store and of plain SQL.
type campaigner struct {
	*testing.T
	*rand.Rand
	store *postgres.Store
	plain *pgxpool.Pool
}

func (c *campaigner) act() error {
	ctx := c.Context()
	switch n := c.IntN(100); {
	case n < 40:
		_, err := c.store.Append(ctx, c.batch())
		return err
	case n < 50:
		return c.copy(ctx)
	case n < 60:
		return c.sql(ctx, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
			SELECT $1, $2, 'TERMINAL', n % 2 = 0, n * 37, $3::timestamptz + n * interval '3 hours' FROM generate_series(1, 20) n`,
			c.user(), c.strategy(), c.time())
	case n < 66:
		return c.sql(ctx, `UPDATE sandbox_execution_logs SET success = NOT success, timed_out = false,
				created_at = (created_at AT TIME ZONE 'UTC' - interval '5 days') AT TIME ZONE 'UTC'
			WHERE user_id = $1 AND created_at > $2`, c.user(), c.time())
	case n < 72:
		return c.sql(ctx, "DELETE FROM sandbox_execution_logs WHERE strategy_id = $1 AND created_at < $2", c.strategy(), c.time())
	case n < 76:
		return c.sql(ctx, "DELETE FROM users WHERE id = $1", c.user())
	case n < 79:
		_, err := c.store.DeleteStrategy(ctx, c.strategy())
		return err
	case n < 90:
		id := c.IntN(10)
		return errors.Join(c.store.PutUser(ctx, sandtrail.User{ID: fmt.Sprint("u", id), Email: fmt.Sprintf("u%d@example.com", id)}),
			c.store.PutStrategy(ctx, sandtrail.Strategy{ID: fmt.Sprint("s", id), Name: "again"}))
	case n < 91:
		return c.sql(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY random() LIMIT 1`)
	case n < 94:
		_, err := c.store.Cleanup(ctx, sandtrail.Before(now.AddDate(0, 0, -40-c.IntN(40))))
		return err
	default:
		return c.store.Maintain(ctx, now)
	}
}

func (c *campaigner) sql(ctx context.Context, statement string, args ...any) error {
	_, err := c.plain.Exec(ctx, statement, args...)
	return err
}

func (c *campaigner) user() string     { return fmt.Sprint("u", c.IntN(10)) }
func (c *campaigner) strategy() string { return fmt.Sprint("s", c.IntN(10)) }

func (c *campaigner) time() time.Time {
	return now.Add(-time.Duration(c.Int64N(int64(90 * 24 * time.Hour)))).Truncate(time.Millisecond)
}

func (c *campaigner) batch() []sandtrail.Admitted {
	batch := make([]sandtrail.Admitted, 1+c.IntN(40))
	for i := range batch {
		batch[i] = execution(c.time(), func(e *sandtrail.Execution) {
			e.UserID, e.StrategyID, e.Success = c.user(), c.strategy(), c.IntN(4) > 0
			e.ExecutionTime, e.ErrorCount, e.WarningCount = c.IntN(10000), c.IntN(3), c.IntN(3)
			if c.IntN(2) == 0 {
				memory, cpu := c.IntN(500), 100*c.Float64()
				e.MemoryUsed, e.CPUUsage = &memory, &cpu
			}
		})
	}
	return batch
}

func (c *campaigner) copy(ctx context.Context) error {
	_, err := c.plain.CopyFrom(ctx, pgx.Identifier{"sandbox_execution_logs"},
		[]string{"user_id", "strategy_id", "execution_type", "success", "execution_time", "created_at"},
		pgx.CopyFromSlice(30, func(int) ([]any, error) {
			return []any{c.user(), c.strategy(), "VALIDATION", true, int32(c.IntN(5000)), c.time()}, nil
		}))
	return err
}
