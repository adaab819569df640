package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/recorder"
	"github.com/sandtrail/sandtrail/web"
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
	if err := d.printFindings(e); err != nil {
		return err
	}
	return d.printKept(e)
}

// ran is what the metadata of a run holds that show has forms of its own for.
type ran struct {
	Command        string
	Args           []string
	Stdout, Stderr *recorder.Output
}

func ranOf(e sandtrail.Execution) ran {
	var metadata struct{ Run ran }
	_ = json.Unmarshal(e.Metadata, &metadata) // metadata of others may be of any form
	return metadata.Run
}

// line is the command with its arguments, to be typed again in a shell.
func (r ran) line() string {
	words := []string{shellWord(r.Command)}
	for _, arg := range r.Args {
		words = append(words, shellWord(arg))
	}
	return strings.Join(words, " ")
}

// shellWord quotes a word for a shell, where it must be.
func shellWord(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !(unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_./=:,+@%", r))
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// printKept prints the ends of what the command printed, where they were kept.
func (d *deps) printKept(e sandtrail.Execution) error {
	r := ranOf(e)
	for _, kept := range []struct {
		name string
		*recorder.Output
	}{{"Standard output", r.Stdout}, {"Standard error", r.Stderr}} {
		if kept.Output == nil || kept.Bytes == 0 {
			continue
		}
		head := kept.name
		if cut := kept.Bytes - int64(len(kept.Tail)); cut > 0 {
			head += fmt.Sprintf(", the last %s of %s bytes", human.Count(int64(len(kept.Tail))), human.Count(kept.Bytes))
		}
		if err := d.say("\n%s:\n%s", d.paint(text.Bold, head), strings.TrimRight(human.VisibleLines(kept.Tail), "\n")); err != nil {
			return err
		}
	}
	return nil
}

func showColumns(d *deps, e sandtrail.Execution) []executionColumn {
	columns := []executionColumn{
		{Title: "Id", Value: func(e sandtrail.Execution) string { return e.ID.String() }},
		{Title: "Result", Value: func(e sandtrail.Execution) string { return mark(e) + " " + result(e) }, Paint: d.paintResult},
		{Title: "Type", Value: func(e sandtrail.Execution) string { return string(e.Type) }},
		{Title: "Ended", Value: func(e sandtrail.Execution) string {
			return e.CreatedAt.UTC().Format(time.RFC3339Nano) + " (" + human.Ago(d.now(), e.CreatedAt) + ")"
		}},
		{Title: "User", Value: func(e sandtrail.Execution) string { return withID(userName(e), e.UserID) }},
		{Title: "Strategy", Value: func(e sandtrail.Execution) string { return withID(strategyName(e), e.StrategyID) }},
		{Title: "Time", Value: func(e sandtrail.Execution) string { return human.Millis(float64(e.ExecutionTime)) }},
		{Title: "Memory", Value: func(e sandtrail.Execution) string { return human.OptInt(e.MemoryUsed, human.MiB) }},
		{Title: "CPU", Value: func(e sandtrail.Execution) string { return human.Opt(e.CPUUsage, human.Percent) }},
		{Title: "CPU time", Value: func(e sandtrail.Execution) string { return human.Opt(e.Costs().CPUSeconds, human.Seconds) }},
		{Title: "Memory × time", Value: func(e sandtrail.Execution) string { return human.Opt(e.Costs().MemoryMiBSeconds, human.MiBSeconds) }},
		{Title: "Errors", Value: func(e sandtrail.Execution) string { return human.Count(int64(e.ErrorCount)) }},
		{Title: "Warnings", Value: func(e sandtrail.Execution) string { return human.Count(int64(e.WarningCount)) }},
		{Title: "Classes", Value: classes},
	}
	if r := ranOf(e); r.Command != "" {
		columns = append(columns, executionColumn{Title: "Command", Value: func(sandtrail.Execution) string { return r.line() }})
	}
	for _, fact := range web.Facts(e.Metadata, "command", "args", "stdout", "stderr") {
		columns = append(columns, executionColumn{Title: human.Visible(fact.Name), Value: func(sandtrail.Execution) string { return fact.Value }})
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
