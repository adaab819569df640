// Package table prints rows as a table for people or as CSV for programs.
package table

import (
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/sandtrail/sandtrail/internal/human"
)

// Column is one column of a listing of T.
type Column[T any] struct {
	Name  string         // of the CSV column; "": not in CSV
	Title string         // of the table's column; "": see Shown
	Shown bool           // in the table although it has no title
	Right bool           // numbers line up on the right
	Value func(T) string // for programs: exact, "" for null
	Text  func(T) string // for people; nil: Value
	// Paint colours the text of a cell; nil leaves it plain.
	Paint func(row T, text string) string
}

func (c Column[T]) inTable() bool { return c.Title != "" || c.Shown }

func (c Column[T]) text(row T) string {
	write := c.Text
	if write == nil {
		write = c.Value
	}
	// Colours come last: Visible would show them.
	cell := human.Visible(write(row))
	if c.Paint != nil {
		cell = c.Paint(row, cell)
	}
	return cell
}

// Write prints rows as a table with a head line.
func Write[T any](w io.Writer, columns []Column[T], rows []T) error {
	t := newWriter()
	head := table.Row{}
	var configs []table.ColumnConfig
	for _, c := range columns {
		if !c.inTable() {
			continue
		}
		head = append(head, c.Title)
		align := text.AlignLeft
		if c.Right {
			align = text.AlignRight
		}
		configs = append(configs, table.ColumnConfig{Number: len(head), Align: align, AlignHeader: align})
	}
	t.AppendHeader(head)
	t.SetColumnConfigs(configs)
	for _, row := range rows {
		cells := table.Row{}
		for _, c := range columns {
			if c.inTable() {
				cells = append(cells, c.text(row))
			}
		}
		t.AppendRow(cells)
	}
	return render(w, t)
}

// WriteOne prints one row as a list of titles and values.
func WriteOne[T any](w io.Writer, columns []Column[T], row T) error {
	t := newWriter()
	for _, c := range columns {
		if c.inTable() {
			t.AppendRow(table.Row{c.Title, c.text(row)})
		}
	}
	return render(w, t)
}

func newWriter() table.Writer {
	t := table.NewWriter()
	style := table.StyleLight
	style.Options = table.Options{}
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = "  "
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	return t
}

func render(w io.Writer, t table.Writer) error {
	_, err := fmt.Fprintln(w, t.Render())
	return err
}
