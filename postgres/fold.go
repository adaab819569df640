package postgres

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/rollup"
)

// foldBatch is how many journal entries one transaction folds.
const foldBatch = 20000

// fold moves the journal into the roll-ups and into the ledger, in
// transactions of foldBatch entries. It returns at once when somebody else is
// at it.
func (s *Store) fold(ctx context.Context, l *layout, now time.Time) error {
	folded := 0
	for {
		n, err := s.foldOnce(ctx, l, now)
		if err != nil {
			return wrap("fold the journal", err)
		}
		if folded += n; n < foldBatch {
			break
		}
	}
	if folded < vacuumAfter {
		return nil
	}
	// Questions read the journal from end to end: do not leave it to the
	// server when the room of deleted rows is used again.
	return s.pool.vacuum(ctx, l.sql("{schema}.journal"))
}

// vacuumAfter is after how many entries folded the journal is vacuumed.
const vacuumAfter = 1000

func (s *Store) foldOnce(ctx context.Context, l *layout, now time.Time) (n int, err error) {
	err = s.foldLocked(ctx, l, func(tx pgx.Tx) error {
		entries, err := takeEntries(ctx, tx, l, batchOf("true"))
		if n = len(entries); err != nil || n == 0 {
			return err
		}
		return sealEntries(ctx, tx, l, now, entries)
	})
	return n, err
}

// foldLocked runs f in a transaction that sees one state of everything, unless
// somebody else is folding or sealing.
func (s *Store) foldLocked(ctx context.Context, l *layout, f func(pgx.Tx) error) error {
	return s.again(func(tx pgx.Tx) error {
		ok, err := tryLock(ctx, tx, l.Schema, "fold")
		if err != nil || !ok {
			return err
		}
		return f(tx)
	}, func(f func(pgx.Tx) error) error { return s.inSnapshot(ctx, l, asSession, f) })
}

// batchOf is the condition for up to foldBatch of the journal's entries of
// which another is true.
func batchOf(condition string) string {
	return "ctid = ANY (ARRAY (SELECT ctid FROM {schema}.journal WHERE " + condition + " LIMIT " + strconv.Itoa(foldBatch) + "))"
}

// foldEntries adds journal entries to the roll-ups.
func foldEntries(ctx context.Context, tx pgx.Tx, l *layout, entries []noted) error {
	if len(entries) == 0 {
		return nil
	}
	changes := make([]rollup.Change, len(entries))
	for i := range entries {
		changes[i] = entries[i].folded
	}
	delta := rollup.Fold(changes)
	if err := mergeDays(ctx, tx, l, delta.Days); err != nil {
		return err
	}
	return mergeTotals(ctx, tx, l, delta.Totals)
}

// dayRows are rows of the roll-ups as columns, for one statement.
type dayRows struct {
	scopes          []int16
	keys            []string
	days            []int32
	summaries, slot [][]byte
}

func (r *dayRows) add(key rollup.Key, day *rollup.Day) {
	r.scopes = append(r.scopes, int16(key.Scope))
	r.keys = append(r.keys, key.ID)
	r.days = append(r.days, int32(key.Date))
	if day != nil {
		r.summaries = append(r.summaries, day.MarshalSummary())
		r.slot = append(r.slot, day.MarshalSlots())
	}
}

// mergeDays merges days into the stored ones.
func mergeDays(ctx context.Context, tx pgx.Tx, l *layout, days map[rollup.Key]*rollup.Day) error {
	var touched dayRows
	for key := range days {
		touched.add(key, nil)
	}
	rows, err := tx.Query(ctx, l.sql(`SELECT r.scope, r.key, r.day, r.summary, r.slots
		FROM unnest($1::smallint[], $2::text[], $3::integer[]) t (scope, key, day) JOIN {schema}.rollups r USING (scope, key, day)`),
		touched.scopes, touched.keys, touched.days)
	if err != nil {
		return err
	}
	if err := eachDay(rows, func(key rollup.Key, stored *rollup.Day) error {
		days[key].Merge(stored)
		return nil
	}); err != nil {
		return err
	}
	return putDays(ctx, tx, l, days)
}

// eachDay decodes rows of the roll-ups. The day is reused for the next.
func eachDay(rows pgx.Rows, f func(rollup.Key, *rollup.Day) error) error {
	var scope int16
	var id string
	var date int32
	var summary, slots []byte
	var day rollup.Day
	_, err := pgx.ForEachRow(rows, []any{&scope, &id, &date, &summary, &slots}, func() error {
		if err := errors.Join(day.UnmarshalSummary(summary), day.UnmarshalSlots(slots)); err != nil {
			return err
		}
		return f(rollup.Key{Subject: rollup.Subject{Scope: rollup.Scope(scope), ID: id}, Date: rollup.Date(date)}, &day)
	})
	return err
}

// putDays replaces stored days; empty ones are removed.
func putDays(ctx context.Context, tx pgx.Tx, l *layout, days map[rollup.Key]*rollup.Day) error {
	var full, empty dayRows
	for key, day := range days {
		if day.IsEmpty() {
			empty.add(key, nil)
		} else {
			full.add(key, day)
		}
	}
	if _, err := tx.Exec(ctx, l.sql(`INSERT INTO {schema}.rollups (scope, key, day, summary, slots)
		SELECT * FROM unnest($1::smallint[], $2::text[], $3::integer[], $4::bytea[], $5::bytea[])
		ON CONFLICT (scope, key, day) DO UPDATE SET summary = excluded.summary, slots = excluded.slots`),
		full.scopes, full.keys, full.days, full.summaries, full.slot); err != nil || len(empty.days) == 0 {
		return err
	}
	_, err := tx.Exec(ctx, l.sql(`DELETE FROM {schema}.rollups r USING unnest($1::smallint[], $2::text[], $3::integer[]) t (scope, key, day)
		WHERE r.scope = t.scope AND r.key = t.key AND r.day = t.day`), empty.scopes, empty.keys, empty.days)
	return err
}

