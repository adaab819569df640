package main

import (
	"context"

	"github.com/sandtrail/sandtrail/runner"
)

type versionCmd struct{}

// Examples shows how it is used.
func (versionCmd) Examples() []string { return []string{"sandtrail version", "sandtrail --version"} }

// Run prints the version, the commit and its time, and what built it.
func (versionCmd) Run(d *deps) error { return d.say("%s", runner.VersionLine("sandtrail")) }

type helpCmd struct {
	Command []string `arg:"" optional:"" help:"A command, such as users add."`
}

// Examples shows how it is used.
func (helpCmd) Examples() []string { return []string{"sandtrail help", "sandtrail help users add"} }

// Run prints the help of a command.
func (c *helpCmd) Run(ctx context.Context, d *deps) error {
	return d.again(ctx, append(c.Command, "--help"))
}
