package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/derive"
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
	changes := make([]rollup.Change, len(entries))
	for i := range entries {
		changes[i] = entries[i].folded
	}
	return derive.Apply(ctx, rollups{tx, l}, changes)
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
	scopes, keys := subjectColumns(gone)
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
