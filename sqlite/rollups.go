package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/sandtrail/sandtrail/derive"
	"github.com/sandtrail/sandtrail/rollup"
)

// rollups are the roll-ups and totals as a transaction sees them: the SQL that
// package derive works with.
type rollups struct{ tx *sql.Tx }

var (
	_ derive.Rollups  = rollups{}
	_ derive.Snapshot = rollups{}
)

// Days is part of derive.Rollups.
func (r rollups) Days(ctx context.Context, keys []rollup.Key, f func(derive.StoredDay) error) error {
	stmt, err := r.tx.PrepareContext(ctx, "SELECT summary, slots FROM sandtrail_rollups WHERE scope = ? AND key = ? AND day = ?")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, key := range keys {
		day := derive.StoredDay{Key: key}
		err := stmt.QueryRowContext(ctx, key.Scope, key.ID, key.Date).Scan(&day.Summary, &day.Slots)
		if err == nil {
			err = f(day)
		}
		if noRows(err) != nil {
			return err
		}
	}
	return nil
}

// PutDays is part of derive.Rollups.
func (r rollups) PutDays(ctx context.Context, days []derive.StoredDay) error {
	return execEach(ctx, r.tx, `INSERT INTO sandtrail_rollups (scope, key, day, summary, slots) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (scope, key, day) DO UPDATE SET summary = excluded.summary, slots = excluded.slots`,
		rowsOf(days, func(d derive.StoredDay) []any { return []any{d.Scope, d.ID, d.Date, d.Summary, d.Slots} }))
}

// DeleteDays is part of derive.Rollups.
func (r rollups) DeleteDays(ctx context.Context, keys []rollup.Key) error {
	return execEach(ctx, r.tx, "DELETE FROM sandtrail_rollups WHERE scope = ? AND key = ? AND day = ?",
		rowsOf(keys, func(k rollup.Key) []any { return []any{k.Scope, k.ID, k.Date} }))
}

// Totals is part of derive.Rollups.
func (r rollups) Totals(ctx context.Context, subjects []rollup.Subject, f func(derive.StoredTotal) error) error {
	stmt, err := r.tx.PrepareContext(ctx, "SELECT cell FROM sandtrail_totals WHERE scope = ? AND key = ?")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, subject := range subjects {
		total := derive.StoredTotal{Subject: subject}
		err := stmt.QueryRowContext(ctx, subject.Scope, subject.ID).Scan(&total.Cell)
		if err == nil {
			err = f(total)
		}
		if noRows(err) != nil {
			return err
		}
	}
	return nil
}

// PutTotals is part of derive.Rollups.
func (r rollups) PutTotals(ctx context.Context, totals []derive.StoredTotal) error {
	return execEach(ctx, r.tx, `INSERT INTO sandtrail_totals (scope, key, cell) VALUES (?, ?, ?)
		ON CONFLICT (scope, key) DO UPDATE SET cell = excluded.cell`,
		rowsOf(totals, func(t derive.StoredTotal) []any { return []any{t.Scope, t.ID, t.Cell} }))
}

// Forget is part of derive.Rollups.
func (r rollups) Forget(ctx context.Context, ids []string) error {
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	return forget(ctx, r.tx, "key IN (SELECT value FROM json_each(?))", string(list))
}

func rowsOf[T any](all []T, row func(T) []any) [][]any {
	rows := make([][]any, len(all))
	for i, one := range all {
		rows[i] = row(one)
	}
	return rows
}
