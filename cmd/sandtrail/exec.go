package main

import (
	"context"

	"github.com/sandtrail/sandtrail/runner"
)

type execCmd struct{ runner.Flags }

// Examples shows how it is used.
func (execCmd) Examples() []string { return runner.ExamplesFor("sandtrail exec") }

// Run runs the command and ends with its status.
func (c *execCmd) Run(ctx context.Context, d *deps) error { return c.Record(ctx, d.program()) }
