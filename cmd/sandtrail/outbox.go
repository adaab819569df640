package main

import (
	"context"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
	"github.com/sandtrail/sandtrail/outbox"
	"github.com/sandtrail/sandtrail/runner"
)

// outboxFlag says where records wait.
type outboxFlag struct{ runner.OutboxFlag }

// existing is the outbox if there is one already, nil where nothing ever
// waited: asking makes none.
func (f outboxFlag) existing(d *deps) (*outbox.Outbox, error) { return f.Existing(d.program(), 0) }

type outboxCmd struct {
	List  outboxListCmd  `cmd:"" help:"Show the executions that wait for delivery."`
	Flush outboxFlushCmd `cmd:"" help:"Deliver the executions that wait."`
	Retry outboxRetryCmd `cmd:"" help:"Deliver the executions that were refused, and those that wait."`
}

type outboxListCmd struct {
	outboxFlag
	Limit int `default:"50" help:"At most so many."`
	output
}

// Examples shows how it is used.
func (outboxListCmd) Examples() []string {
	return []string{"sandtrail outbox list", "sandtrail outbox list --outbox /var/lib/sandbox/outbox -o json"}
}

// waiting is the JSON form of what an outbox holds.
type waiting struct {
	Dir   string            `json:"dir"`
	State outbox.State      `json:"state"`
	Items []sandtrail.Draft `json:"items"`
}

// Run prints what waits.
func (c *outboxListCmd) Run(d *deps) error {
	if c.Limit < 1 {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--limit: must be 1 or more, got %d", c.Limit)
	}
	box, err := c.existing(d)
	if err != nil {
		return err
	}
	if box == nil {
		return print(d, c.Output, finding[sandtrail.Draft]{
			whole: waiting{Items: []sandtrail.Draft{}}, columns: draftColumns(d.now()), empty: "Nothing ever waited here.",
		})
	}
	drafts, state, err := box.Waiting(c.Limit)
	if err != nil {
		return err
	}
	return print(d, c.Output, finding[sandtrail.Draft]{
		whole: waiting{box.Dir(), state, append([]sandtrail.Draft{}, drafts...)}, rows: drafts,
		columns: draftColumns(d.now()), empty: box.Dir() + ": " + wordState(state), foot: wordState(state),
	})
}

func draftColumns(now time.Time) []table.Column[sandtrail.Draft] {
	type row = sandtrail.Draft
	return []table.Column[row]{
		{
			Name: "createdAt", Title: "WHEN", Right: true,
			Value: func(e row) string { return exactTime(&e.CreatedAt) },
			Text:  func(e row) string { return human.Ago(now, e.CreatedAt) },
		},
		label("executionType", "TYPE", func(e row) string { return string(e.Type) }),
		label("strategyId", "STRATEGY", func(e row) string { return e.StrategyID }),
		label("userId", "USER", func(e row) string { return e.UserID }),
		label("id", "ID", func(e row) string { return e.ID.String() }),
	}
}

// wordState tells what a listing does not show.
func wordState(s outbox.State) string {
	parts := []string{human.Plural(int64(s.Waiting), "execution") + " waiting"}
	for _, part := range []struct {
		n    int
		what string
	}{
		{s.Running, "running now"},
		{s.Lost, "lost, to be recorded as such"},
		{s.Dropped, "dropped, to be recorded as such"},
		{s.Refused, "refused, see refused/"},
		{s.Damaged, "damaged, see damaged/"},
	} {
		if part.n > 0 {
			parts = append(parts, human.Count(int64(part.n))+" "+part.what)
		}
	}
	return strings.Join(parts, "; ") + "."
}

type outboxFlushCmd struct {
	outboxFlag
	sessionsFlag
	retentionFlag
	Wait duration `default:"1m" help:"Stop after that time; what is left stays."`
}

// Examples shows how it is used.
func (outboxFlushCmd) Examples() []string {
	return []string{"sandtrail outbox flush", "sandtrail outbox flush --db postgres://app@localhost/app --wait 10m"}
}

// Run delivers what waits.
func (c *outboxFlushCmd) Run(ctx context.Context, d *deps) error {
	if err := c.sessionsFlag.Check(); err != nil {
		return err
	}
	box, err := c.Open(d.program(), outbox.All)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Wait))
	defer cancel()
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	sessions, err := c.sessionDir(d)
	if err != nil {
		return err
	}
	done, err := runner.DeliverWaiting(ctx, box, sessions, store, c.Admission(d.now()))
	d.maintain(ctx)
	if done.Why != nil {
		d.warn("%s left waiting: %v", human.Plural(int64(done.Stayed), "execution"), done.Why)
	}
	if done.Refused+done.Damaged > 0 {
		d.warn("%d refused and %d damaged were set aside in %s", done.Refused, done.Damaged, box.Dir())
	}
	if err != nil {
		return err
	}
	if err := d.say("Delivered %s.", human.Plural(int64(done.Delivered), "execution")); err != nil {
		return err
	}
	if done.Stayed > 0 {
		return exitStatus(statusFinding)
	}
	return nil
}

type outboxRetryCmd struct{ outboxFlushCmd }

// Examples shows how it is used.
func (outboxRetryCmd) Examples() []string {
	return []string{"sandtrail outbox retry", "sandtrail outbox retry --retention 0"}
}

// Run puts what was refused back among what waits, and delivers that. What is
// refused again is set aside again.
func (c *outboxRetryCmd) Run(ctx context.Context, d *deps) error {
	if err := c.sessionsFlag.Check(); err != nil {
		return err
	}
	box, err := c.Open(d.program(), outbox.All)
	if err != nil {
		return err
	}
	if _, err := box.Retry(); err != nil {
		d.warn("%v", err)
	}
	return c.outboxFlushCmd.Run(ctx, d)
}
