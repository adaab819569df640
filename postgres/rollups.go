package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/derive"
	"github.com/sandtrail/sandtrail/rollup"
)

// rollups are the roll-ups and totals as a transaction sees them: the SQL that
// package derive works with.
type rollups struct {
	tx pgx.Tx
	l  *layout
}

var (
	_ derive.Rollups  = rollups{}
	_ derive.Snapshot = rollups{}
)

// dayColumns are rows of the roll-ups as columns, for one statement.
type dayColumns struct {
	scopes []int16
	keys   []string
	days   []int32
}

func (c *dayColumns) add(key rollup.Key) {
	c.scopes = append(c.scopes, int16(key.Scope))
	c.keys = append(c.keys, key.ID)
	c.days = append(c.days, int32(key.Date))
}

func dayColumnsOf(keys []rollup.Key) (c dayColumns) {
	for _, key := range keys {
		c.add(key)
	}
	return c
}

func subjectColumns(subjects []rollup.Subject) (scopes []int16, keys []string) {
	scopes, keys = make([]int16, len(subjects)), make([]string, len(subjects))
	for i, subject := range subjects {
		scopes[i], keys[i] = int16(subject.Scope), subject.ID
	}
	return scopes, keys
}

// Days is part of derive.Rollups.
func (r rollups) Days(ctx context.Context, keys []rollup.Key, f func(derive.StoredDay) error) error {
	c := dayColumnsOf(keys)
	return r.eachDay(ctx, f, `SELECT r.scope, r.key, r.day, r.summary, r.slots
		FROM unnest($1::smallint[], $2::text[], $3::integer[]) t (scope, key, day) JOIN {schema}.rollups r USING (scope, key, day)`,
		c.scopes, c.keys, c.days)
}

// eachDay reads the rows of the roll-ups that a query selects.
func (r rollups) eachDay(ctx context.Context, f func(derive.StoredDay) error, query string, args ...any) error {
	rows, err := r.tx.Query(ctx, r.l.sql(query), args...)
	if err != nil {
		return err
	}
	var scope int16
	var date int32
	var day derive.StoredDay
	_, err = pgx.ForEachRow(rows, []any{&scope, &day.ID, &date, &day.Summary, &day.Slots}, func() error {
		day.Scope, day.Date = rollup.Scope(scope), rollup.Date(date)
		return f(day)
	})
	return err
}

// PutDays is part of derive.Rollups.
func (r rollups) PutDays(ctx context.Context, days []derive.StoredDay) error {
	var c dayColumns
	summaries, slots := make([][]byte, len(days)), make([][]byte, len(days))
	for i, day := range days {
		c.add(day.Key)
		summaries[i], slots[i] = day.Summary, day.Slots
	}
	_, err := r.tx.Exec(ctx, r.l.sql(`INSERT INTO {schema}.rollups (scope, key, day, summary, slots)
		SELECT * FROM unnest($1::smallint[], $2::text[], $3::integer[], $4::bytea[], $5::bytea[])
		ON CONFLICT (scope, key, day) DO UPDATE SET summary = excluded.summary, slots = excluded.slots`),
		c.scopes, c.keys, c.days, summaries, slots)
	return err
}

// DeleteDays is part of derive.Rollups.
func (r rollups) DeleteDays(ctx context.Context, keys []rollup.Key) error {
	c := dayColumnsOf(keys)
	_, err := r.tx.Exec(ctx, r.l.sql(`DELETE FROM {schema}.rollups r USING unnest($1::smallint[], $2::text[], $3::integer[]) t (scope, key, day)
		WHERE r.scope = t.scope AND r.key = t.key AND r.day = t.day`), c.scopes, c.keys, c.days)
	return err
}

// Totals is part of derive.Rollups.
func (r rollups) Totals(ctx context.Context, subjects []rollup.Subject, f func(derive.StoredTotal) error) error {
	scopes, keys := subjectColumns(subjects)
	return r.eachTotal(ctx, f, `SELECT r.scope, r.key, r.cell
		FROM unnest($1::smallint[], $2::text[]) t (scope, key) JOIN {schema}.totals r USING (scope, key)`, scopes, keys)
}

// eachTotal reads the totals that a query selects.
func (r rollups) eachTotal(ctx context.Context, f func(derive.StoredTotal) error, query string, args ...any) error {
	rows, err := r.tx.Query(ctx, r.l.sql(query), args...)
	if err != nil {
		return err
	}
	var scope int16
	var total derive.StoredTotal
	_, err = pgx.ForEachRow(rows, []any{&scope, &total.ID, &total.Cell}, func() error {
		total.Scope = rollup.Scope(scope)
		return f(total)
	})
	return err
}

// PutTotals is part of derive.Rollups.
func (r rollups) PutTotals(ctx context.Context, totals []derive.StoredTotal) error {
	subjects, cells := make([]rollup.Subject, len(totals)), make([][]byte, len(totals))
	for i, total := range totals {
		subjects[i], cells[i] = total.Subject, total.Cell
	}
	scopes, keys := subjectColumns(subjects)
	_, err := r.tx.Exec(ctx, r.l.sql(`INSERT INTO {schema}.totals (scope, key, cell) SELECT * FROM unnest($1::smallint[], $2::text[], $3::bytea[])
		ON CONFLICT (scope, key) DO UPDATE SET cell = excluded.cell`), scopes, keys, cells)
	return err
}

// Forget is part of derive.Rollups.
func (r rollups) Forget(ctx context.Context, ids []string) error {
	return forget(ctx, r.tx, r.l, "key = ANY ($1)", ids)
}

func scanSubject(row pgx.CollectableRow) (s rollup.Subject, err error) {
	var scope int16
	err = row.Scan(&scope, &s.ID)
	s.Scope = rollup.Scope(scope)
	return s, err
}