// mergeTotals merges cells into the stored totals. Totals stay when they
// become empty, unless their owner is gone: they are the list of subjects that
// have roll-ups.
func mergeTotals(ctx context.Context, tx pgx.Tx, l *layout, totals map[rollup.Subject]*rollup.Cell) error {
	var scopes []int16
	var keys []string
	for subject := range totals {
		scopes, keys = append(scopes, int16(subject.Scope)), append(keys, subject.ID)
	}
	rows, err := tx.Query(ctx, l.sql(`SELECT r.scope, r.key, r.cell
		FROM unnest($1::smallint[], $2::text[]) t (scope, key) JOIN {schema}.totals r USING (scope, key)`), scopes, keys)
	if err != nil {
		return err
	}
	if err := eachTotal(rows, func(subject rollup.Subject, stored rollup.Cell) { totals[subject].Merge(stored) }); err != nil {
		return err
	}
	cells := make([][]byte, len(keys))
	var emptied []string
	for i := range keys {
		total := totals[rollup.Subject{Scope: rollup.Scope(scopes[i]), ID: keys[i]}]
		if cells[i], err = total.MarshalBinary(); err != nil {
			return err
		}
		if total.IsEmpty() {
			emptied = append(emptied, keys[i])
		}
	}
	_, err = tx.Exec(ctx, l.sql(`INSERT INTO {schema}.totals (scope, key, cell) SELECT * FROM unnest($1::smallint[], $2::text[], $3::bytea[])
		ON CONFLICT (scope, key) DO UPDATE SET cell = excluded.cell`), scopes, keys, cells)
	if err != nil || len(emptied) == 0 {
		return err
	}
	return forget(ctx, tx, l, "key = ANY ($1)", emptied)
}

// eachTotal decodes rows of the totals.
func eachTotal(rows pgx.Rows, f func(rollup.Subject, rollup.Cell)) error {
	var scope int16
	var key string
	var encoded []byte
	_, err := pgx.ForEachRow(rows, []any{&scope, &key, &encoded}, func() error {
		var stored rollup.Cell
		if err := stored.UnmarshalBinary(encoded); err != nil {
			return err
		}
		f(rollup.Subject{Scope: rollup.Scope(scope), ID: key}, stored)
		return nil
	})
	return err
}

// forget removes the roll-ups of users and strategies that are gone, of those
// totals t that a condition selects. What retention removed of them before
// stays in the counts of everything, where nobody's name is. Entries of theirs
// that are not folded yet keep them until these are.
func forget(ctx context.Context, tx pgx.Tx, l *layout, condition string, args ...any) error {
	gone, err := scanAll(ctx, tx, scanSubject, l.sql(`SELECT scope, key FROM {schema}.totals t
		WHERE (scope = 1 AND NOT EXISTS (SELECT FROM {users} WHERE {users.id}::text = t.key)
				OR scope = 2 AND NOT EXISTS (SELECT FROM {strategies} WHERE {strategies.id}::text = t.key))
			AND NOT EXISTS (SELECT FROM {schema}.journal j WHERE t.key IN (j.user_id, j.strategy_id))
			AND `+condition), args...)
	if err != nil || len(gone) == 0 {
		return wrap("forget the roll-ups of the gone", err)
	}
	scopes, keys := make([]int16, len(gone)), make([]string, len(gone))
	for i, subject := range gone {
		scopes[i], keys[i] = int16(subject.Scope), subject.ID
	}
	_, err = tx.Exec(ctx, l.sql(`
		WITH gone AS (SELECT * FROM unnest($1::smallint[], $2::text[]) g (scope, key)),
			totals AS (DELETE FROM {schema}.totals t USING gone g WHERE t.scope = g.scope AND t.key = g.key)
		DELETE FROM {schema}.rollups r USING gone g WHERE r.scope = g.scope AND r.key = g.key`), scopes, keys)
	return wrap("forget the roll-ups of the gone", err)
}

// forgetSoon makes the next round of maintenance look for owners that went.
func forgetSoon(ctx context.Context, tx pgx.Tx, l *layout) error {
	_, err := tx.Exec(ctx, l.sql("DELETE FROM {schema}.agenda WHERE work = 'forget'"))
	return err
}

// forgetEvery is how often owners are looked for that went without any
// execution: the fold sees those whose executions went along.
const forgetEvery = time.Hour

func (s *Store) forgetSometimes(ctx context.Context, l *layout, now time.Time) error {
	due, err := s.Claim(ctx, "forget", now, forgetEvery, forgetEvery)
	if err != nil || !due {
		return err
	}
	err = s.withShortLocks(ctx, upkeepTries, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, l.Schema, "fold"); err != nil {
			return err
		}
		if err := forget(ctx, tx, l, "true"); err != nil {
			return err
		}
		return eraseNames(ctx, tx, l)
	})
	if isLocked(err) { // by a fold: then next time
		return s.Reschedule(ctx, "forget", now)
	}
	return err
}

func scanSubject(row pgx.CollectableRow) (s rollup.Subject, err error) {
	var scope int16
	err = row.Scan(&scope, &s.ID)
	s.Scope = rollup.Scope(scope)
	return s, err
}
