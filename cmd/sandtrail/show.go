package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/recorder"
)

type showCmd struct {
	executionArg
	output
}

// Examples shows what can be asked.
func (showCmd) Examples() []string {
	return []string{
		"sandtrail show last",
		"sandtrail show 0192d3a4-7b1c",
		"sandtrail show 0192d3a4-7b1c-7def-8a90-1b2c3d4e5f60 -o json | jq .metadata.run",
	}
}

// Run prints one execution.
func (c *showCmd) Run(ctx context.Context, d *deps) error {
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	e, err := c.find(ctx, store, d.now())
	if err != nil {
		return err
	}
	f := finding[sandtrail.Execution]{whole: e, rows: []sandtrail.Execution{e}, single: true}
	if f.columns = showColumns(d, e); c.Output == "csv" {
		f.columns = csvColumns()
	}
	if err := print(d, c.Output, f); err != nil || c.Output != "table" {
		return err
	}
	return d.printFindings(e)
}

func showColumns(d *deps, e sandtrail.Execution) []executionColumn {
	columns := []executionColumn{
		{Title: "Id", Value: func(e sandtrail.Execution) string { return e.ID.String() }},
		{Title: "Result", Value: func(e sandtrail.Execution) string { return mark(e) + " " + result(e) }, Paint: d.paintResult},
		{Title: "Type", Value: func(e sandtrail.Execution) string { return string(e.Type) }},
		{Title: "When", Value: func(e sandtrail.Execution) string {
			return e.CreatedAt.UTC().Format(time.RFC3339Nano) + " (" + human.Ago(d.now(), e.CreatedAt) + ")"
		}},
		{Title: "User", Value: func(e sandtrail.Execution) string { return withID(userName(e), e.UserID) }},
		{Title: "Strategy", Value: func(e sandtrail.Execution) string { return withID(strategyName(e), e.StrategyID) }},
		{Title: "Took", Value: func(e sandtrail.Execution) string { return human.Millis(float64(e.ExecutionTime)) }},
		{Title: "Memory", Value: func(e sandtrail.Execution) string { return human.OptInt(e.MemoryUsed, human.MiB) }},
		{Title: "CPU", Value: func(e sandtrail.Execution) string { return human.Opt(e.CPUUsage, human.Percent) }},
		{Title: "Errors", Value: func(e sandtrail.Execution) string { return human.Count(int64(e.ErrorCount)) }},
		{Title: "Warnings", Value: func(e sandtrail.Execution) string { return human.Count(int64(e.WarningCount)) }},
		{Title: "Classes", Value: classes},
		{Title: "Metadata", Value: func(e sandtrail.Execution) string { return human.Bytes(int64(len(e.Metadata))) }},
	}
	if session, ok := recorder.SessionOf(e.Metadata); ok {
		columns = append(columns, executionColumn{Title: "Session", Value: func(e sandtrail.Execution) string {
			return session.Path + " (sandtrail play " + e.ID.String() + ")"
		}})
	}
	return columns
}

func withID(name, id string) string {
	if name == id {
		return id
	}
	return name + " (" + id + ")"
}

func classes(e sandtrail.Execution) string {
	switch {
	case e.Classes == nil:
		return human.None
	case len(e.Classes) == 0:
		return "none"
	}
	return strings.Join(e.Classes, ", ")
}

// printFindings lists the errors and warnings of an execution.
func (d *deps) printFindings(e sandtrail.Execution) error {
	errs, warnings := e.Findings()
	for _, list := range []struct {
		mark     string
		color    text.Color
		findings []sandtrail.Finding
	}{{"✗", text.FgRed, errs}, {"!", text.FgYellow, warnings}} {
		for _, f := range list.findings {
			if err := d.say("\n%s %s", d.paint(list.color, list.mark), wordFinding(f)); err != nil {
				return err
			}
		}
	}
	return nil
}

func wordFinding(f sandtrail.Finding) string {
	var b strings.Builder
	if f.Line != nil {
		b.WriteString("line " + strconv.Itoa(*f.Line))
		if f.Column != nil {
			b.WriteString(", column " + strconv.Itoa(*f.Column))
		}
		b.WriteString(": ")
	}
	b.WriteString(f.Message)
	if f.Code != "" {
		b.WriteString(" [" + f.Code + "]")
	}
	if f.Suggestion != "" {
		b.WriteString("\n→ " + f.Suggestion)
	}
	if f.Traceback != "" {
		b.WriteString("\n" + strings.TrimSpace(f.Traceback))
	}
	lines := strings.Split(b.String(), "\n")
	for i, line := range lines {
		lines[i] = human.Visible(line)
	}
	return strings.Join(lines, "\n  ")
}
