// Command sandtrail records what ran in a code sandbox and answers questions
// about it.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // any zone can be asked for, also on a machine that knows none

	"golang.org/x/term"
)

func main() { os.Exit(start(time.Now)) }

// start runs the command that the process was started for and returns its exit
// status.
func start(now func() time.Time) int {
	for i, arg := range os.Args {
		os.Args[i] = strings.Clone(arg) // exec blanks out the kernel's own copy
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], &deps{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		getenv: os.Getenv, now: now, wait: wait, collector: setCollector,
		inTTY: term.IsTerminal(int(os.Stdin.Fd())), outTTY: term.IsTerminal(int(os.Stdout.Fd())), errTTY: term.IsTerminal(int(os.Stderr.Fd())),
	})
	stop()
	return status
}

// setCollector sets Go's garbage collector up for a server, which keeps a few megabytes
// and goes through hundreds a second: it runs seldom, and often only once the
// memory nears the limit. GOGC and GOMEMLIMIT are heeded where they are set.
func setCollector(percent int, limit int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
