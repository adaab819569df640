package main

import (
	"context"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
)

type holdCmd struct {
	Add    holdAddCmd    `cmd:"" help:"Keep a user or strategy and all executions of it from every removal."`
	List   holdListCmd   `cmd:"" help:"List the holds."`
	Remove holdRemoveCmd `cmd:"" help:"End a hold."`
}

// holdSubject are the flags that name what a hold is on.
type holdSubject struct {
	User     string `placeholder:"ID" xor:"subject" required:"" help:"A user."`
	Strategy string `placeholder:"ID" xor:"subject" required:"" help:"A strategy."`
}

func (s holdSubject) get() (sandtrail.Subject, string) {
	if s.User != "" {
		return sandtrail.Users, s.User
	}
	return sandtrail.Strategies, s.Strategy
}

type holdAddCmd struct {
	holdSubject
	Reason string `placeholder:"TEXT" help:"Why."`
}

// Examples shows how it is used.
func (holdAddCmd) Examples() []string {
	return []string{`sandtrail hold add --user ada --reason "case 2026-17"`, "sandtrail hold add --strategy momentum"}
}

// Run places the hold.
func (c *holdAddCmd) Run(ctx context.Context, d *deps) error {
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	subject, id := c.get()
	if err := d.recordAct(ctx, "put hold", string(subject)+" "+id); err != nil {
		return err
	}
	return store.PutHold(ctx, sandtrail.Hold{
		Subject: subject, SubjectID: id, Reason: c.Reason, CreatedBy: localActor, CreatedAt: sandtrail.Millisecond(d.now()),
	})
}

type holdListCmd struct{ output }

// Examples shows how it is used.
func (holdListCmd) Examples() []string {
	return []string{"sandtrail hold list", "sandtrail hold list -o json"}
}

// Run prints all holds.
func (c *holdListCmd) Run(ctx context.Context, d *deps) error {
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	holds, err := store.Holds(ctx)
	if err != nil {
		return err
	}
	type row = sandtrail.Hold
	return print(d, c.Output, finding[row]{
		whole: api.NewPage(holds, ""), rows: holds, empty: "Nothing is held.",
		columns: []table.Column[row]{
			label("subject", "ON", func(h row) string { return string(h.Subject) }),
			label("subjectId", "ID", func(h row) string { return h.SubjectID }),
			{
				Name: "createdAt", Title: "SINCE (UTC)", Value: func(h row) string { return exactTime(&h.CreatedAt) },
				Text: func(h row) string { return human.Time(h.CreatedAt) },
			},
			label("createdBy", "BY", func(h row) string { return h.CreatedBy }),
			label("reason", "REASON", func(h row) string { return h.Reason }),
		},
	})
}

type holdRemoveCmd struct{ holdSubject }

// Examples shows how it is used.
func (holdRemoveCmd) Examples() []string {
	return []string{"sandtrail hold remove --user ada"}
}

// Run ends the hold.
func (c *holdRemoveCmd) Run(ctx context.Context, d *deps) error {
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	subject, id := c.get()
	if err := d.recordAct(ctx, "remove hold", string(subject)+" "+id); err != nil {
		return err
	}
	return store.RemoveHold(ctx, subject, id)
}
