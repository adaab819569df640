package sqlite

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/derive"
	"github.com/sandtrail/sandtrail/rollup"
)

// checkRollups counts all executions anew, day by day, and compares.
func checkRollups(ctx context.Context, s *Store, tx *sql.Tx) (database.Check, error) {
	return derive.CheckRollups(ctx, rollups{tx}, func() string {
		return "triggers were missing for a while, or INSERT OR REPLACE was used without PRAGMA recursive_triggers; count anew: " + s.repairCommand()
	})
}

// Dates is part of derive.Snapshot.
func (r rollups) Dates(ctx context.Context) ([]rollup.Date, error) {
	dates := map[rollup.Date]bool{}
	rows, err := r.tx.QueryContext(ctx, `SELECT DISTINCT day FROM sandtrail_rollups`)
	if err != nil {
		return nil, err
	}
	days, err := collect(rows, func(scan func(...any) error) (date rollup.Date, err error) {
		err = scan(&date)
		return date, err
	})
	for _, date := range days {
		dates[date] = true
	}
	if err != nil {
		return nil, err
	}
	// Any time of a day: SQLite tells no number of the day from one before our era.
	rows, err = r.tx.QueryContext(ctx, `SELECT min(created_at) FROM sandbox_execution_logs GROUP BY substr(created_at, 1, length(created_at) - 13)
		UNION SELECT min(created_at) FROM sandtrail_changes GROUP BY substr(created_at, 1, length(created_at) - 13)`)
	if err != nil {
		return nil, err
	}
	times, err := collect(rows, func(scan func(...any) error) (at timestamp, err error) {
		err = scan(&at)
		return at, err
	})
	for _, at := range times {
		dates[rollup.DateOf(at.Time)] = true
	}
	return slices.Sorted(maps.Keys(dates)), err
}

// ofDay selects a UTC day, be it the one that begins with the zero time, which
// is no bound to window.
func ofDay(date rollup.Date) (c conditions) {
	c.add("created_at BETWEEN ? AND ?", bound(date.Time()), bound((date + 1).Time().Add(-time.Millisecond)))
	return c
}

// Executions is part of derive.Snapshot.
func (r rollups) Executions(ctx context.Context, date rollup.Date, f func(rollup.Change)) error {
	return eachRecord(ctx, r.tx, ofDay(date), f)
}

// Pending is part of derive.Snapshot.
func (r rollups) Pending(ctx context.Context, date rollup.Date, f func(rollup.Change)) error {
	_, err := eachPending(ctx, r.tx, ofDay(date), "", f)
	return err
}

// StoredDays is part of derive.Snapshot.
func (r rollups) StoredDays(ctx context.Context, date rollup.Date, f func(derive.StoredDay) error) error {
	return r.each(ctx, func(scan func(...any) error) error {
		day := derive.StoredDay{Key: rollup.Key{Date: date}}
		if err := scan(&day.Scope, &day.ID, &day.Summary, &day.Slots); err != nil {
			return err
		}
		return f(day)
	}, "SELECT scope, key, summary, slots FROM sandtrail_rollups WHERE day = ?", date)
}

// StoredTotals is part of derive.Snapshot.
func (r rollups) StoredTotals(ctx context.Context, f func(derive.StoredTotal) error) error {
	return r.each(ctx, func(scan func(...any) error) error {
		var total derive.StoredTotal
		if err := scan(&total.Scope, &total.Subject.ID, &total.Cell); err != nil {
			return err
		}
		return f(total)
	}, "SELECT scope, key, cell FROM sandtrail_totals")
}

// each reads every row of a query.
func (r rollups) each(ctx context.Context, read func(scan func(...any) error) error, text string, args ...any) error {
	rows, err := r.tx.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
