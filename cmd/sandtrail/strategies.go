package main

import (
	"context"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
)

type strategiesCmd struct {
	Add    strategiesAddCmd    `cmd:"" help:"Add a strategy, or change one."`
	Import strategiesImportCmd `cmd:"" help:"Add or change the strategies of a file."`
	List   strategiesListCmd   `cmd:"" help:"List strategies in the order of their ids."`
	Show   strategiesShowCmd   `cmd:"" help:"Show a strategy."`
	Delete strategiesDeleteCmd `cmd:"" help:"Delete a strategy and its executions."`
}

type strategiesAddCmd struct {
	ID   string `arg:"" help:"Id of the strategy in your application."`
	Name string `required:"" placeholder:"NAME" help:"Name."`
}

// Examples shows how it is used.
func (strategiesAddCmd) Examples() []string {
	return []string{`sandtrail strategies add momentum --name "Momentum, 20 days"`}
}

// Run stores the strategy.
func (c *strategiesAddCmd) Run(ctx context.Context, d *deps) error {
	s := sandtrail.Strategy{ID: c.ID, Name: c.Name}
	if err := s.Validate(); err != nil {
		return err
	}
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	if err := d.recordAct(ctx, "put strategy", s.ID); err != nil {
		return err
	}
	return store.PutStrategy(ctx, s)
}

type strategiesListCmd struct {
	pageFlags
	output
}

// Examples shows how it is used.
func (strategiesListCmd) Examples() []string {
	return []string{"sandtrail strategies list", "sandtrail strategies list --limit 1000 -o csv > strategies.csv"}
}

// Run prints a page of strategies.
func (c *strategiesListCmd) Run(ctx context.Context, d *deps) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	page, err := store.Strategies(ctx, q)
	if err != nil {
		return err
	}
	return print(d, c.Output, owners(page, strategyColumns(), "No strategies yet: sandtrail strategies add ID --name NAME"))
}

func strategyColumns() []table.Column[sandtrail.Strategy] {
	return []table.Column[sandtrail.Strategy]{
		label("id", "ID", func(s sandtrail.Strategy) string { return s.ID }),
		label("name", "NAME", func(s sandtrail.Strategy) string { return s.Name }),
	}
}

type strategiesShowCmd struct {
	ID string `arg:"" help:"Id of the strategy."`
	output
}

// Examples shows how it is used.
func (strategiesShowCmd) Examples() []string {
	return []string{"sandtrail strategies show momentum"}
}

// Run prints a strategy.
func (c *strategiesShowCmd) Run(ctx context.Context, d *deps) error {
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	s, err := store.Strategy(ctx, c.ID)
	if err != nil {
		return err
	}
	return print(d, c.Output, one(s, strategyColumns()))
}

type strategiesDeleteCmd struct {
	ID string `arg:"" help:"Id of the strategy."`
}

// Examples shows how it is used.
func (strategiesDeleteCmd) Examples() []string {
	return []string{"sandtrail strategies delete momentum"}
}

// Run deletes a strategy and says how many executions went along.
func (c *strategiesDeleteCmd) Run(ctx context.Context, d *deps) error {
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	if err := d.recordAct(ctx, "delete strategy", c.ID); err != nil {
		return err
	}
	deleted, err := d.deletion(ctx, "Deleting", func(ctx context.Context) (int64, error) {
		stats, err := store.StrategyStats(ctx, c.ID)
		return stats.Count, err
	}, func(ctx context.Context) (int64, error) { return store.DeleteStrategy(ctx, c.ID) })
	if err != nil {
		return err
	}
	d.maintain(ctx)
	return d.say("Deleted the strategy %s and %s.", human.Visible(c.ID), human.Plural(deleted, "execution"))
}
