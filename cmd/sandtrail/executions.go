package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/recordcsv"
	"github.com/sandtrail/sandtrail/internal/table"
)

type executionColumn = table.Column[sandtrail.Execution]

// printExecutions prints a page of executions.
func printExecutions(d *deps, out output, page sandtrail.Page, empty, more string) error {
	f := finding[sandtrail.Execution]{
		whole: api.NewPage(page.Items, page.NextCursor), rows: page.Items, empty: empty,
	}
	if out.Output == "csv" {
		f.columns = csvColumns()
	} else {
		f.columns = executionColumns(d)
	}
	if page.NextCursor != "" {
		f.foot = "There are more: add " + more
	}
	return print(d, out.Output, f)
}

// csvColumns are the columns of the domain's own CSV form.
func csvColumns() []executionColumn {
	var columns []executionColumn
	for i, name := range recordcsv.Header() {
		columns = append(columns, executionColumn{
			Name: name, Value: func(e sandtrail.Execution) string { return recordcsv.Record(e)[i] },
		})
	}
	return columns
}

func executionColumns(d *deps) []executionColumn {
	now := d.now()
	return []executionColumn{
		{Shown: true, Value: mark, Paint: d.paintResult},
		{Title: "WHEN", Right: true, Value: func(e sandtrail.Execution) string { return human.Ago(now, e.CreatedAt) }},
		{Title: "ENDED (UTC)", Value: func(e sandtrail.Execution) string { return human.Time(e.CreatedAt) }},
		{Title: "TYPE", Value: func(e sandtrail.Execution) string { return string(e.Type) }},
		{Title: "STRATEGY", Value: strategyName},
		{Title: "USER", Value: userName},
		{Title: "TIME", Right: true, Value: func(e sandtrail.Execution) string { return human.Millis(float64(e.ExecutionTime)) }},
		{Title: "MEMORY", Right: true, Value: func(e sandtrail.Execution) string { return human.OptInt(e.MemoryUsed, human.MiB) }},
		{Title: "CPU", Right: true, Value: func(e sandtrail.Execution) string { return human.Opt(e.CPUUsage, human.Percent) }},
		{Title: "ERRORS", Right: true, Value: func(e sandtrail.Execution) string { return quietZero(e.ErrorCount) }},
		{Title: "WARNINGS", Right: true, Value: func(e sandtrail.Execution) string { return quietZero(e.WarningCount) }},
		{Title: "ID", Value: func(e sandtrail.Execution) string { return e.ID.String() }},
	}
}

// mark shows the result at a glance.
func mark(e sandtrail.Execution) string {
	switch {
	case e.TimedOut:
		return "⏱"
	case e.Success:
		return "✓"
	}
	return "✗"
}

// result is mark in words.
func result(e sandtrail.Execution) string {
	switch {
	case e.TimedOut:
		return "timed out"
	case e.Success:
		return "succeeded"
	}
	return "failed"
}

func (d *deps) paintResult(e sandtrail.Execution, s string) string {
	switch {
	case e.TimedOut:
		return d.paint(text.FgYellow, s)
	case e.Success:
		return d.paint(text.FgGreen, s)
	}
	return d.paint(text.FgRed, s)
}

func strategyName(e sandtrail.Execution) string {
	if e.Strategy != nil && e.Strategy.Name != "" {
		return e.Strategy.Name
	}
	return e.StrategyID
}

func userName(e sandtrail.Execution) string {
	if e.User != nil && e.User.Email != "" {
		return e.User.Email
	}
	return e.UserID
}

// quietZero leaves out zeros, so that the others stand out.
func quietZero(n int) string {
	if n == 0 {
		return "·"
	}
	return human.Count(int64(n))
}

// readPage reads the page that the flags ask for. A search for text that ended
// before the page was full goes on.
func readPage(ctx context.Context, d *deps, q sandtrail.Query) (sandtrail.Page, error) {
	store, err := d.store(ctx)
	if err != nil {
		return sandtrail.Page{}, err
	}
	page, err := store.Executions(ctx, q, d.now())
	for err == nil && len(page.Items) < q.Limit && page.NextCursor != "" {
		found := page.Items
		page, err = store.Executions(ctx, sandtrail.Query{Filter: q.Filter, Limit: q.Limit - len(found), Cursor: page.NextCursor}, d.now())
		page.Items = append(found, page.Items...)
	}
	return page, err
}

// nothing words an empty page. An id that is none is the likely reason.
func nothing(ctx context.Context, d *deps, q sandtrail.Query, said string) string {
	store, err := d.store(ctx)
	if err != nil {
		return said
	}
	var none []string
	if id := q.Filter.UserID; id != "" {
		if _, err := store.User(ctx, id); sandtrail.CodeOf(err) == sandtrail.CodeNotFound {
			none = append(none, fmt.Sprintf("there is no user %q", id))
		}
	}
	if id := q.Filter.StrategyID; id != "" {
		if _, err := store.Strategy(ctx, id); sandtrail.CodeOf(err) == sandtrail.CodeNotFound {
			none = append(none, fmt.Sprintf("there is no strategy %q", id))
		}
	}
	if len(none) == 0 {
		return said
	}
	return strings.TrimSuffix(said, ".") + ": " + strings.Join(none, ", ") + "."
}
