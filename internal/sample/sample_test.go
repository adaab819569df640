package sample

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
)

var (
	until = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	opts  = Options{Seed: 7, Executions: 5000, Since: until.AddDate(0, 0, -30), Until: until}
)

func admitAll(t *testing.T, s *Sample) []sandtrail.Execution {
	t.Helper()
	var all []sandtrail.Execution
	for batch, err := range s.Admit(700) {
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range batch {
			all = append(all, a.Execution)
		}
	}
	return all
}

func TestEveryDraftIsAdmitted(t *testing.T) {
	all := admitAll(t, New(opts))
	if len(all) != opts.Executions {
		t.Fatalf("got %d executions, want %d", len(all), opts.Executions)
	}
	seen := map[sandtrail.ID]bool{}
	for i, e := range all {
		if seen[e.ID] {
			t.Fatalf("id %s comes twice", e.ID)
		}
		seen[e.ID] = true
		if e.CreatedAt.Before(opts.Since) || !e.CreatedAt.Before(opts.Until) {
			t.Fatalf("execution %d is outside the window: %s", i, e.CreatedAt)
		}
	}
}

func TestSameSeedSameRecords(t *testing.T) {
	first, again := admitAll(t, New(opts)), admitAll(t, New(opts))
	if !reflect.DeepEqual(first, again) { // much cheaper than a difference
		t.Errorf("the same seed, other records:\n%s", cmp.Diff(first, again))
	}
}

func TestOwnersAreValidAndDistinct(t *testing.T) {
	large := opts
	large.Users, large.Strategies = 500, 500
	s := New(large)
	emails := map[string]bool{}
	for _, u := range s.Users() {
		if err := u.Validate(); err != nil || emails[u.Email] {
			t.Fatalf("user %+v: %v, seen before: %v", u, err, emails[u.Email])
		}
		emails[u.Email] = true
	}
	for _, st := range s.Strategies() {
		if err := st.Validate(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestShape(t *testing.T) {
	var failed, latestBroken, latestBrokenFailed int
	for _, e := range admitAll(t, New(opts)) {
		if !e.Success {
			failed++
		}
		if e.StrategyID == "s-0003" && e.CreatedAt.After(until.Add(-12*time.Hour)) {
			latestBroken++
			if !e.Success {
				latestBrokenFailed++
			}
		}
	}
	if share := float64(failed) / float64(opts.Executions); share < 0.03 || share > 0.30 {
		t.Errorf("share of failures is %.2f, want 0.03 to 0.30", share)
	}
	if latestBroken == 0 || latestBroken != latestBrokenFailed {
		t.Errorf("the broken strategy failed %d of %d runs, want all of some", latestBrokenFailed, latestBroken)
	}
}
