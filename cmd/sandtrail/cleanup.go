package main

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/human"
)

type cleanupCmd struct {
	OlderThan moment `default:"90d" help:"Delete what is older: a duration back from now, a date or an RFC 3339 time."`
	All       bool   `help:"Delete every execution, whatever its age, in place of --older-than."`
	periodFlags
	DryRun bool `help:"Count only."`
}

// Examples shows how it is used.
func (cleanupCmd) Examples() []string {
	return []string{
		"sandtrail cleanup --dry-run",
		"sandtrail cleanup --older-than 30d",
		"sandtrail cleanup --keep-type TERMINAL=365d --keep-strategy momentum=7d",
		"sandtrail cleanup --older-than 2026-01-01",
	}
}

// Run deletes and prints how many; nothing else goes to standard output.
func (c *cleanupCmd) Run(ctx context.Context, d *deps) error {
	now := d.now()
	before := c.OlderThan.at(now)
	if every := c.OlderThan.exact.IsZero() && c.OlderThan.ago <= 0 || c.OlderThan.exact.After(now); every && !c.All {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--older-than: this is every execution; if that is meant, say --all")
	}
	if c.All {
		before = now.Add(sandtrail.MaxClockSkew)
	}
	periods, err := c.periods(0)
	if err != nil {
		return err
	}
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	old := periods.Cutoff(now)
	old.Before = before
	if c.DryRun {
		n, err := store.CountBefore(ctx, old)
		if err != nil {
			return err
		}
		c.warnOfHolds(ctx, d, store, old)
		return d.say("%d", n)
	}
	if err := database.AgreeOnTime(ctx, store, d.now()); err != nil {
		return err
	}
	if err := d.recordAct(ctx, auth.CleanupAction, "before "+old.Before.UTC().Format(time.RFC3339)); err != nil {
		return err
	}
	deleted, err := d.deletion(ctx, "Cleaning up", func(ctx context.Context) (int64, error) {
		return store.CountBefore(ctx, old)
	}, func(ctx context.Context) (int64, error) { return store.Cleanup(ctx, old) })
	if err != nil {
		if deleted > 0 {
			d.warn("stopped after %s; the same command goes on", human.Plural(deleted, "execution"))
		}
		return err
	}
	c.warnOfHolds(ctx, d, store, old)
	d.maintain(ctx)
	return d.say("%d", deleted)
}

// warnOfHolds says how many old executions stay. It is not worth failing for.
func (*cleanupCmd) warnOfHolds(ctx context.Context, d *deps, store sandtrail.Store, old sandtrail.Cutoff) {
	switch held, err := store.HeldBefore(ctx, old); {
	case err != nil:
		d.warn("count what is held: %v", err)
	case held > 0:
		d.warn("%s older than that are kept by legal holds (sandtrail hold list)", human.Plural(held, "execution"))
	}
}
