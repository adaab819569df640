package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	noon   = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	silent = slog.New(slog.DiscardHandler)
)

func machineTime(context.Context) (time.Time, error) { return time.Now(), nil }

func agreed(context.Context) error { return nil }

func openStore(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	prepare(t, s)
	return s
}

// prepare lets a store take in what put puts.
func prepare(t *testing.T, s database.Database) {
	t.Helper()
	_, err := s.Migrate(t.Context(), noon)
	err = errors.Join(err,
		s.PutUser(t.Context(), sandtrail.User{ID: "u", Email: "u@example.com"}),
		s.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"}))
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s sandtrail.Appender, at time.Time, success bool) {
	t.Helper()
	_, err := s.Append(t.Context(), []sandtrail.Admitted{{Execution: sandtrail.Execution{
		ID: sandtrail.NewID(at), UserID: "u", StrategyID: "s", Type: sandtrail.Validation, Success: success, CreatedAt: at,
	}}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoopGoesOnAfterErrorsAndPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rounds []string
		var mu sync.Mutex
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		n := 0
		Loop{
			Now: machineTime, Log: silent,
			Jobs: []Job{{Name: "job", Every: time.Second, RunOnce: func(context.Context, time.Time) error {
				switch n++; n {
				case 2:
					return errors.New("bad")
				case 3:
					panic("worse")
				}
				return nil
			}}},
			Done: func(job string, _ time.Duration, err error) {
				mu.Lock()
				defer mu.Unlock()
				rounds = append(rounds, fmt.Sprint(job, " ", err))
			},
		}.Run(ctx)
		want := []string{"job <nil>", "job bad", "job panic: worse", "job <nil>"}
		if len(rounds) < 10 || !cmp.Equal(rounds[:4], want) {
			t.Errorf("%d rounds in 20 s: %q", len(rounds), rounds[:min(4, len(rounds))])
		}
	})
}

func TestRetentionRunsOnceADay(t *testing.T) {
	s := openStore(t)
	old := noon.Add(-91 * 24 * time.Hour)
	put(t, s, old, true)
	put(t, s, noon, true)
	periods := sandtrail.Periods{
		Keep:  90 * 24 * time.Hour,
		Types: map[sandtrail.ExecutionType]time.Duration{sandtrail.Terminal: time.Hour},
	}
	one, two := Retention(s, periods, agreed, silent), Retention(s, periods, agreed, silent)
	left := func() int64 {
		t.Helper()
		n, err := s.CountBefore(t.Context(), sandtrail.Before(noon.Add(time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	round := func(j Job, now time.Time) {
		t.Helper()
		if err := j.RunOnce(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	round(one, noon)
	if n := left(); n != 1 {
		t.Errorf("%d records left, want the new one", n)
	}
	put(t, s, old, true)
	round(two, noon.Add(time.Hour))
	if n := left(); n != 2 {
		t.Errorf("another server cleaned again on the same day: %d left", n)
	}
	round(two, noon.Add(24*time.Hour))
	if n := left(); n != 1 {
		t.Errorf("%d records left the next day, want 1", n)
	}
	lines, err := s.Accesses(t.Context(), auth.AccessQuery{Action: auth.CleanupAction, Limit: 10})
	if err != nil || len(lines) != 2 || lines[1].Actor != "retention" || lines[1].Detail != "deleted 1" ||
		lines[1].Object != "before 2026-08-26T12:00:00Z, type TERMINAL before 2026-11-24T11:00:00Z" {
		t.Errorf("access log: %+v, %v", lines, err)
	}
}

// stuck is a store one step of whose upkeep fails.
type stuck struct{}

func (stuck) Upkeep() []database.UpkeepStep {
	return []database.UpkeepStep{
		{Name: "partitions", RunOnce: func(context.Context, time.Time) error { return errors.New("locked") }},
		{Name: "fold", RunOnce: func(context.Context, time.Time) error { return nil }},
	}
}

// A step that fails is tried less and less often, the others as often as ever.
func TestUpkeepStepsAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		good, bad := 0, 0
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		Loop{
			Now: machineTime, Log: silent, Jobs: Upkeep(stuck{}),
			Done: func(job string, _ time.Duration, err error) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case job == "fold" && err == nil:
					good++
				case job == "partitions" && err != nil:
					bad++
				default:
					t.Errorf("%s: %v", job, err)
				}
			},
		}.Run(ctx)
		if good < 500 || bad < 10 || bad > 30 {
			t.Errorf("in 10 minutes one was done %d times, the other failed %d times", good, bad)
		}
	})
}

// Nothing is removed while the clocks disagree, and it is tried again soon.
func TestRetentionWaitsForTheClock(t *testing.T) {
	s := openStore(t)
	put(t, s, noon.Add(-91*24*time.Hour), true)
	wrong := errors.New("the clocks disagree")
	job := Retention(s, sandtrail.Periods{Keep: 90 * 24 * time.Hour}, func(context.Context) error { return wrong }, silent)
	left := func() int64 {
		t.Helper()
		n, err := s.CountBefore(t.Context(), sandtrail.Before(noon))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := job.RunOnce(t.Context(), noon); !errors.Is(err, wrong) || left() != 1 {
		t.Errorf("%v, %d records left; want the error and 1", err, left())
	}
	wrong = nil
	if err := job.RunOnce(t.Context(), noon); err != nil || left() != 0 {
		t.Errorf("%v, %d records left; want none", err, left())
	}
}
