package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/derive"
	"github.com/sandtrail/sandtrail/rollup"
)

// checkRollups counts all executions anew, day by day in one snapshot, and
// compares.
func (s *Store) checkRollups(ctx context.Context, l *layout, _ time.Time) (check database.Check, err error) {
	err = s.inSnapshot(ctx, l, pgx.ReadOnly, func(tx pgx.Tx) error {
		check, err = derive.CheckRollups(ctx, rollups{tx, l}, l.mending)
		return err
	})
	return check, err
}

// Dates is part of derive.Snapshot.
func (r rollups) Dates(ctx context.Context) ([]rollup.Date, error) {
	return scanAll(ctx, r.tx, func(row pgx.CollectableRow) (rollup.Date, error) {
		date, err := pgx.RowTo[int32](row)
		return rollup.Date(date), err
	}, r.l.sql(`SELECT day FROM {schema}.rollups
		UNION SELECT DISTINCT floor(extract(epoch FROM created_at) / 86400)::integer FROM {logs}
		UNION SELECT floor(extract(epoch FROM created_at) / 86400)::integer FROM `+pendingChanges+` ORDER BY 1`))
}

// Executions is part of derive.Snapshot.
func (r rollups) Executions(ctx context.Context, date rollup.Date, f func(rollup.Change)) error {
	return r.eachChange(ctx, date, recordColumns+" FROM {logs}", f)
}

// Pending is part of derive.Snapshot.
func (r rollups) Pending(ctx context.Context, date rollup.Date, f func(rollup.Change)) error {
	return r.eachChange(ctx, date, entryColumns+" FROM "+pendingChanges, f)
}

// eachChange reads the changes of a day.
func (r rollups) eachChange(ctx context.Context, date rollup.Date, from string, f func(rollup.Change)) error {
	var w conditions
	w.day(date)
	rows, err := r.tx.Query(ctx, r.l.sql("SELECT "+from+" "+w.where()), w.args...)
	if err != nil {
		return err
	}
	var c rollup.Change
	_, err = pgx.ForEachRow(rows, changeFields(&c), func() error {
		f(c)
		return nil
	})
	return err
}

// StoredDays is part of derive.Snapshot.
func (r rollups) StoredDays(ctx context.Context, date rollup.Date, f func(derive.StoredDay) error) error {
	return r.eachDay(ctx, f, "SELECT scope, key, day, summary, slots FROM {schema}.rollups WHERE day = $1", int32(date))
}

// StoredTotals is part of derive.Snapshot.
func (r rollups) StoredTotals(ctx context.Context, f func(derive.StoredTotal) error) error {
	return r.eachTotal(ctx, f, "SELECT scope, key, cell FROM {schema}.totals")
}
