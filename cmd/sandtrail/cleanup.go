package main

import (
	"context"

	"github.com/sandtrail/sandtrail/internal/human"
)

type cleanupCmd struct {
	OlderThan moment `default:"90d" placeholder:"90d" help:"Delete what is older: a duration back from now, a date or an RFC 3339 time."`
	DryRun    bool   `help:"Count only."`
}

// Examples shows how it is used.
func (cleanupCmd) Examples() []string {
	return []string{
		"sandtrail cleanup --dry-run",
		"sandtrail cleanup --older-than 30d",
		"sandtrail cleanup --older-than 2026-01-01",
	}
}

// Run deletes and prints how many; nothing else goes to standard output.
func (c *cleanupCmd) Run(ctx context.Context, d *deps) error {
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	before := c.OlderThan.at(d.now())
	if c.DryRun {
		n, err := store.CountBefore(ctx, before)
		if err != nil {
			return err
		}
		return d.say("%d", n)
	}
	deleted, err := store.Cleanup(ctx, before)
	if err != nil {
		if deleted > 0 {
			d.warn("stopped after %s; the same command goes on", human.Plural(deleted, "execution"))
		}
		return err
	}
	d.maintain(ctx)
	return d.say("%d", deleted)
}
