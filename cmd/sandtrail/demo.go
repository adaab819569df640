package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/sandtrail/sandtrail"
	bundled "github.com/sandtrail/sandtrail/examples"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/recorder"
	"github.com/sandtrail/sandtrail/recorder/systemd"
)

type demoCmd struct {
	NoServe bool     `xor:"page" help:"Stop after the findings; do not serve the page."`
	Listen  hostPort `xor:"page" placeholder:"ADDRESS" help:"Address to serve the page on (default 127.0.0.1:8471)."`
}

// Examples shows how it is used.
func (demoCmd) Examples() []string {
	return []string{"sandtrail demo", "sandtrail demo --no-serve", "sandtrail list --db sqlite:sandtrail-demo.db"}
}

// Run records real runs and prints what can be learnt from them.
func (c *demoCmd) Run(ctx context.Context, d *deps) error {
	where := ""
	if d.DB == "" && d.Server == "" {
		d.DB, where = demoDB, " --db "+demoDB
	}
	if err := c.checkAddress(d); err != nil {
		return err
	}
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	if err := mustBeOfDemo(ctx, store); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sandtrail-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := bundled.Extract(dir); err != nil {
		return err
	}
	s := show{deps: d, store: store, dir: dir, where: where}
	if err := s.record(ctx); err != nil {
		return err
	}
	d.maintain(ctx)
	if err := s.findings(ctx); err != nil {
		return err
	}
	if c.NoServe {
		return nil
	}
	return c.serve(ctx, d)
}

// checkAddress refuses an address that cannot be served before anything is run.
func (c *demoCmd) checkAddress(d *deps) error {
	_, server, err := d.target()
	switch {
	case err != nil || c.NoServe:
		return err
	case server != "" && c.Listen != "":
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--listen: the page is that of the server: leave the flag out")
	case server != "":
		return nil
	}
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:8471")
	listener, err := net.Listen("tcp", string(c.Listen))
	if err != nil {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--listen: %w: give another address, or --no-serve", err)
	}
	return listener.Close()
}

// serve goes on as the command of that name, with a store of its own.
func (c *demoCmd) serve(ctx context.Context, d *deps) error {
	if _, server, _ := d.target(); server != "" {
		return d.say("\nThe page is that of %s", server)
	}
	if err := d.close(); err != nil {
		return err
	}
	d.opened = nil
	if err := d.say("\nThe page: http://%s (Ctrl-C ends it)", c.Listen); err != nil {
		return err
	}
	return d.again(ctx, []string{"serve", "--listen", string(c.Listen), "--log-level", "warn"})
}

// demoDB is the demo's own file. It never writes into a store in use.
const demoDB = "sqlite:sandtrail-demo.db"

// mustBeOfDemo refuses a store that has more than the demo writes.
func mustBeOfDemo(ctx context.Context, store sandtrail.Store) error {
	users, err := store.Users(ctx, sandtrail.OwnerQuery{Limit: sandtrail.MaxLimit})
	if err != nil {
		return err
	}
	strategies, err := store.Strategies(ctx, sandtrail.OwnerQuery{Limit: sandtrail.MaxLimit})
	if err != nil {
		return err
	}
	foreign := slices.ContainsFunc(users.Items, func(u sandtrail.User) bool {
		return !slices.ContainsFunc(demoUsers(), func(own sandtrail.User) bool { return own.ID == u.ID && own.Email == u.Email })
	}) || slices.ContainsFunc(strategies.Items, func(s sandtrail.Strategy) bool {
		return !slices.ContainsFunc(bundled.All(), func(e bundled.Example) bool { return e.Strategy == s })
	})
	if foreign {
		return sandtrail.Errorf(sandtrail.CodeConflict,
			"the demo writes users, strategies and failures of its own, and this store has others: leave out --db and --server for a file of the demo's own, or name an empty one")
	}
	return nil
}

// show is one performance of the demo.
type show struct {
	deps  *deps
	store sandtrail.Store
	dir   string
	where string // the flag that a caller needs to ask the same, if any
}

func demoUsers() []sandtrail.User {
	user := func(id, name string) sandtrail.User {
		return sandtrail.User{ID: id, Email: id + "@example.com", Name: &name}
	}
	return []sandtrail.User{user("ada", "Ada Lovelace"), user("grace", "Grace Hopper"), user("alan", "Alan Turing")}
}

// Every user runs every example, those that take long excepted. When patience
// ends, on a slow machine, what a shell can run has at least been run once.
const demoPatience = 10 * time.Second

