package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

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
