package derive

import (
	"context"
	"fmt"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/rollup"
)

// Snapshot is one state of the executions and of the data derived from them.
type Snapshot interface {
	// Dates are the UTC days that have executions, roll-ups or pending changes.
	Dates(ctx context.Context) ([]rollup.Date, error)
	// Executions calls f with each execution of a day.
	Executions(ctx context.Context, date rollup.Date, f func(rollup.Change)) error
	// Pending calls f with each change of a day that the roll-ups lack.
	Pending(ctx context.Context, date rollup.Date, f func(rollup.Change)) error
	// StoredDays calls f with the roll-ups of a day, of every subject.
	StoredDays(ctx context.Context, date rollup.Date, f func(StoredDay) error) error
	// StoredTotals calls f with every total.
	StoredTotals(ctx context.Context, f func(StoredTotal) error) error
}

// CheckRollups counts all executions anew, day by day, and compares. Fix tells
// the administrator what to do where they differ.
func CheckRollups(ctx context.Context, s Snapshot, fix func() string) (database.Check, error) {
	c, err := compare(ctx, s)
	check := database.Check{
		Name: "roll-ups", OK: c.Different == 0,
		Detail: fmt.Sprintf("%d days and totals compared with the executions, %d differ", c.Compared, c.Different),
	}
	if !check.OK {
		check.Detail += ", first " + c.First
		check.Fix = fix()
	}
	return check, err
}

func compare(ctx context.Context, s Snapshot) (c rollup.Comparison, err error) {
	dates, err := s.Dates(ctx)
	if err != nil {
		return c, err
	}
	got, want := rollup.NewDelta(), rollup.NewDelta()
	for _, date := range dates {
		got.Days, want.Days = map[rollup.Key]*rollup.Day{}, map[rollup.Key]*rollup.Day{} // the totals go on
		if err := addDay(ctx, s, date, got, want); err != nil {
			return c, err
		}
		c.Delta(rollup.Delta{Days: got.Days}, rollup.Delta{Days: want.Days})
	}
	if err := s.StoredTotals(ctx, func(stored StoredTotal) error {
		cell, err := stored.Decode()
		got.Total(stored.Subject).Merge(cell)
		return err
	}); err != nil {
		return c, err
	}
	c.Delta(rollup.Delta{Totals: got.Totals}, rollup.Delta{Totals: want.Totals})
	return c, nil
}

// addDay adds to got the roll-ups and pending changes of a day, to want its
// executions.
func addDay(ctx context.Context, s Snapshot, date rollup.Date, got, want rollup.Delta) error {
	if err := s.Executions(ctx, date, want.Add); err != nil {
		return err
	}
	if err := s.Pending(ctx, date, got.Add); err != nil {
		return err
	}
	var day rollup.Day
	return s.StoredDays(ctx, date, func(stored StoredDay) error {
		if err := stored.decode(&day); err != nil {
			return err
		}
		got.Day(stored.Key).Merge(&day)
		return nil
	})
}