// record runs the examples for each user.
func (s *show) record(ctx context.Context) error {
	playable, missing := s.playable()
	users := demoUsers()
	for _, u := range users {
		if err := s.store.PutUser(ctx, u); err != nil {
			return err
		}
	}
	for _, e := range playable {
		if err := s.store.PutStrategy(ctx, e.Strategy); err != nil {
			return err
		}
	}
	if err := s.title("Running and recording the examples"); err != nil {
		return err
	}
	begun, runs := time.Now(), 0
	for round := range users {
		for i, e := range playable {
			tired := time.Since(begun) > demoPatience
			if round > 0 && (e.IsLong() || tired) || tired && e.Needs() != "sh" {
				continue
			}
			r, err := s.run(ctx, e, users[(round+i)%len(users)])
			if err == nil && round == 0 {
				err = s.tell(e, r)
			}
			if err != nil {
				return err
			}
			runs++
		}
	}
	if len(missing) > 0 {
		if err := s.deps.say("Left out: %s, for lack of %s in PATH.",
			human.Plural(int64(len(missing)), "example"), missing[0].Needs()); err != nil {
			return err
		}
	}
	return s.deps.say("\n%s recorded, for %s.", human.Plural(int64(runs), "execution"), human.Plural(int64(len(users)), "user"))
}

// playable separates the examples that this machine can run.
func (s *show) playable() (playable, missing []bundled.Example) {
	for _, e := range bundled.All() {
		if _, err := exec.LookPath(e.Needs()); err != nil {
			missing = append(missing, e)
		} else {
			playable = append(playable, e)
		}
	}
	return playable, missing
}

// run runs an example and stores its record.
func (s *show) run(ctx context.Context, e bundled.Example, u sandtrail.User) (recorder.Result, error) {
	command := recorder.Command{
		Args: e.Args, Dir: s.dir, Timeout: e.Timeout, Grace: 200 * time.Millisecond,
		Limits: recorder.Limits{MemoryMiB: e.MemoryMiB}, OwnProcess: true, StartScope: systemd.StartScope,
	}
	if e.Source != "" {
		command.Source = filepath.Join(s.dir, e.Source)
	}
	if e.Stdin != "" {
		f, err := os.Open(filepath.Join(s.dir, e.Stdin))
		if err != nil {
			return recorder.Result{}, err
		}
		defer f.Close()
		command.Stdin = f
	}
	r, err := recorder.Run(ctx, command)
	if err != nil {
		return r, err
	}
	admitted, err := sandtrail.Admission{Now: s.deps.now()}.Admit(r.Draft(u.ID, e.Strategy.ID, e.Type))
	if err != nil {
		return r, err
	}
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	_, err = s.store.Append(ctx, admitted)
	return r, err
}

// tell says in a line what came of an example.
func (s *show) tell(e bundled.Example, r recorder.Result) error {
	mark, color := "✓", text.FgGreen
	switch {
	case r.Status == recorder.TimedOut:
		mark, color = "⏱", text.FgYellow
	case !r.Success():
		mark, color = "✗", text.FgRed
	}
	d := r.Draft("", "", e.Type)
	return s.deps.say("%s %-14s %-32s %9s %9s %8s CPU", s.deps.paint(color, mark), e.Strategy.Name, e.About,
		human.Millis(float64(*d.ExecutionTime)), human.OptInt(d.MemoryUsed, human.MiB), human.Opt(d.CPUUsage, human.Percent))
}

// findings asks the questions that records are kept for, with the commands
// that ask them.
func (s *show) findings(ctx context.Context) error {
	questions := [][]string{
		{"list", "--limit", "8"},
		{"failures", "--limit", "6"},
		{"stats", "--strategy", "momentum"},
		{"health", "--strategy", "endless"},
		{"trends", "--days", "3"},
		{"alert", "check"},
	}
	for _, args := range questions {
		if err := s.title("sandtrail " + strings.Join(args, " ") + s.where); err != nil {
			return err
		}
		if err := s.deps.again(ctx, args); err != nil {
			return err
		}
	}
	return nil
}

func (s *show) title(line string) error {
	return s.deps.say("\n%s", s.deps.paint(text.Bold, line))
}

// again runs another command with the same store. A finding of its own, such
// as an alert that fires, is no failure of this one.
func (d *deps) again(ctx context.Context, args []string) error {
	parser, _, err := newParser(args, d)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(slices.Clone(args))
	if d.helped {
		return nil
	}
	if err != nil {
		return usage(parser, args, err)
	}
	d.makes = slices.Contains(makers, pathOf(parsed.Selected()))
	parsed.Bind(d)
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run()
	var status exitStatus
	if errors.As(err, &status) && status == statusFinding {
		return nil
	}
	return err
}
