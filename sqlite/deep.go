package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/rollup"
)

// checkRollups counts all executions anew, day by day, and compares.
func checkRollups(ctx context.Context, _ *Store, tx *sql.Tx) (sandtrail.Check, error) {
	var c rollup.Comparison
	err := compareAll(ctx, tx, &c)
	check := sandtrail.Check{
		Name: "roll-ups", OK: c.Different == 0,
		Detail: fmt.Sprintf("%d days and totals compared with the executions, %d differ", c.Compared, c.Different),
	}
	if !check.OK {
		check.Detail += ", first " + c.First
		check.Fix = "somebody dropped the triggers of the table, or used INSERT OR REPLACE without PRAGMA recursive_triggers; count anew: " + recount
	}
	return check, err
}

// recount makes the journal hold everything again.
const recount = `BEGIN IMMEDIATE; DELETE FROM sandtrail_rollups; DELETE FROM sandtrail_totals; DELETE FROM sandtrail_journal;
INSERT INTO sandtrail_journal SELECT NULL, 1, NULL, id, user_id, strategy_id, created_at, success, timed_out, execution_time,
memory_used, cpu_usage, error_count, warning_count FROM sandbox_execution_logs; COMMIT;`

func compareAll(ctx context.Context, tx *sql.Tx, c *rollup.Comparison) error {
	dates, err := daysWithCounts(ctx, tx)
	if err != nil {
		return err
	}
	wantTotals := map[rollup.Subject]*rollup.Cell{}
	for _, date := range dates {
		want, err := recordsOf(ctx, tx, date)
		if err != nil {
			return err
		}
		for subject, total := range want.Totals {
			if wantTotals[subject] == nil {
				wantTotals[subject] = &rollup.Cell{}
			}
			wantTotals[subject].Merge(*total)
		}
		got, err := rollupsOf(ctx, tx, date)
		if err != nil {
			return err
		}
		c.Delta(rollup.Delta{Days: got}, rollup.Delta{Days: want.Days})
	}
	gotTotals, err := allTotals(ctx, tx)
	if err != nil {
		return err
	}
	c.Delta(rollup.Delta{Totals: gotTotals}, rollup.Delta{Totals: wantTotals})
	return nil
}

// daysWithCounts are the UTC days that have executions, roll-ups or entries.
func daysWithCounts(ctx context.Context, tx *sql.Tx) ([]rollup.Date, error) {
	dates := map[rollup.Date]bool{}
	rows, err := tx.QueryContext(ctx, `SELECT DISTINCT day FROM sandtrail_rollups`)
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
	rows, err = tx.QueryContext(ctx, `SELECT min(created_at) FROM sandbox_execution_logs GROUP BY substr(created_at, 1, length(created_at) - 13)
		UNION SELECT min(created_at) FROM sandtrail_journal GROUP BY substr(created_at, 1, length(created_at) - 13)`)
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

// day adds the bounds of a UTC day, be it the one that begins with the zero
// time, which is no bound to window.
func (c *conditions) day(date rollup.Date) {
	c.add("created_at BETWEEN ? AND ?", bound(date.Time()), bound((date + 1).Time().Add(-time.Millisecond)))
}

// recordsOf counts the executions of a day.
func recordsOf(ctx context.Context, tx *sql.Tx, date rollup.Date) (rollup.Delta, error) {
	var where conditions
	where.day(date)
	var changes []rollup.Change
	err := eachRecord(ctx, tx, where, func(c rollup.Change) { changes = append(changes, c) })
	return rollup.Fold(changes), err
}

// rollupsOf is what the roll-ups and the journal count of a day.
func rollupsOf(ctx context.Context, tx *sql.Tx, date rollup.Date) (map[rollup.Key]*rollup.Day, error) {
	var where conditions
	where.day(date)
	var changes []rollup.Change
	if _, err := eachEntry(ctx, tx, where.text(), where.args, func(c rollup.Change) { changes = append(changes, c) }); err != nil {
		return nil, err
	}
	days := rollup.Fold(changes).Days
	rows, err := tx.QueryContext(ctx, "SELECT scope, key, summary, slots FROM sandtrail_rollups WHERE day = ?", date)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		key := rollup.Key{Date: date}
		var summary, slots []byte
		if err := rows.Scan(&key.Scope, &key.ID, &summary, &slots); err != nil {
			return nil, err
		}
		stored := &rollup.Day{}
		if err := errors.Join(stored.UnmarshalSummary(summary), stored.UnmarshalSlots(slots)); err != nil {
			return nil, err
		}
		if days[key] != nil {
			stored.Merge(days[key])
		}
		days[key] = stored
	}
	return days, rows.Err()
}

// allTotals is what the totals and the journal count of every subject.
func allTotals(ctx context.Context, tx *sql.Tx) (map[rollup.Subject]*rollup.Cell, error) {
	var changes []rollup.Change
	if _, err := eachEntry(ctx, tx, "", nil, func(c rollup.Change) { changes = append(changes, c) }); err != nil {
		return nil, err
	}
	totals := rollup.Fold(changes).Totals
	rows, err := tx.QueryContext(ctx, "SELECT scope, key, cell FROM sandtrail_totals")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var subject rollup.Subject
		var encoded []byte
		var stored rollup.Cell
		if err := rows.Scan(&subject.Scope, &subject.ID, &encoded); err != nil {
			return nil, err
		}
		if err := stored.UnmarshalBinary(encoded); err != nil {
			return nil, err
		}
		if totals[subject] != nil {
			stored.Merge(*totals[subject])
		}
		totals[subject] = &stored
	}
	return totals, rows.Err()
}
