package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/sandtrail/sandtrail"
)

// readArchived yields the executions of an archived file.
func readArchived(ctx context.Context, from depot, name string, yield func(sandtrail.Execution)) (err error) {
	f, err := from.open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "%s is no archive: %w", name, err)
	}
	reader := parquet.NewGenericReader[exported](file)
	defer reader.Close()
	rows := make([]exported, 512)
	for {
		n, err := reader.Read(rows)
		for _, row := range rows[:n] {
			yield(row.execution())
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		clear(rows)
	}
}

// execution is the inverse of exportedOf.
func (row exported) execution() sandtrail.Execution {
	e := sandtrail.Execution{
		ID: row.ID, UserID: row.UserID, StrategyID: row.StrategyID, Type: sandtrail.ExecutionType(row.Type),
		Success: row.Success, ExecutionTime: int(row.ExecutionTime), CPUUsage: row.CPUUsage,
		TimedOut: row.TimedOut, ErrorCount: int(row.ErrorCount), WarningCount: int(row.WarningCount),
		Classes: sandtrail.SplitClasses(row.Classes), CreatedAt: time.UnixMilli(row.CreatedAt).UTC(),
	}
	if row.MemoryUsed != nil {
		memory := int(*row.MemoryUsed)
		e.MemoryUsed = &memory
	}
	if row.Metadata != nil {
		e.Metadata = json.RawMessage(*row.Metadata)
	}
	return e
}

// listArchived reads the newest executions of an archive that a query selects.
func listArchived(ctx context.Context, from depot, q sandtrail.Query, now time.Time) (sandtrail.Page, error) {
	if q.Cursor != "" {
		return sandtrail.Page{}, sandtrail.Errorf(sandtrail.CodeInvalid, "--cursor does not go on in an archive: narrow the time with --until")
	}
	plan, err := q.Plan(now)
	if err != nil {
		return sandtrail.Page{}, err
	}
	names, err := from.names(ctx)
	if err != nil {
		return sandtrail.Page{}, err
	}
	page := sandtrail.Page{Items: []sandtrail.Execution{}}
	for _, name := range slices.Backward(names) { // newest weeks first
		err := readArchived(ctx, from, name, func(e sandtrail.Execution) {
			if plan.Filter.Selects(e) {
				page.Items = append(page.Items, e)
			}
			if len(page.Items) >= 2*sandtrail.MaxLimit {
				page.Items = newest(page.Items, q.Limit)
			}
		})
		if err != nil {
			return sandtrail.Page{}, err
		}
	}
	page.Items = newest(page.Items, q.Limit)
	return page, nil
}

// newest keeps the newest n executions, newest first.
func newest(executions []sandtrail.Execution, n int) []sandtrail.Execution {
	slices.SortFunc(executions, func(a, b sandtrail.Execution) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return slices.Compare(b.ID[:], a.ID[:])
	})
	return executions[:min(n, len(executions))]
}
