package main

import "context"

type listCmd struct {
	filterFlags
	Failed bool `help:"Only those that did not succeed, time-outs included."`
	listOutput
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
	page, err := readPage(ctx, d, q)
	if err != nil {
		return err
	}
	return printExecutions(d, c.listOutput, page, "No executions match.", c.again(q, page.NextCursor))
}
