//go:build linux

// Command torture loads a store with every kind of client while servers, clients,
// databases, disks, clocks and networks fail, and holds afterwards what is stored
// against what was acknowledged. It is the campaign of docs/reliability.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if dir := os.Getenv(spoolEnv); dir != "" {
		if err := spoolClient(dir, os.Getenv(spoolURLEnv), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	o, report, err := parse(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := torture(ctx, o)
	if c != nil {
		err = errors.Join(err, report.write(c))
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "torture: interrupted")
		return 130
	case err != nil:
		fmt.Fprintln(os.Stderr, "torture:", err)
		return 3
	case c.losses() > 0:
		return 1
	}
	return 0
}

// parse reads the flags.
func parse(args []string) (o options, r report, err error) {
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	flags.Uint64Var(&o.Seed, "seed", 1, "the same `number` gives the same faults in the same rounds")
	flags.StringVar(&o.Store, "store", "sqlite", "sqlite or postgres")
	flags.DurationVar(&o.For, "for", 0, "how long to go on; 0: as many rounds as -rounds says")
	flags.IntVar(&o.Rounds, "rounds", 20, "how many rounds")
	flags.IntVar(&o.First, "first", 1, "the round to begin with, to repeat one")
	flags.IntVar(&o.Epoch, "epoch", 15, "rounds until the store is made anew, which bounds the disk")
	flags.DurationVar(&o.Load, "load", 3*time.Second, "how long a round loads the store, at least")
	names := flags.String("faults", "", "names of the faults to try, separated by commas; all without it")
	memory := flags.Int64("memory", 256, "how many `MiB` of memory a server may have")
	flags.DurationVar(&o.Health, "health", time.Second, "in what time /healthz must answer, waits for a processor left out")
	flags.IntVar(&o.Size, "size", 0, "of the file system of the store, in `MiB` (default 96 for SQLite, 400 for PostgreSQL)")
	nice := flags.Int("nice", 10, "how far to stand back behind other programs, from 0 to 19")
	flags.StringVar(&r.table, "table", "", "the `file` in which the table is to be replaced")
	list := flags.Bool("list", false, "print the faults and what is promised, and try none")
	if err := flags.Parse(args); err != nil {
		return o, r, err
	}
	o.Out, o.Memory, r.command = os.Stdout, *memory<<20, strings.Join(args, " ")
	if *names != "" {
		o.Faults = strings.Split(*names, ",")
	}
	if *list {
		for _, f := range faults() {
			fmt.Printf("%s: %s\n", f.name, f.promise)
		}
		os.Exit(0)
	}
	switch {
	case o.Store != "sqlite" && o.Store != "postgres":
		return o, r, fmt.Errorf("-store %s: must be sqlite or postgres", o.Store)
	case flags.NArg() > 0:
		return o, r, fmt.Errorf("%q: there are flags only; -help lists them", flags.Arg(0))
	case o.Size == 0:
		o.Size = map[string]int{"sqlite": 96, "postgres": 400}[o.Store]
	}
	return o, r, standBack(*nice)
}

// standBack has every thread stand back, and what they start.
func standBack(nice int) error {
	threads, err := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		if id, notNumber := strconv.Atoi(thread.Name()); notNumber == nil {
			err = errors.Join(err, syscall.Setpriority(syscall.PRIO_PROCESS, id, nice))
		}
	}
	return err
}
