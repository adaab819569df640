package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/runner"
)

// cli is the grammar of the command line: one field per command.
type cli struct {
	globals

	Demo     demoCmd     `cmd:"" group:"record" help:"Record real executions of bundled examples and show what can be learnt from them."`
	Exec     execCmd     `cmd:"" group:"record" help:"Run a command, measure it and record it."`
	Outbox   outboxCmd   `cmd:"" group:"record" help:"Show and deliver the executions that wait in the outbox."`
	Record   recordCmd   `cmd:"" group:"record" help:"Store executions from a file or a pipe."`
	List     listCmd     `cmd:"" group:"read" help:"Show executions, newest first."`
	Show     showCmd     `cmd:"" group:"read" help:"Show one execution with its findings."`
	Play     playCmd     `cmd:"" group:"read" help:"Replay the recorded session of an execution."`
	Failures failuresCmd `cmd:"" group:"read" help:"Show what failed lately, with who ran it."`
	Stats    statsCmd    `cmd:"" group:"read" help:"Sum up a strategy or a user."`
	Health   healthCmd   `cmd:"" group:"read" help:"Look at the last executions of a strategy."`
	Trends   trendsCmd   `cmd:"" group:"read" help:"Count executions by day or hour."`
	Export   exportCmd   `cmd:"" group:"read" help:"Write executions to a file of their own, whole."`
	Archive  archiveCmd  `cmd:"" group:"read" help:"Write old weeks to files of their own, before they are deleted."`
	Alert    alertCmd    `cmd:"" group:"read" help:"Evaluate alert rules, show their history, silence them."`

	Serve      serveCmd      `cmd:"" group:"keep" help:"Serve the API and the page, and run the background jobs."`
	Keys       keysCmd       `cmd:"" group:"keep" help:"Create, list and revoke the keys of the API, or do without."`
	Users      usersCmd      `cmd:"" group:"keep" help:"Add, list, show and delete users."`
	Strategies strategiesCmd `cmd:"" group:"keep" help:"Add, list, show and delete strategies."`
	Hold       holdCmd       `cmd:"" group:"keep" help:"Keep users and strategies from every removal."`
	Cleanup    cleanupCmd    `cmd:"" group:"keep" help:"Delete old executions."`
	Migrate    migrateCmd    `cmd:"" group:"keep" help:"Create or update the tables."`
	Verify     verifyCmd     `cmd:"" group:"keep" help:"Compare every execution with the ledger."`
	Ledger     ledgerCmd     `cmd:"" group:"keep" help:"Checkpoints and keys of the ledger."`
	Doctor     doctorCmd     `cmd:"" group:"keep" help:"Examine the database."`

	Bench      benchCmd      `cmd:"" group:"other" help:"Measure a database beside plain SQL."`
	Prisma     prismaCmd     `cmd:"" group:"other" help:"Print the Prisma schema of the tables."`
	Completion completionCmd `cmd:"" group:"other" help:"Print a completion script for a shell."`
	Man        manCmd        `cmd:"" group:"other" help:"Print the manual page."`
	Version    versionCmd    `cmd:"" group:"other" help:"Print the version."`
	Help       helpCmd       `cmd:"" group:"other" help:"Print the help of a command."`

	VersionFlag kong.VersionFlag `name:"version" help:"Print the version."`
}

func groups() []kong.Group {
	return []kong.Group{
		{Key: "record", Title: "Record:"},
		{Key: "read", Title: "Read:"},
		{Key: "keep", Title: "Keep:"},
		{Key: "other", Title: "Other:"},
	}
}

// examples is implemented by commands; each line is a command to try.
type examples interface{ Examples() []string }

// newParser makes the grammar for the arguments and says where its global
// flags will be. Where the first of them is a command its grammar suffices: the
// whole takes as long to build as everything else at the start.
func newParser(args []string, d *deps) (*kong.Kong, *globals, error) {
	c := &cli{}
	if len(args) > 0 {
		if command := c.command(args[0]); command != nil {
			c := &struct{ globals }{}
			parser, err := parserOf(c, d, command)
			return parser, &c.globals, err
		}
	}
	parser, err := parserOf(c, d)
	return parser, &c.globals, err
}

// wholeGrammar are the commands that look at all the others.
var wholeGrammar = []string{"completion", "help", "man"}

// command is the part of the grammar that a command needs; nil: the whole.
func (c *cli) command(name string) kong.Option {
	if slices.Contains(wholeGrammar, name) {
		return nil
	}
	grammar := reflect.ValueOf(c).Elem()
	for i := range grammar.NumField() {
		field := grammar.Type().Field(i)
		if _, ok := field.Tag.Lookup("cmd"); ok && strings.ToLower(field.Name) == name {
			return kong.DynamicCommand(name, field.Tag.Get("help"), field.Tag.Get("group"), grammar.Field(i).Addr().Interface())
		}
	}
	return nil
}

func parserOf(grammar any, d *deps, more ...kong.Option) (*kong.Kong, error) {
	return kong.New(grammar, append(append(numbers(), more...),
		kong.Name("sandtrail"),
		kong.Description("An audit trail for code sandboxes: who ran what, when, with what result and at what cost."),
		kong.Writers(d.out, d.err),
		kong.Exit(func(int) { d.helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Help(printHelp),
		kong.ExplicitGroups(groups()),
		kong.Vars{"version": runner.VersionLine("sandtrail")},
	)...)
}

// printHelp is kong's help with the examples of the command behind it.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	node := ctx.Selected()
	if node == nil || !node.Target.CanAddr() {
		return nil
	}
	with, ok := node.Target.Addr().Interface().(examples)
	if !ok {
		return nil
	}
	_, err := fmt.Fprintf(ctx.Stdout, "\nExamples:\n  %s\n", strings.Join(with.Examples(), "\n  "))
	return err
}

// run does what the arguments say and returns the exit status.
func run(ctx context.Context, args []string, d *deps) int {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if err := runner.CheckText(args); err != nil {
		return report(d.err, err)
	}
	parser, flags, err := newParser(args, d)
	if err != nil {
		return report(d.err, err)
	}
	parsed, err := parser.Parse(args)
	if d.helped {
		return 0
	}
	if err != nil {
		return report(d.err, usage(parser, args, err))
	}
	d.globals, d.parser, d.makes = *flags, parser, slices.Contains(makers, pathOf(parsed.Selected()))
	if err := d.refuseDropped(parsed); err != nil {
		return report(d.err, sandtrail.Errorf(sandtrail.CodeInvalid, "%w (see %s --help)", err, parsed.Selected().FullPath()))
	}
	parsed.Bind(d)
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run()
	if err == nil {
		d.deliverWaiting(ctx, pathOf(parsed.Selected()))
	}
	return report(d.err, errors.Join(err, d.close()))
}

// Exit statuses. Anything else is the status of a command that exec ran.
const (
	statusFinding     = 1 // an alert fires, a check failed, a removal is refused
	statusUsage       = 2 // usage or input
	statusUnavailable = 3 // the store or server is out of reach
)

// exitStatus ends the program with a status, after everything was said.
type exitStatus = runner.ExitStatus

// report tells a person what went wrong and returns the exit status.
func report(w io.Writer, err error) int { return runner.Report(w, "sandtrail", err) }
