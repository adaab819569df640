package postgres

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/rollup"
)

// checkRollups counts all executions anew, day by day in one snapshot, and
// compares.
func (s *Store) checkRollups(ctx context.Context, l *layout, _ time.Time) (sandtrail.Check, error) {
	c := comparison{totals: map[rollup.Subject]*rollup.Cell{}}
	err := s.inSnapshot(ctx, l, pgx.ReadOnly, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, l.sql(`SELECT day FROM {schema}.rollups
			UNION SELECT DISTINCT floor(extract(epoch FROM created_at) / 86400)::integer FROM {logs}
			UNION SELECT floor(extract(epoch FROM created_at) / 86400)::integer FROM {schema}.journal ORDER BY 1`))
		if err != nil {
			return err
		}
		dates, err := pgx.CollectRows(rows, pgx.RowTo[int32])
		for _, date := range dates {
			if err := c.day(ctx, tx, l, rollup.Date(date)); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		return c.all(ctx, tx, l)
	})
	check := sandtrail.Check{
		Name: "roll-ups", OK: c.different == 0,
		Detail: fmt.Sprintf("%d days and totals compared with the executions, %d differ", c.compared, c.different),
	}
	if !check.OK {
		check.Detail += ", first " + c.first
		check.Fix = l.mending()
	}
	return check, err
}

// comparison counts what differs between roll-ups and executions.
type comparison struct {
	totals              map[rollup.Subject]*rollup.Cell // by the executions
	compared, different int
	first               string // what differs first
}

// day compares one UTC day of every subject.
func (c *comparison) day(ctx context.Context, tx pgx.Tx, l *layout, date rollup.Date) error {
	w := conditions{}
	w.day(date)
	want, err := foldQuery(ctx, tx, l.sql("SELECT "+recordColumns+" FROM {logs} "+w.where()), w.args...)
	if err != nil {
		return err
	}
	got, err := foldQuery(ctx, tx, l.sql("SELECT "+entryColumns+" FROM {schema}.journal "+w.where()), w.args...)
	if err != nil {
		return err
	}
	for subject, cell := range want.Totals {
		c.total(subject).Merge(*cell)
	}
	rows, err := tx.Query(ctx, l.sql("SELECT scope, key, day, summary, slots FROM {schema}.rollups WHERE day = $1"), int32(date))
	if err != nil {
		return err
	}
	if err := eachDay(rows, func(key rollup.Key, stored *rollup.Day) error {
		if got.Days[key] == nil {
			got.Days[key] = &rollup.Day{}
		}
		got.Days[key].Merge(stored)
		return nil
	}); err != nil {
		return err
	}
	for key, day := range got.Days {
		c.compare(key, day, want.Days[key])
		delete(want.Days, key)
	}
	for key, day := range want.Days {
		c.compare(key, &rollup.Day{}, day)
	}
	return nil
}

func (c *comparison) total(subject rollup.Subject) *rollup.Cell {
	if c.totals[subject] == nil {
		c.totals[subject] = &rollup.Cell{}
	}
	return c.totals[subject]
}

// foldQuery sums up what a query selects.
func foldQuery(ctx context.Context, tx pgx.Tx, query string, args ...any) (rollup.Delta, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return rollup.Delta{}, err
	}
	changes, err := pgx.CollectRows(rows, scanChange)
	return rollup.Fold(changes), err
}

func (c *comparison) compare(key rollup.Key, got, want *rollup.Day) {
	if want == nil {
		want = &rollup.Day{}
	}
	same := sameCell(got.Summary.Live, want.Summary.Live)
	for i := range rollup.SlotsPerDay {
		same = same && sameCell(got.Slot(i).Live, want.Slot(i).Live)
	}
	c.note(same, fmt.Sprintf("%s of %s", key.Date, describe(key.Subject)))
}

// all compares the totals.
func (c *comparison) all(ctx context.Context, tx pgx.Tx, l *layout) error {
	pending, err := foldQuery(ctx, tx, l.sql("SELECT "+entryColumns+" FROM {schema}.journal"))
	if err != nil {
		return err
	}
	got := pending.Totals
	rows, err := tx.Query(ctx, l.sql("SELECT scope, key, cell FROM {schema}.totals"))
	if err != nil {
		return err
	}
	if err := eachTotal(rows, func(subject rollup.Subject, stored rollup.Cell) {
		if got[subject] == nil {
			got[subject] = &rollup.Cell{}
		}
		got[subject].Merge(stored)
	}); err != nil {
		return err
	}
	for subject, want := range c.totals {
		if got[subject] == nil {
			got[subject] = &rollup.Cell{}
		}
		c.note(sameCell(*got[subject], *want), "the total of "+describe(subject))
		delete(got, subject)
	}
	for subject, cell := range got {
		c.note(sameCell(*cell, rollup.Cell{}), "the total of "+describe(subject))
	}
	return nil
}

func (c *comparison) note(same bool, what string) {
	c.compared++
	if same {
		return
	}
	if c.different++; c.first == "" {
		c.first = what
	}
}

func describe(s rollup.Subject) string {
	switch s.Scope {
	case rollup.User:
		return fmt.Sprintf("user %q", s.ID)
	case rollup.Strategy:
		return fmt.Sprintf("strategy %q", s.ID)
	}
	return "everything"
}

// sameCell compares counts exactly and percentiles within their accuracy: a
// cell that has seen many times in its life keeps them coarser than one
// counted anew.
func sameCell(a, b rollup.Cell) bool {
	if a.Counts != b.Counts {
		return false
	}
	for _, percent := range []int64{50, 95, 99} {
		x, y := a.Quantile(percent), b.Quantile(percent)
		if (x == nil) != (y == nil) || x != nil && math.Abs(*x-*y) > 2*rollup.Accuracy*max(*x, *y) {
			return false
		}
	}
	return true
}
