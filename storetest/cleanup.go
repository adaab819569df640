package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// appendHourly stores an execution of u or v for each of the last n hours.
func (k *kit) appendHourly(n int) (drafts []sandtrail.Draft) {
	k.Helper()
	k.putUsers("u", "v")
	k.putStrategies("s")
	for i := range n {
		drafts = append(drafts, draft([]string{"u", "v"}[i%2], "s", noon.Add(-time.Duration(i)*time.Hour)))
	}
	k.append(drafts...)
	return drafts
}

// cleanupExact deletes to the record, and its count is exact.
func cleanupExact(k *kit) {
	drafts := k.appendHourly(1500)
	for _, before := range []time.Time{
		noon.Add(-2000 * time.Hour),
		noon.Add(-1499*time.Hour + 1),
		noon.Add(-1400 * time.Hour),
		noon.Add(-1400*time.Hour + time.Millisecond),
		noon.Add(-800 * time.Hour), // weeks at once
		noon.Add(-800 * time.Hour),
		noon.Add(-3 * time.Hour),
		time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		k.cleanUp(sandtrail.Before(before))
		k.statistics("u", "s")
		k.sound()
	}
	// A record deleted is a new record when it comes again.
	k.append(drafts[:3]...)
	k.walk(sandtrail.Query{})

	// Interrupted at any step, it says what it did and can go on.
	k.append(drafts...)
	var total int64
	for looks := 1; ; looks *= 2 {
		ctx := newCountdown(k.ctx, looks)
		deleted, err := k.db.Cleanup(ctx, sandtrail.Before(noon.Add(time.Hour)))
		ctx.end()
		total += deleted
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			k.Fatalf("interrupted: %v", err)
		}
		left, err := k.db.CountBefore(k.ctx, sandtrail.Before(noon.Add(time.Hour)))
		if err != nil {
			k.Fatal(err)
		}
		if total+left > int64(len(drafts)) {
			k.Fatalf("%d were deleted and %d are left of %d", total, left, len(drafts))
		}
	}
	k.sound()
}

// periodsOfTheirOwn cleans up by cutoffs that types and strategies have, longer
// and shorter ones than the rest, over whole weeks and parts of them.
func periodsOfTheirOwn(k *kit) {
	k.putUsers("u", "v")
	strategies := []string{"s", "kept", "brief", `"'`}
	k.putStrategies(strategies...)
	var drafts []sandtrail.Draft
	for i := range 1500 {
		drafts = append(drafts, draft([]string{"u", "v"}[i%2], strategies[i/2%4], noon.Add(-time.Duration(i)*time.Hour), func(d *sandtrail.Draft) {
			if i%3 == 0 {
				d.Type = sandtrail.Terminal
			}
		}))
	}
	k.append(drafts...)
	k.hold(sandtrail.Users, "v")
	type (
		types  = map[sandtrail.ExecutionType]time.Time
		owners = map[string]time.Time
	)
	ago := func(hours int) time.Time { return noon.Add(-time.Duration(hours) * time.Hour).Add(1) }
	for _, c := range []sandtrail.Cutoff{
		{Strategies: owners{`"'`: ago(1400), "nobody": ago(0), "strategy s": ago(0)}},
		{Before: ago(1300), Types: types{sandtrail.Terminal: {}}},
		{Before: ago(1000), Types: types{sandtrail.Terminal: ago(1200)}, Strategies: owners{"kept": {}, "brief": ago(500)}},
		{Before: ago(900), Types: types{sandtrail.Terminal: ago(700)}, Strategies: owners{"kept": ago(950), "brief": ago(600)}},
		{Types: types{sandtrail.Terminal: ago(300), sandtrail.Validation: ago(400)}, Strategies: owners{"brief": ago(100)}},
		{Before: ago(200)},
	} {
		if k.cleanUp(c) == 0 {
			k.Errorf("%v: nothing deleted", c)
		}
		k.statistics("u", "kept")
		k.sound()
	}
	k.release(sandtrail.Users, "v")
	k.cleanUp(sandtrail.Cutoff{Before: ago(0), Types: types{sandtrail.Terminal: ago(50)}})
}

// migrateAgain finds nothing to do, however many try.
func migrateAgain(k *kit) {
	var errs [8]error
	var applied [8][]database.Migration
	together(len(errs), func(i int) { applied[i], errs[i] = k.db.Migrate(k.ctx, k.now) })
	for i := range errs {
		if errs[i] != nil || len(applied[i]) != 0 {
			k.Errorf("migrate again: %v, %v", applied[i], errs[i])
		}
	}
	all, err := k.db.Migrations(k.ctx)
	if err != nil || len(all) == 0 {
		k.Fatalf("migrations: %v, %v", all, err)
	}
	for i, m := range all {
		if m.Applied.IsZero() || m.SQL == "" || m.Name == "" || m.Version != i+1 {
			k.Errorf("migration %d: %+v", i+1, m)
		}
	}
	if err := k.db.Ping(k.ctx); err != nil {
		k.Errorf("ping: %v", err)
	}
	if err := k.db.Maintain(k.ctx, k.now); err != nil {
		k.Errorf("maintain: %v", err)
	}
	k.sound()
	if checks, err := k.db.Doctor(k.ctx, database.Shallow, k.now); err != nil || len(checks) == 0 {
		k.Errorf("doctor: %v, %v", checks, err)
	}
}

