package ingest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/bounded"
	"github.com/sandtrail/sandtrail/internal/intake"
	"github.com/sandtrail/sandtrail/internal/recordcsv"
)

// MaxRowBytes is the largest row of CSV, or line of users and strategies, that is
// read.
const MaxRowBytes = 2 * intake.MaxRecordBytes

// Columns are those of a CSV file by their names in its head line.
type Columns map[string]column

// column says where the cells of a column belong in a JSON object.
type column struct {
	path []string
	text bool // else the cell is JSON
}

// ExecutionColumns are those of executions, as an export writes them.
func ExecutionColumns() Columns {
	columns := Columns{
		"userEmail": {[]string{"user", "email"}, true}, "userName": {[]string{"user", "name"}, true}, "strategyName": {[]string{"strategy", "name"}, true},
	}
	for _, name := range recordcsv.Header() {
		if _, known := columns[name]; !known {
			isText := slices.Contains([]string{"id", "userId", "strategyId", "executionType", "classesFound", "createdAt"}, name)
			columns[name] = column{[]string{name}, isText}
		}
	}
	return columns
}

// TextColumns are columns of texts.
func TextColumns(names ...string) Columns {
	columns := Columns{}
	for _, name := range names {
		columns[name] = column{[]string{name}, true}
	}
	return columns
}

// CSV reads CSV with these columns, in any order, as one JSON object a line;
// what does not begin with a head line of them is left as it is. A row is on
// the line of its number.
func CSV(in io.Reader, columns Columns) io.Reader {
	buffered := bufio.NewReaderSize(in, 1<<12)
	head, _ := buffered.Peek(1 << 10) // an error comes again when it is read
	line, _, _ := bytes.Cut(head, []byte("\n"))
	first, _, _ := strings.Cut(strings.TrimSpace(string(line)), ",")
	if _, is := columns[strings.Trim(first, "\"\ufeff")]; !is {
		return buffered
	}
	out, write := io.Pipe()
	go func() { write.CloseWithError(convertCSV(write, buffered, columns)) }()
	return out
}

func convertCSV(to io.Writer, from io.Reader, columns Columns) error {
	row := bounded.New(from, "the CSV", MaxRowBytes)
	in := csv.NewReader(row)
	head, err := in.Read()
	if err != nil {
		return csvError(err)
	}
	for i, name := range head {
		head[i] = strings.TrimPrefix(name, "\ufeff")
		if _, known := columns[head[i]]; !known {
			return sandtrail.Errorf(sandtrail.CodeInvalid, "line 1: unknown column %q; take it out, or name it as one of %s", head[i],
				strings.Join(slices.Sorted(maps.Keys(columns)), ", "))
		}
	}
	if _, err := io.WriteString(to, "\n"); err != nil {
		return err
	}
	for n := 2; ; n++ {
		row.Renew()
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if sandtrail.CodeOf(err) == sandtrail.CodeTooLarge {
			return fmt.Errorf("row %d: %w", n, err)
		}
		if err != nil {
			return csvError(err)
		}
		object := map[string]any{}
		for i, cell := range cells {
			if cell != "" {
				set(object, columns[head[i]], cell)
			}
		}
		addOwnerID(object, "user")
		addOwnerID(object, "strategy")
		line, err := json.Marshal(object)
		if err != nil {
			return err
		}
		if _, err := to.Write(append(line, '\n')); err != nil {
			return err
		}
	}
}

func csvError(err error) error {
	return &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: err.Error(), Err: err}
}

// set puts a cell into its place.
func set(object map[string]any, at column, cell string) {
	cell = plainText(cell)
	var value any = cell
	if !at.text && json.Valid([]byte(cell)) {
		value = json.RawMessage(cell)
	}
	if len(at.path) == 2 {
		inner, _ := object[at.path[0]].(map[string]any)
		if inner == nil {
			inner = map[string]any{}
			object[at.path[0]] = inner
		}
		inner[at.path[1]] = value
		return
	}
	object[at.path[0]] = value
}

// addOwnerID completes an owner that stands beside its record.
func addOwnerID(object map[string]any, owner string) {
	if inner, ok := object[owner].(map[string]any); ok {
		inner["id"] = object[owner+"Id"]
	}
}

// plainText takes off the apostrophe that keeps a cell from being a formula.
func plainText(cell string) string {
	if rest, quoted := strings.CutPrefix(cell, "'"); quoted && recordcsv.Text(rest) == cell {
		return rest
	}
	return cell
}

// EachObject reads JSON objects, one a line, or CSV, strictly. It ends with the
// context. Errors name the line.
func EachObject[T any](ctx context.Context, in io.Reader, columns Columns, use func(T) error) error {
	lines := bounded.NewLines(CSV(interruptible(ctx, in), columns), "the file", MaxRowBytes)
	for n := 1; ; n++ {
		line, err := lines.Next()
		if text := bytes.TrimSpace(line); len(text) > 0 {
			var row T
			decoder := json.NewDecoder(bytes.NewReader(text))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&row); err != nil {
				return At(n, sandtrail.Errorf(sandtrail.CodeInvalid, "must be an object such as %s: %w", shape(columns), err))
			}
			if err := use(row); err != nil {
				return At(n, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func shape(columns Columns) string {
	var members []string
	for name := range columns {
		members = append(members, fmt.Sprintf("%q: …", name))
	}
	slices.Sort(members)
	return "{" + strings.Join(members, ", ") + "}"
}
