// Command sandtrail-exec is "sandtrail exec" by itself: small and quick to
// start, without a database, to be put into a sandbox image.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/internal/cmdline"
	"github.com/sandtrail/sandtrail/runner"
)

func main() { os.Exit(start(time.Now)) }

const name = "sandtrail-exec"

// flags are those of "sandtrail exec".
type flags struct {
	runner.Target `cmdline:"everywhere"`
	runner.Flags

	Version bool `cmdline:"everywhere" help:"Print the version."`
}

// start records what the process was started for and returns its exit status.
func start(now func() time.Time) int {
	for i, arg := range os.Args {
		os.Args[i] = strings.Clone(arg) // the runner blanks out the kernel's own copy
	}
	return runner.Report(os.Stderr, name, run(context.Background(), os.Args[1:], now))
}

func run(ctx context.Context, args []string, now func() time.Time) error {
	if err := runner.CheckText(args); err != nil {
		return err
	}
	var f flags
	if done, err := f.read(args); done || err != nil {
		return err
	}
	p := &runner.Program{
		Name: name, In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())),
		Getenv:   os.Getenv, Now: now, Target: f.Target,
	}
	if _, server, _ := f.Resolve(os.Getenv); server != "" {
		p.Open = func(context.Context) (sandtrail.Appender, error) { return client.Open(server, f.Key) }
	}
	return f.Record(ctx, p)
}

// read reads the flags, and answers at once those that ask about the program.
func (f *flags) read(args []string) (done bool, err error) {
	line, err := cmdline.New(name, f)
	if err != nil {
		return false, err
	}
	err = line.Parse(args, os.Getenv)
	if errors.Is(err, cmdline.ErrHelp) || len(args) == 0 {
		return true, help(line)
	}
	if f.Version && err == nil {
		_, err = fmt.Println(runner.VersionLine(name))
		return true, err
	}
	if err == nil {
		err = f.Validate()
	}
	if err == nil {
		err = line.Missing()
	}
	var typed cmdline.Typed
	if err == nil {
		typed, err = line.Typed()
	}
	if err == nil {
		err = f.Fits(typed, os.Getenv)
	}
	if err != nil {
		return false, sandtrail.Errorf(sandtrail.CodeInvalid, "%w (see %s --help)", err, name)
	}
	return false, nil
}

func help(line *cmdline.Line) error {
	_, err := fmt.Printf(`Usage: %s --user=ID --strategy=ID [flags] -- COMMAND…

Run a command, measure it and record it, as "sandtrail exec" does. There is no
database in this program. It delivers to a server if one is named; otherwise the
record waits in the outbox, for a sandtrail that has the same outbox or database.

%s

Flags:
%s
Examples:
  %s
`, name, runner.Flags{}.Help(), line.Help(), strings.Join(runner.ExamplesFor(name), "\n  "))
	return err
}
