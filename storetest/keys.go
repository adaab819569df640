package storetest

import (
	"cmp"
	"errors"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// keys are what an application calls a user and a strategy.
type KeyNames struct{ User, UserToo, Strategy, StrategyToo, Nobody string }

// Keys tests an empty, migrated database whose users and strategies have keys of
// the application's choice.
func Keys(t *testing.T, s database.Database, now time.Time, k KeyNames) {
	t.Helper()
	k.UserToo, k.StrategyToo = cmp.Or(k.UserToo, k.User), cmp.Or(k.StrategyToo, k.Strategy)
	if err := s.PutUser(t.Context(), sandtrail.User{ID: k.UserToo, Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutStrategy(t.Context(), sandtrail.Strategy{ID: k.StrategyToo, Name: "Zero"}); err != nil {
		t.Fatal(err)
	}
	named := func(user, strategy string) func(*sandtrail.Execution) {
		return func(e *sandtrail.Execution) { e.UserID, e.StrategyID = user, strategy }
	}
	a := keyed(now, named(k.UserToo, k.StrategyToo))
	b := a
	named(k.User, k.Strategy)(&b.Execution)
	for i, one := range []sandtrail.Admitted{a, a, b} {
		if done := appendKeyed(t, s, one); done.Duplicates != min(i, 1) {
			t.Errorf("append %d: %+v", i, done)
		}
	}
	var many []sandtrail.Admitted
	for i := range 300 { // a batch that is copied
		many = append(many, keyed(now.Add(time.Duration(-i)*time.Second), named(k.UserToo, k.StrategyToo)))
	}
	appendKeyed(t, s, many...)
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	appendKeyed(t, s, keyed(now.Add(-48*time.Hour), named(k.User, k.StrategyToo)))
	for _, id := range []string{k.User, k.UserToo} {
		askUser(t, s, id, now, k)
	}
	for _, id := range []string{k.Strategy, k.StrategyToo} {
		if stats, err := s.StrategyStats(t.Context(), id); err != nil || stats.Count != 302 {
			t.Errorf("statistics of strategy %q: %+v, %v", id, stats, err)
		}
		if health, err := s.StrategyHealth(t.Context(), id, 10); err != nil || health.TotalValidations != 10 {
			t.Errorf("health of strategy %q: %+v, %v", id, health, err)
		}
	}
	refuseUnknown(t, s, now, k)
	examine(t, s, now)
	useHold(t, s, now, k)
	cut := sandtrail.Cutoff{Before: now.Add(-72 * time.Hour), Strategies: map[string]time.Time{k.StrategyToo: now.Add(-24 * time.Hour)}}
	if n, err := s.Cleanup(t.Context(), cut); err != nil || n != 1 {
		t.Errorf("cleanup by strategy: %d, %v", n, err)
	}
	if n, err := s.DeleteUser(t.Context(), k.UserToo); err != nil || n != 301 {
		t.Errorf("delete user: %d, %v", n, err)
	}
	examine(t, s, now)
}

func askUser(t *testing.T, s database.Database, id string, now time.Time, k KeyNames) {
	t.Helper()
	filter := sandtrail.Filter{UserID: id}
	page, err := s.Executions(t.Context(), sandtrail.Query{Filter: filter, Limit: 500}, now)
	if err != nil || len(page.Items) != 302 || page.Items[0].UserID != k.User || page.Items[0].User.Email != "ada@example.com" || page.Items[0].Strategy.Name != "Zero" {
		t.Fatalf("executions of %q: %d, %v", id, len(page.Items), err)
	}
	if u, err := s.User(t.Context(), id); err != nil || u.ID != k.User {
		t.Errorf("user %q: %+v, %v", id, u, err)
	}
	if stats, err := s.UserStats(t.Context(), id); err != nil || stats.TotalExecutions != 302 {
		t.Errorf("statistics of user %q: %+v, %v", id, stats, err)
	}
	if stats, err := s.WindowStats(t.Context(), sandtrail.Window{Since: now.Add(-time.Hour), Until: now.Add(time.Hour), UserID: id}); err != nil || stats.Total != 301 {
		t.Errorf("window of user %q: %+v, %v", id, stats, err)
	}
	users, err := s.Users(t.Context(), sandtrail.OwnerQuery{})
	if err != nil || len(users.Items) != 1 || users.Items[0].ID != k.User {
		t.Errorf("users: %+v, %v", users, err)
	}
}

func refuseUnknown(t *testing.T, s database.Database, now time.Time, k KeyNames) {
	t.Helper()
	if _, err := s.User(t.Context(), k.Nobody); !errors.Is(err, sandtrail.CodeNotFound) {
		t.Errorf("unknown user: %v", err)
	}
	if page, err := s.Executions(t.Context(), sandtrail.Query{Filter: sandtrail.Filter{UserID: k.Nobody}}, now); err != nil || len(page.Items) > 0 {
		t.Errorf("executions of an unknown user: %+v, %v", page, err)
	}
	unknown := keyed(now, func(e *sandtrail.Execution) { e.UserID, e.StrategyID = k.Nobody, k.Strategy })
	if _, err := s.Append(t.Context(), []sandtrail.Admitted{unknown}); !errors.Is(err, sandtrail.CodeInvalid) {
		t.Errorf("append for an unknown user: %v, want ErrInvalid", err)
	}
}

// useHold places a hold in one spelling and removes it in the other.
func useHold(t *testing.T, s database.Database, now time.Time, k KeyNames) {
	t.Helper()
	hold := sandtrail.Hold{Subject: sandtrail.Users, SubjectID: k.UserToo, Reason: "case 7", CreatedBy: "test", CreatedAt: now}
	if err := s.PutHold(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteUser(t.Context(), k.User); !errors.Is(err, sandtrail.CodeHeld) {
		t.Errorf("delete a held user: %v, want ErrHeld", err)
	}
	if _, err := s.DeleteStrategy(t.Context(), k.StrategyToo); !errors.Is(err, sandtrail.CodeHeld) {
		t.Errorf("delete a held user's strategy: %v, want ErrHeld", err)
	}
	if err := s.RemoveHold(t.Context(), sandtrail.Users, k.User); err != nil {
		t.Error(err)
	}
}

// keyed is a record of a time.
func keyed(at time.Time, change func(*sandtrail.Execution)) sandtrail.Admitted {
	e := sandtrail.Execution{
		ID: sandtrail.NewID(at), Type: sandtrail.Validation, Success: true, ExecutionTime: 120, CreatedAt: sandtrail.Millisecond(at),
	}
	change(&e)
	return sandtrail.Admitted{Execution: e}
}

func appendKeyed(t *testing.T, s database.Database, batch ...sandtrail.Admitted) sandtrail.Appended {
	t.Helper()
	done, err := s.Append(t.Context(), batch)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return done
}

func examine(t *testing.T, s database.Database, now time.Time) {
	t.Helper()
	checks, err := s.Doctor(t.Context(), database.Deep, now)
	if err != nil {
		t.Fatalf("doctor: %v", err)
	}
	for _, c := range checks {
		if !c.OK {
			t.Errorf("doctor: %s: %s (%s)", c.Name, c.Detail, c.Fix)
		}
	}
}
