package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sandtrail/sandtrail"
)

type failuresCmd struct {
	filterFlags
	Within moment `default:"1h" help:"How far to look back; --since takes its place."`
	output
}

// Examples shows what can be asked.
func (failuresCmd) Examples() []string {
	return []string{
		"sandtrail failures",
		"sandtrail failures --within 24h --strategy momentum",
		"sandtrail failures --timed-out -o json",
	}
}

// Run prints a page of failures.
func (c *failuresCmd) Run(ctx context.Context, d *deps) error {
	flags := c.filterFlags
	if !flags.Since.given {
		if flags.Since = c.Within; c.Within.exact.IsZero() && c.Within.ago == 0 {
			return sandtrail.Errorf(sandtrail.CodeInvalid, "--within: must be more than 0, such as 1h, or a date")
		}
	}
	q, err := flags.query(d.now())
	if err != nil {
		return err
	}
	failed := false
	q.Filter.Success = &failed
	page, err := readPage(ctx, d, q)
	if err != nil {
		return err
	}
	said := "Nothing failed " + since(flags.Since) + "."
	if len(page.Items) == 0 {
		said = nothing(ctx, d, q, said)
	}
	return printExecutions(d, c.output, page, said, flags.again(q, page.NextCursor))
}

// since words a moment.
func since(m moment) string {
	if m.exact.IsZero() {
		return "in the last " + sandtrail.FormatDuration(m.ago)
	}
	return fmt.Sprintf("since %s", m.exact.Format(time.RFC3339))
}
