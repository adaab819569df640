package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/derive"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/rollup"
)

// foldBatch is how many pending changes one transaction folds.
const foldBatch = 20000

// fold applies the pending changes to the roll-ups and enters them into the
// ledger. A ledger that is torn does not keep the roll-ups from being kept: the
// changes stay for it, and seal reports it.
func (s *Store) fold(ctx context.Context, l *layout, now time.Time) error {
	err := s.inBatches(ctx, l, pendingChanges, "true", foldBatch, func(tx pgx.Tx, changes []change) error {
		if len(changes) == 0 {
			return nil
		}
		err := pgx.BeginFunc(ctx, tx, func(nested pgx.Tx) error { return foldAndSeal(ctx, nested, l, changes, now) })
		if errors.Is(err, ledger.ErrTorn) {
			err = count(ctx, tx, l, changes)
		}
		return err
	})
	return wrap("fold the changes", err)
}

// count applies pending changes to the roll-ups and leaves them to the ledger.
func count(ctx context.Context, tx pgx.Tx, l *layout, changes []change) error {
	if err := apply(ctx, tx, l, changes); err != nil {
		return err
	}
	return putCounted(ctx, tx, l, entriesOf(changes))
}

// apply adds changes to the roll-ups, except for those that they count.
func apply(ctx context.Context, tx pgx.Tx, l *layout, changes []change) error {
	figures := make([]rollup.Change, 0, len(changes))
	for i := range changes {
		if !changes[i].counted {
			figures = append(figures, changes[i].figures)
		}
	}
	return derive.Apply(ctx, rollups{tx, l}, figures)
}

// forget removes the roll-ups of users and strategies that are gone, of those
// totals t that a condition selects. What retention removed of them before
// stays in the counts of everything, where nobody's name is. Entries of theirs
// that are not folded yet keep them until these are.
func forget(ctx context.Context, tx pgx.Tx, l *layout, condition string, args ...any) error {
	gone, err := scanAll(ctx, tx, scanSubject, l.sql(`SELECT scope, key FROM {schema}.totals t
		WHERE (scope = 1 AND NOT EXISTS (SELECT FROM {users} WHERE {users.id}::text = t.key)
				OR scope = 2 AND NOT EXISTS (SELECT FROM {strategies} WHERE {strategies.id}::text = t.key))
			AND NOT EXISTS (SELECT FROM {schema}.changes_pending j WHERE t.key IN (j.user_id, j.strategy_id))
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