// errorsByCode asks for what is not there and for what makes no sense.
func errorsByCode(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	for name, ask := range map[string]func(sandtrail.Store) (any, error){
		"execution":       func(s sandtrail.Store) (any, error) { return s.Execution(k.ctx, sandtrail.NewID(noon)) },
		"execution zero":  func(s sandtrail.Store) (any, error) { return s.Execution(k.ctx, sandtrail.ID{}) },
		"user":            func(s sandtrail.Store) (any, error) { return s.User(k.ctx, "x") },
		"strategy":        func(s sandtrail.Store) (any, error) { return s.Strategy(k.ctx, "x") },
		"delete user":     func(s sandtrail.Store) (any, error) { return s.DeleteUser(k.ctx, "x") },
		"delete strategy": func(s sandtrail.Store) (any, error) { return s.DeleteStrategy(k.ctx, "x") },
		"user stats":      func(s sandtrail.Store) (any, error) { return s.UserStats(k.ctx, "x") },
		"strategy stats":  func(s sandtrail.Store) (any, error) { return s.StrategyStats(k.ctx, "x") },
		"health":          func(s sandtrail.Store) (any, error) { return s.StrategyHealth(k.ctx, "x", 1) },
		"health of none":  func(s sandtrail.Store) (any, error) { return s.StrategyHealth(k.ctx, "s", 0) },
		"health of many":  func(s sandtrail.Store) (any, error) { return s.StrategyHealth(k.ctx, "s", 10001) },
		"limit":           func(s sandtrail.Store) (any, error) { return s.Executions(k.ctx, sandtrail.Query{Limit: 1001}, noon) },
		"cursor":          func(s sandtrail.Store) (any, error) { return s.Executions(k.ctx, sandtrail.Query{Cursor: "x"}, noon) },
		"type": func(s sandtrail.Store) (any, error) {
			return s.Executions(k.ctx, sandtrail.Query{Filter: sandtrail.Filter{Type: "X"}}, noon)
		},
		"text with NUL": func(s sandtrail.Store) (any, error) {
			return s.Executions(k.ctx, sandtrail.Query{Filter: sandtrail.Filter{Text: "\x00"}}, noon)
		},
	} {
		if _, err := both(k, name, ask); err == nil {
			k.Errorf("%s: answered", name)
		}
	}
	// What no id can be is not an internal error, whichever of two codes it is.
	for _, id := range []string{"", "\x00", "u\x00", "\xff"} {
		for name, err := range map[string]error{
			"user":            second(k.db.User(k.ctx, id)),
			"strategy":        second(k.db.Strategy(k.ctx, id)),
			"delete user":     second(k.db.DeleteUser(k.ctx, id)),
			"delete strategy": second(k.db.DeleteStrategy(k.ctx, id)),
			"user stats":      second(k.db.UserStats(k.ctx, id)),
			"strategy stats":  second(k.db.StrategyStats(k.ctx, id)),
		} {
			if code := sandtrail.CodeOf(err); code != sandtrail.CodeNotFound && code != sandtrail.CodeInvalid {
				k.Errorf("%s %q: %v", name, id, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

// DeletionIsReported checks that a store tells of the steps of a deletion, as
// the client of one does not.
func DeletionIsReported(t *testing.T, open func(t *testing.T) database.Database) {
	k := newKit(t, open)
	k.appendHourly(1500)
	var reported int64
	ctx := database.OnDeleted(k.ctx, func(n int64) { reported += n })
	for name, remove := range map[string]func() (int64, error){
		"cleanup":     func() (int64, error) { return k.db.Cleanup(ctx, sandtrail.Before(noon.Add(-700*time.Hour))) },
		"delete user": func() (int64, error) { return k.db.DeleteUser(ctx, "u") },
	} {
		reported = 0
		deleted, err := remove()
		if err != nil || deleted == 0 || reported != deleted {
			t.Errorf("%s: %d deleted, %d reported, %v", name, deleted, reported, err)
		}
	}
}

// CleanupArchived checks that what the archive does not have stays, such as
// what came after it was written, and keeps nothing newer from going.
func CleanupArchived(t *testing.T, open func(t *testing.T) database.Database) {
	k := newKit(t, open)
	ids := k.append(k.appendHourly(1500)...).IDs // duplicates
	late := k.append(draft("u", "s", noon.Add(-1000*time.Hour)), draft("v", "s", noon.Add(-1400*time.Hour))).IDs
	archived := map[sandtrail.ID]bool{}
	for _, test := range []struct {
		name    string
		archive []sandtrail.ID
		since   time.Time
		want    int64
	}{
		{"the newer ones", ids[:900], time.Time{}, 900 - 401},
		{"since a time", ids, noon.Add(-1200 * time.Hour), 1201 - 900},
		{"what came late is not", nil, time.Time{}, 1500 - 1201},
		{"it is still not", nil, time.Time{}, 0},
		{"all", late, time.Time{}, 2},
	} {
		for _, id := range test.archive {
			archived[id] = true
		}
		deleted := must(k, test.name, func(s sandtrail.Store) (int64, error) {
			return s.(database.ArchivedCleaner).CleanupArchived(k.ctx, test.since, sandtrail.Before(noon.Add(-400*time.Hour)),
				func(id sandtrail.ID) bool { return archived[id] })
		})
		if deleted != test.want {
			k.Errorf("%s: %d deleted, want %d", test.name, deleted, test.want)
		}
		k.walk(sandtrail.Query{Limit: 1000})
		k.statistics("u", "s")
		k.sound()
	}
}
