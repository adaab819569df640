package main

import (
	"context"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/archive"
)

type listCmd struct {
	filterFlags
	Failed      bool         `help:"Only those that did not succeed, time-outs included."`
	FromArchive archivePlace `placeholder:"DIR" help:"Read what sandtrail archive wrote there, to a directory or s3://BUCKET/PREFIX, in place of the database."`
	output
}

// Examples shows what can be asked.
func (listCmd) Examples() []string {
	return []string{
		"sandtrail list --user ada --limit 10",
		"sandtrail list --strategy momentum --failed --since 7d",
		"sandtrail list --since 2026-11-01 --until 2026-11-08 -o csv > week.csv",
	}
}

// Run prints a page.
func (c *listCmd) Run(ctx context.Context, d *deps) error {
	q, err := c.query(d.now())
	if err != nil {
		return err
	}
	if c.Failed {
		failed := false
		q.Filter.Success = &failed
	}
	page, err := c.page(ctx, d, q)
	if err != nil {
		return err
	}
	said := "No executions match."
	if len(page.Items) == 0 && c.FromArchive == "" {
		said = nothing(ctx, d, q, said)
	}
	return printExecutions(d, c.output, page, said, c.again(q, page.NextCursor))
}

func (c *listCmd) page(ctx context.Context, d *deps, q sandtrail.Query) (sandtrail.Page, error) {
	if c.FromArchive == "" {
		return readPage(ctx, d, q)
	}
	files, err := c.FromArchive.open(d)
	if err != nil {
		return sandtrail.Page{}, err
	}
	return archive.List(ctx, files, q, d.now())
}
