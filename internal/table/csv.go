package table

import (
	"encoding/csv"
	"io"

	"github.com/sandtrail/sandtrail/internal/recordcsv"
)

// CSV prints rows as CSV with a head line. Cells that a spreadsheet would
// take for a formula are disarmed.
func CSV[T any](w io.Writer, columns []Column[T], rows []T) error {
	cw := csv.NewWriter(w)
	var head []string
	for _, c := range columns {
		if c.Name != "" {
			head = append(head, c.Name)
		}
	}
	if err := cw.Write(head); err != nil {
		return err
	}
	cells := make([]string, 0, len(head))
	for _, row := range rows {
		cells = cells[:0]
		for _, c := range columns {
			if c.Name != "" {
				cells = append(cells, recordcsv.Text(c.Value(row)))
			}
		}
		if err := cw.Write(cells); err != nil {
			return err
		}
	}
	cw.Flush()
	return cw.Error()
}
