package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// cancelledContexts calls every method with a context that has ended.
func cancelledContexts(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	k.append(draft("u", "s", noon))
	ctx, cancel := context.WithCancel(k.ctx)
	cancel()
	for name, call := range map[string]func() error{
		"Append": func() error {
			_, err := k.db.Append(ctx, k.admit(draft("u", "s", noon)))
			return err
		},
		"Execution": func() error { _, err := k.db.Execution(ctx, sandtrail.NewID(noon)); return err },
		"ExecutionByPrefix": func() error {
			_, err := k.db.ExecutionByPrefix(ctx, sandtrail.IDPrefix{High: sandtrail.NewID(noon)}, "")
			return err
		},
		"Executions":     func() error { _, err := k.db.Executions(ctx, sandtrail.Query{}, noon); return err },
		"StrategyStats":  func() error { _, err := k.db.StrategyStats(ctx, "s"); return err },
		"StrategyHealth": func() error { _, err := k.db.StrategyHealth(ctx, "s", 1); return err },
		"UserStats":      func() error { _, err := k.db.UserStats(ctx, "u"); return err },
		"Trends": func() error {
			_, err := k.db.Trends(ctx, sandtrail.TrendQuery{Since: noon.Add(-time.Hour), Until: noon})
			return err
		},
		"WindowStats":    func() error { _, err := k.db.WindowStats(ctx, sandtrail.Window{}); return err },
		"Ranking":        func() error { _, err := k.db.Ranking(ctx, sandtrail.RankQuery{Subject: sandtrail.Users}); return err },
		"PutUser":        func() error { return k.db.PutUser(ctx, sandtrail.User{ID: "x", Email: "x@example.com"}) },
		"User":           func() error { _, err := k.db.User(ctx, "u"); return err },
		"Users":          func() error { _, err := k.db.Users(ctx, sandtrail.OwnerQuery{}); return err },
		"DeleteUser":     func() error { _, err := k.db.DeleteUser(ctx, "u"); return err },
		"PutStrategy":    func() error { return k.db.PutStrategy(ctx, sandtrail.Strategy{ID: "x", Name: "x"}) },
		"Strategy":       func() error { _, err := k.db.Strategy(ctx, "s"); return err },
		"Strategies":     func() error { _, err := k.db.Strategies(ctx, sandtrail.OwnerQuery{}); return err },
		"DeleteStrategy": func() error { _, err := k.db.DeleteStrategy(ctx, "s"); return err },
		"CountBefore":    func() error { _, err := k.db.CountBefore(ctx, sandtrail.Before(noon)); return err },
		"Cleanup":        func() error { _, err := k.db.Cleanup(ctx, sandtrail.Before(noon.Add(time.Hour))); return err },
		"PutHold": func() error {
			return k.db.PutHold(ctx, sandtrail.Hold{Subject: sandtrail.Users, SubjectID: "u"})
		},
		"Holds":      func() error { _, err := k.db.Holds(ctx); return err },
		"RemoveHold": func() error { return k.db.RemoveHold(ctx, sandtrail.Users, "u") },
		"HeldBefore": func() error { _, err := k.db.HeldBefore(ctx, sandtrail.Before(noon)); return err },
		"Ping":       func() error { return k.db.Ping(ctx) },
		"Migrations": func() error { _, err := k.db.Migrations(ctx); return err },
		"Migrate":    func() error { _, err := k.db.Migrate(ctx, noon); return err },
		"Doctor":     func() error { _, err := k.db.Doctor(ctx, database.Shallow, noon); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			k.Errorf("%s: got %v, want an error that wraps context.Canceled", name, err)
		}
	}
	k.walk(sandtrail.Query{})
	must(k, "users", func(s sandtrail.Store) (any, error) { return s.Users(k.ctx, sandtrail.OwnerQuery{}) })
	must(k, "strategies", func(s sandtrail.Store) (any, error) { return s.Strategies(k.ctx, sandtrail.OwnerQuery{}) })
}

// countdown is a context that ends when it has been looked at often enough,
// so that a call can be interrupted at each of its steps without a clock.
type countdown struct {
	context.Context
	mu    sync.Mutex
	looks int // left
	end   context.CancelFunc
}

func newCountdown(parent context.Context, looks int) *countdown {
	ctx, cancel := context.WithCancel(parent)
	return &countdown{Context: ctx, looks: looks, end: cancel}
}

func (c *countdown) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.looks--; c.looks == 0 {
		c.end()
	}
}

func (c *countdown) Done() <-chan struct{} {
	c.look()
	return c.Context.Done()
}

func (c *countdown) Err() error {
	c.look()
	return c.Context.Err()
}

// cancelledDuringAppend interrupts appends at their every step: what they
// were writing is wholly there or not at all.
func cancelledDuringAppend(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	const size = 300
	for looks := 1; ; looks += 1 + looks/8 {
		drafts := make([]sandtrail.Draft, size)
		for i := range drafts {
			drafts[i] = draft("u", "s", noon.Add(-time.Duration(i)*time.Hour))
		}
		batch := k.admit(drafts...)
		ctx := newCountdown(k.ctx, looks)
		_, err := k.db.Append(ctx, batch)
		interrupted := ctx.Context.Err() != nil
		ctx.end()
		if err != nil && !errors.Is(err, context.Canceled) {
			k.Fatalf("interrupted at look %d: got %v, want an error that wraps context.Canceled", looks, err)
		}
		stored, err2 := k.db.CountBefore(k.ctx, sandtrail.Before(noon.Add(time.Hour)))
		if err2 != nil {
			k.Fatal(err2)
		}
		if stored%size != 0 || err == nil && stored == 0 {
			k.Fatalf("interrupted at look %d (%v): %d records are stored, want none or all %d", looks, err, stored, size)
		}
		if stored > 0 {
			if _, err := k.db.DeleteUser(k.ctx, "u"); err != nil {
				k.Fatal(err)
			}
			if err := k.db.PutUser(k.ctx, sandtrail.User{ID: "u", Email: "u@example.com"}); err != nil {
				k.Fatal(err)
			}
		}
		if !interrupted {
			break
		}
	}
	k.sound()
}
