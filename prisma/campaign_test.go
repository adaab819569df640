package prisma_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// TestCampaign lets applications and stores write to one database at once and
// then compares everything derived with the records. SANDTRAIL_TEST_CAMPAIGN=30m
// makes it last.
func TestCampaign(t *testing.T) {
	const applications, stores, rounds = 2, 2, 40
	url := pgtest.New(t)
	dir := buildApp(t)
	f := fixture{store: open(t, url), now: sandtrail.Millisecond(time.Now())}
	_, err := f.store.Migrate(t.Context(), f.now)
	check(t, err)
	end := time.Now()
	if length := os.Getenv("SANDTRAIL_TEST_CAMPAIGN"); length != "" {
		d, err := sandtrail.ParseDuration(length)
		check(t, err)
		end = end.Add(d)
	}
	var wait sync.WaitGroup
	client := func(seed uint64, act func(c campaigner) error) {
		c := campaigner{T: t, Rand: rand.New(rand.NewPCG(seed, 3)), now: f.now}
		wait.Go(func() {
			for round := 0; round < rounds || time.Now().Before(end); round++ {
				if err := act(c); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range applications {
		a := startApp(t, dir, url)
		client(uint64(i), func(c campaigner) error { return c.prisma(a) })
	}
	for i := range stores {
		store := open(t, url)
		client(uint64(applications+i), func(c campaigner) error { return c.sandtrail(store) })
	}
	wait.Wait()
	f.maintain(t)
	checks, err := f.store.Doctor(t.Context(), sandtrail.Deep, f.now)
	check(t, err)
	for _, c := range checks {
		if !c.OK {
			t.Errorf("doctor: %s: %s", c.Name, c.Detail)
		}
	}
	f.verify(t)
}

// campaigner draws what one client does next.
type campaigner struct {
	*testing.T
	*rand.Rand
	now time.Time
}

// prisma does something through the application.
func (c campaigner) prisma(a *app) error {
	var got answer
	switch n := c.IntN(100); {
	case n < 30:
		got = a.ask(c.T, "create", c.record())
	case n < 55:
		many := make([]data, 1+c.IntN(40))
		for i := range many {
			many[i] = c.record()
		}
		got = a.ask(c.T, "createMany", many)
	case n < 65:
		got = a.ask(c.T, "deleteMany", data{"strategyId": c.strategy(), "createdAt": data{"lt": c.time().Format(time.RFC3339Nano)}})
	case n < 70:
		got = a.ask(c.T, "deleteUser", c.user())
	case n < 73:
		got = a.ask(c.T, "deleteStrategy", c.strategy())
	case n < 77:
		got = a.ask(c.T, "cleanupOldSandboxLogs")
	default:
		user := c.user()
		got = a.ask(c.T, "createUser", data{"id": user, "email": user + "@example.com"})
		if got.Error == "" || strings.HasPrefix(got.Error, "P2002 ") {
			got = a.ask(c.T, "createStrategy", data{"id": c.strategy(), "name": "again"})
		}
	}
	code, _, _ := strings.Cut(got.Error, " ")
	// There already, no such owner, no such row, a deadlock.
	if got.Error == "" || slices.Contains([]string{"P2002", "P2003", "P2025", "P2034"}, code) {
		return nil
	}
	return errors.New(got.Error)
}

// sandtrail does something through a store.
func (c campaigner) sandtrail(store *postgres.Store) error {
	var err error
	switch n := c.IntN(100); {
	case n < 50:
		batch := make([]sandtrail.Admitted, 1+c.IntN(40))
		for i := range batch {
			at := c.time()
			batch[i].Execution = sandtrail.Execution{
				ID: sandtrail.NewID(at), UserID: c.user(), StrategyID: c.strategy(), Type: sandtrail.Terminal,
				Success: c.IntN(3) > 0, ExecutionTime: c.IntN(5000), CreatedAt: at,
			}
		}
		_, err = store.Append(c.Context(), batch)
	case n < 60:
		_, err = store.Cleanup(c.Context(), sandtrail.Before(c.now.Add(-time.Duration(60+c.IntN(30))*day)))
	case n < 65:
		_, err = store.DeleteStrategy(c.Context(), c.strategy())
	default:
		err = store.Maintain(c.Context(), c.now)
	}
	if errors.Is(err, sandtrail.ErrInvalid) || errors.Is(err, sandtrail.ErrNotFound) || errors.Is(err, sandtrail.ErrUnavailable) {
		return nil // no such owner, no moment to lock the table in
	}
	return err
}

func (c campaigner) user() string     { return fmt.Sprint("user-", c.IntN(6)) }
func (c campaigner) strategy() string { return fmt.Sprint("strategy-", c.IntN(6)) }

func (c campaigner) time() time.Time {
	return c.now.Add(-time.Duration(c.Int64N(int64(100 * day)))).Truncate(time.Millisecond)
}

func (c campaigner) record() data {
	return data{
		"userId": c.user(), "strategyId": c.strategy(), "executionType": "VALIDATION", "success": c.IntN(2) == 0,
		"executionTime": c.IntN(9000), "createdAt": c.time().Format(time.RFC3339Nano),
	}
}
