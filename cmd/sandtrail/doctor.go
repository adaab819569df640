package main

import (
	"context"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/table"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/server"
)

type doctorCmd struct {
	Deep bool `help:"Compare what is derived with the executions; reads all of them."`
	outboxFlag
	output
}

// Examples shows how it is used.
func (doctorCmd) Examples() []string {
	return []string{
		"sandtrail doctor",
		"sandtrail doctor --deep --db postgres://app@localhost/app",
		"sandtrail doctor --server https://sandtrail.example.com --key st_…",
	}
}

// examiner is the database as it is, or a server that examines its own.
func (d *deps) examiner(ctx context.Context) (server.Examiner, error) {
	if _, url, err := d.target(); err == nil && url != "" {
		return d.connect(url)
	}
	return d.database(ctx, postgres.Options{})
}

// Run examines the database and changes nothing.
func (c *doctorCmd) Run(ctx context.Context, d *deps) error {
	examiner, err := d.examiner(ctx)
	if err != nil {
		return err
	}
	depth := database.Shallow
	if c.Deep {
		depth = database.Deep
	}
	checks, err := examiner.Doctor(ctx, depth, d.now())
	if err != nil {
		return err
	}
	if checks, err = withClock(ctx, examiner, d.now(), checks); err != nil {
		return err
	}
	waiting, err := c.outbox(d)
	if err != nil {
		return err
	}
	checks = append(checks, waiting)
	ok := true
	for _, check := range checks {
		ok = ok && check.OK
	}
	err = print(d, c.Output, finding[database.Check]{whole: checks, rows: checks, columns: checkColumns(d)})
	if err == nil && !ok {
		return exitStatus(statusFinding)
	}
	return err
}

// withClock adds what is to be said of a database's clock. A server says it of its
// own.
func withClock(ctx context.Context, examiner server.Examiner, now time.Time, checks []database.Check) ([]database.Check, error) {
	if _, has := examiner.(database.Clock); !has {
		return checks, nil
	}
	c, err := database.CheckClock(ctx, examiner, now)
	return append(checks, c), err
}

// outbox is what waits on this machine for the database.
func (c *doctorCmd) outbox(d *deps) (database.Check, error) {
	check := database.Check{Name: "outbox", OK: true, Detail: "nothing ever waited on this machine"}
	box, err := c.existing(d)
	if err != nil || box == nil {
		return check, err
	}
	state, err := box.State()
	check.OK, check.Detail = state.Clear(), box.Dir()+": "+wordState(state)
	switch {
	case state.Waiting+state.Lost+state.Dropped > 0:
		check.Fix = "sandtrail outbox flush"
	case state.Refused > 0:
		check.Fix = "take away the reason that stands in refused/, then sandtrail outbox retry"
	case state.Damaged > 0:
		check.Fix = "look at what was set aside there, mend and record it, and delete it"
	}
	return check, err
}

func checkColumns(d *deps) []table.Column[database.Check] {
	type row = database.Check
	return []table.Column[row]{
		{
			Name: "ok", Shown: true,
			Value: func(c row) string { return strconv.FormatBool(c.OK) },
			Text: func(c row) string {
				if c.OK {
					return "✓"
				}
				return "✗"
			},
			Paint: func(c row, s string) string {
				if c.OK {
					return d.paint(text.FgGreen, s)
				}
				return d.paint(text.FgRed, s)
			},
		},
		label("name", "CHECK", func(c row) string { return c.Name }),
		label("detail", "FOUND", func(c row) string { return c.Detail }),
		label("fix", "WHAT TO DO", func(c row) string { return c.Fix }),
	}
}
