package storetest

import (
	"errors"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
)

// holds keeps what is held from every removal, whole weeks too, and lets it go
// when the hold ends.
func holds(k *kit) {
	k.putUsers("u", "v", "idle")
	k.putStrategies("s", "r")
	var drafts []sandtrail.Draft
	for i := range 1300 {
		drafts = append(drafts, draft([]string{"u", "v"}[i%2], []string{"s", "s", "r"}[i%3], noon.Add(-time.Duration(i)*time.Hour)))
	}
	k.append(drafts...)
	k.hold(sandtrail.Users, "u")
	k.hold(sandtrail.Strategies, "r")
	k.hold(sandtrail.Users, "idle")
	for _, bad := range []sandtrail.Hold{
		{Subject: sandtrail.Users, SubjectID: "nobody"},
		{Subject: sandtrail.Strategies, SubjectID: "u"},
		{Subject: "team", SubjectID: "u"},
		{Subject: sandtrail.Users},
	} {
		_, _ = both(k, "put a bad hold", func(s sandtrail.Store) (any, error) { return nil, s.PutHold(k.ctx, bad) })
	}
	for _, owner := range []string{"u", "v", "idle"} { // v has executions of r
		k.refusesDelete(owner, func(s sandtrail.Store) (int64, error) { return s.DeleteUser(k.ctx, owner) })
	}
	for _, owner := range []string{"r", "s"} { // s has executions of u
		k.refusesDelete(owner, func(s sandtrail.Store) (int64, error) { return s.DeleteStrategy(k.ctx, owner) })
	}
	k.cleanUp(sandtrail.Before(noon.Add(-100 * time.Hour)))

	k.release(sandtrail.Users, "u")
	_, _ = both(k, "remove a hold again", func(s sandtrail.Store) (any, error) {
		return nil, s.RemoveHold(k.ctx, sandtrail.Users, "u")
	})
	k.cleanUp(sandtrail.Before(noon.Add(-50 * time.Hour)))
	k.release(sandtrail.Strategies, "r")
	must(k, "delete user", func(s sandtrail.Store) (int64, error) { return s.DeleteUser(k.ctx, "v") })
	k.cleanUp(sandtrail.Before(noon.Add(time.Hour)))
	k.statistics("u", "s")
	k.sound()
}

func (k *kit) hold(subject sandtrail.Subject, id string) {
	k.Helper()
	h := sandtrail.Hold{Subject: subject, SubjectID: id, Reason: "Fall 7", CreatedBy: "cli", CreatedAt: noon}
	must(k, "hold "+id, func(s sandtrail.Store) (any, error) { return nil, s.PutHold(k.ctx, h) })
	must(k, "holds", func(s sandtrail.Store) ([]sandtrail.Hold, error) { return s.Holds(k.ctx) })
}

func (k *kit) release(subject sandtrail.Subject, id string) {
	k.Helper()
	must(k, "release "+id, func(s sandtrail.Store) (any, error) { return nil, s.RemoveHold(k.ctx, subject, id) })
	must(k, "holds", func(s sandtrail.Store) ([]sandtrail.Hold, error) { return s.Holds(k.ctx) })
}

func (k *kit) refusesDelete(owner string, ask func(sandtrail.Store) (int64, error)) {
	k.Helper()
	holds, err := k.db.Holds(k.ctx)
	if err != nil || len(holds) == 0 || holds[0].CreatedBy == "" {
		k.Fatalf("holds: %+v, %v", holds, err)
	}
	_, err = both(k, "delete "+owner, ask)
	if !errors.Is(err, sandtrail.CodeHeld) {
		k.Errorf("delete %s: got %v, want ErrHeld", owner, err)
	} else if !strings.Contains(err.Error(), `by `+holds[0].CreatedBy+`, for "Fall 7"`) { // a server enters its caller's name
		k.Errorf("delete %s: who placed the hold, and why, is not in: %v", owner, err)
	}
	k.walk(sandtrail.Query{Limit: 1000})
}

// cleanUp cleans up and compares what was counted before, what went and what
// is left.
func (k *kit) cleanUp(c sandtrail.Cutoff) int64 {
	k.Helper()
	must(k, "held", func(s sandtrail.Store) (int64, error) { return s.HeldBefore(k.ctx, c) })
	expected := must(k, "count", func(s sandtrail.Store) (int64, error) { return s.CountBefore(k.ctx, c) })
	deleted := must(k, "cleanup", func(s sandtrail.Store) (int64, error) { return s.Cleanup(k.ctx, c) })
	if deleted != expected {
		k.Errorf("%v: %d deleted, %d were counted", c, deleted, expected)
	}
	k.walk(sandtrail.Query{Limit: 1000})
	return deleted
}
