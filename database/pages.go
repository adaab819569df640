package database

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail"
)

// EachPage calls a function with every page of what a filter selects, newest first.
func EachPage(ctx context.Context, store sandtrail.Reader, filter sandtrail.Filter, now func() time.Time, use func([]sandtrail.Execution) error) error {
	ctx = WithOwnLimits(ctx)
	for q := (sandtrail.Query{Filter: filter, Limit: sandtrail.MaxLimit}); ; {
		page, err := store.Executions(ctx, q, now())
		if err != nil {
			return err
		}
		if err := use(page.Items); err != nil || page.NextCursor == "" {
			return err
		}
		q.Cursor = page.NextCursor
	}
}
