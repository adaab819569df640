package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
)

// output is how a command that reads prints what it found.
type output struct {
	Output string `short:"o" enum:"table,json,ndjson,csv" default:"table" placeholder:"table" help:"Output: table, json, ndjson or csv."`
}

// finding is what a command found, in every form.
type finding[T any] struct {
	whole   any // json
	rows    []T // ndjson: one per line; csv and table: one per row
	columns []table.Column[T]
	empty   string // table: in place of no rows
	foot    string // table: below
	single  bool   // table: the one row as a list of titles and values
}

// print writes a finding in the form that was asked for.
func print[T any](d *deps, form string, f finding[T]) error {
	switch form {
	case "json":
		return printJSON(d, f.whole)
	case "ndjson":
		encoder := json.NewEncoder(d.shown())
		encoder.SetEscapeHTML(false)
		for _, row := range f.rows {
			if err := encoder.Encode(row); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		return table.CSV(d.shown(), f.columns, f.rows)
	}
	return printTable(d, f)
}

func printTable[T any](d *deps, f finding[T]) (err error) {
	switch {
	case len(f.rows) == 0:
		return d.say("%s", f.empty)
	case f.single:
		err = table.WriteOne(d.out, f.columns, f.rows[0])
	default:
		err = table.Write(d.out, f.columns, f.rows)
	}
	if err != nil || f.foot == "" {
		return err
	}
	return d.say("\n%s", f.foot)
}

func printJSON(d *deps, value any) error {
	encoder := json.NewEncoder(d.shown())
	encoder.SetEscapeHTML(false)
	if d.outTTY {
		encoder.SetIndent("", "  ")
	}
	return encoder.Encode(value)
}

// shown is standard output for JSON and CSV: exact for programs and files, and
// with every character visible on a terminal.
func (d *deps) shown() io.Writer {
	if d.outTTY {
		return human.VisibleWriter(d.out)
	}
	return d.out
}

// paint colours text on a terminal.
func (d *deps) paint(color text.Color, s string) string {
	if !d.outTTY || d.getenv("NO_COLOR") != "" || d.getenv("TERM") == "dumb" {
		return s
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", int(color), s)
}
