package sqlite

import (
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

const timeLayout = "2006-01-02 15:04:05.000"

// formatTime is a created_at column.
func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// bound is the column value to compare with for an instant that may lie
// outside the years a record can have. As texts, years before 0 come in order,
// before all others, but the later the earlier.
func bound(t time.Time) string {
	t = sandtrail.CeilMillisecond(t)
	switch {
	case t.Year() < -4713:
		return "" // before every time
	case t.Year() > 9999:
		return "~" // after every time
	}
	return formatTime(t)
}

// timestamp scans a created_at column.
type timestamp struct{ time.Time }

// Scan is part of sql.Scanner.
func (t *timestamp) Scan(src any) (err error) {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("a time must be text, got %T", src)
	}
	if strings.HasPrefix(text, "-") && len(text) == len("-")+len(timeLayout) {
		var of sandtrail.Time
		err = of.UnmarshalText([]byte("-00" + text[1:11] + "T" + text[12:] + "Z"))
		t.Time = of.Time
		return err
	}
	t.Time, err = time.Parse(timeLayout, text)
	return err
}

// measured scans a cpu_usage column. Infinity, which the column takes and JSON
// does not, is no measurement.
type measured struct{ into **float64 }

// Scan is part of sql.Scanner.
func (m measured) Scan(src any) error {
	var f sql.Null[float64]
	err := f.Scan(src)
	if *m.into = nil; f.Valid && !math.IsInf(f.V, 0) {
		*m.into = &f.V
	}
	return err
}

// executionID scans an id column.
type executionID struct{ sandtrail.ID }

// Scan is part of sql.Scanner.
func (id *executionID) Scan(src any) (err error) {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("an id must be text, got %T", src)
	}
	return id.UnmarshalText([]byte(text))
}

// recordColumns are the columns of an execution in the order of recordArgs
// and scanRecord, each after a prefix such as "e.".
const recordColumns = `id, user_id, strategy_id, execution_type, success, execution_time, memory_used, cpu_usage,
	timed_out, error_count, warning_count, classes_found, metadata, created_at`

const recordWidth = 14

// appendRecordArgs appends the values of an execution's columns.
func appendRecordArgs(args []any, e *sandtrail.Execution) []any {
	var metadata any
	if e.Metadata != nil {
		metadata = string(e.Metadata)
	}
	return append(args,
		e.ID.String(), e.UserID, e.StrategyID, string(e.Type), e.Success, e.ExecutionTime,
		value(e.MemoryUsed), value(e.CPUUsage), e.TimedOut, e.ErrorCount, e.WarningCount,
		value(database.JoinClasses(e.Classes)), metadata, formatTime(e.CreatedAt))
}

// value is a pointer as a column: NULL for nil.
func value[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// scanRecord reads the columns of an execution, and more after them.
func scanRecord(scan func(...any) error, e *sandtrail.Execution, more ...any) error {
	var metadata *string
	err := scanInto(scan, e, &metadata, more...)
	e.Metadata = database.MetadataFromColumn(metadata)
	return err
}

// scanRaw is scanRecord, the metadata as in the column.
func scanRaw(scan func(...any) error, e *sandtrail.Execution, more ...any) error {
	return scanInto(scan, e, (*[]byte)(&e.Metadata), more...)
}

func scanInto(scan func(...any) error, e *sandtrail.Execution, metadata any, more ...any) error {
	var id executionID
	var classes *string
	var at timestamp
	into := append(make([]any, 0, recordWidth+4),
		&id, &e.UserID, &e.StrategyID, &e.Type, &e.Success, &e.ExecutionTime, &e.MemoryUsed, measured{&e.CPUUsage},
		&e.TimedOut, &e.ErrorCount, &e.WarningCount, &classes, metadata, &at)
	if err := scan(append(into, more...)...); err != nil {
		return err
	}
	e.ID, e.CreatedAt, e.Classes = id.ID, at.Time, sandtrail.SplitClasses(classes)
	return nil
}
