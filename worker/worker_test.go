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
	"github.com/sandtrail/sandtrail/notify"
	"github.com/sandtrail/sandtrail/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	noon   = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	silent = slog.New(slog.DiscardHandler)
)

func openStore(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	_, err = s.Migrate(t.Context(), noon)
	err = errors.Join(err,
		s.PutUser(t.Context(), sandtrail.User{ID: "u", Email: "u@example.com"}),
		s.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *sqlite.Store, at time.Time, success bool) {
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
			Now: time.Now, Log: silent,
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
	one, two := Retention(s, 90*24*time.Hour, silent), Retention(s, 90*24*time.Hour, silent)
	left := func() int64 {
		t.Helper()
		n, err := s.CountBefore(t.Context(), noon.Add(time.Hour))
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
	lines, err := s.Accesses(t.Context(), sandtrail.AccessQuery{Action: sandtrail.CleanupAction, Limit: 10})
	if err != nil || len(lines) != 2 || lines[1].Actor != "retention" || lines[1].Detail != "deleted 1" {
		t.Errorf("access log: %+v, %v", lines, err)
	}
}

// ear is a channel that remembers what it was told.
type ear struct {
	heard []string
	deaf  bool
}

func (e *ear) Notify(_ context.Context, n notify.Notice) error {
	if e.deaf {
		return errors.New("deaf")
	}
	e.heard = append(e.heard, fmt.Sprintf("%s %t", n.ID, n.Firing))
	return nil
}

func TestAlertsTellChangesOnce(t *testing.T) {
	s := openStore(t)
	rules := []sandtrail.Rule{sandtrail.DefaultRule()}
	listener := &ear{}
	// Two servers, and each is new at every round, as after a restart.
	minute := func(n int, wantErr bool) {
		t.Helper()
		for range 2 {
			err := Alerts(s, rules, listener).RunOnce(t.Context(), noon.Add(time.Duration(n)*time.Minute))
			if wantErr != (err != nil) {
				t.Errorf("minute %d: %v", n, err)
			}
			wantErr = false // the second server finds the work taken
		}
	}
	minute(0, false) // nothing yet
	put(t, s, noon, false)
	minute(1, false) // fires
	minute(2, false)
	for range 9 {
		put(t, s, noon.Add(time.Minute), true)
	}
	listener.deaf = true
	minute(3, true) // 10 % failed: resolved, but nobody hears
	listener.deaf = false
	minute(4, false) // told now, as of minute 3
	minute(5, false)
	want := []string{
		"high-failure-rate@2026-11-24T12:01:00Z true",
		"high-failure-rate@2026-11-24T12:03:00Z false",
	}
	if diff := cmp.Diff(want, listener.heard); diff != "" {
		t.Errorf("heard:\n%s", diff)
	}
}

func TestDecide(t *testing.T) {
	before, now := noon.Add(-time.Hour), noon
	rule := sandtrail.Rule{Name: "r"}
	state := func(firing bool, since time.Time, notified *time.Time) sandtrail.AlertState {
		return sandtrail.AlertState{Rule: "r", Firing: firing, Since: since, NotifiedAt: notified}
	}
	for _, test := range []struct {
		name   string
		was    sandtrail.AlertState
		firing bool
		is     sandtrail.AlertState
		tell   bool
	}{
		{"quiet from the start", sandtrail.AlertState{}, false, sandtrail.AlertState{}, false},
		{"begins", sandtrail.AlertState{}, true, state(true, now, nil), true},
		{"goes on", state(true, before, &before), true, state(true, before, &before), false},
		{"goes on unheard", state(true, before, nil), true, state(true, before, nil), true},
		{"ends", state(true, before, &before), false, state(false, now, nil), true},
		{"ends unheard", state(true, before, nil), false, state(false, now, &now), false},
		{"has ended", state(false, before, &before), false, state(false, before, &before), false},
		{"begins again", state(false, before, &before), true, state(true, now, nil), true},
	} {
		is, tell := decide(test.was, sandtrail.Verdict{Rule: rule, Firing: test.firing}, now)
		if diff := cmp.Diff(test.is, is); diff != "" || tell != test.tell {
			t.Errorf("%s: tell %t, want %t\n%s", test.name, tell, test.tell, diff)
		}
	}
}
