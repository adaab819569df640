package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/derive"
	"github.com/sandtrail/sandtrail/rollup"
)

// applyBatch is how many changes one transaction applies to the roll-ups: enough
// to spread the cost of the days it rewrites, few enough not to hold up other
// writers. An append that finds as many pending applies them, because statistics
// read them from end to end.
const applyBatch = 4000

// Maintain applies changes to the roll-ups, now and then forgets those of owners
// that are gone, enters changes into the ledger, and prunes the changes.
func (s *Store) Maintain(ctx context.Context, now time.Time) error {
	return database.MaintainAll(ctx, s, now)
}

// Upkeep lists the steps of Maintain.
func (s *Store) Upkeep() []database.UpkeepStep {
	return []database.UpkeepStep{
		{Name: "fold", RunOnce: func(ctx context.Context, _ time.Time) error { return s.applyAll(ctx) }},
		{Name: "seal", RunOnce: s.seal},
		{Name: "texts", RunOnce: s.keepTexts, Slow: true},
		{Name: "tidy", RunOnce: s.tidy},
	}
}

// tidy removes what is not needed any more.
func (s *Store) tidy(ctx context.Context, now time.Time) error {
	due, err := s.Claim(ctx, "forget", now, forgetEvery, forgetEvery)
	if err != nil {
		return err
	}
	return s.write(ctx, "maintain", func(tx *sql.Tx) error {
		if due {
			if err := errors.Join(forget(ctx, tx, "true"), (&book{tx: tx}).renames().Erase(ctx)); err != nil {
				return err
			}
		}
		return prune(ctx, tx)
	})
}

// applyAll applies all pending changes to the roll-ups.
func (s *Store) applyAll(ctx context.Context) error {
	for {
		applied, err := s.apply(ctx)
		if err != nil || applied < applyBatch {
			return err
		}
	}
}

// applyIfMany applies a batch of pending changes once there is one.
func (s *Store) applyIfMany(ctx context.Context) error {
	var pending int64
	err := s.query(ctx, "count pending changes", "SELECT coalesce((SELECT max(seq) FROM sandtrail_changes) - (SELECT min(seq) FROM sandtrail_changes), 0)", nil,
		func(rows *sql.Rows) error {
			rows.Next()
			return rows.Scan(&pending)
		})
	if err != nil || pending < applyBatch {
		return err
	}
	_, err = s.apply(ctx)
	return err
}

// apply applies up to applyBatch pending changes to the roll-ups.
func (s *Store) apply(ctx context.Context) (applied int, err error) {
	err = s.write(ctx, "apply changes to the roll-ups", func(tx *sql.Tx) error {
		var changes []rollup.Change
		last, err := eachPending(ctx, tx, conditions{}, fmt.Sprintf(" ORDER BY seq LIMIT %d", applyBatch), func(c rollup.Change) {
			changes = append(changes, c)
		})
		if applied = len(changes); err != nil || applied == 0 {
			return err
		}
		if err := derive.Apply(ctx, rollups{tx}, changes); err != nil {
			return err
		}
		return counted(ctx, tx, last)
	})
	return applied, err
}

// forgetSoon makes the next round of maintenance look for owners that went.
func forgetSoon(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM sandtrail_agenda WHERE work = 'forget'")
	return err
}

// forgetEvery is how often owners are looked for that went without any
// execution: the roll-ups see those whose executions went along.
const forgetEvery = time.Hour

// forget removes the roll-ups of users and strategies that are gone, of those
// totals t that a condition selects. What retention removed of them before
// stays in the counts of everything, where no name is. Pending changes of theirs
// keep them until these are applied, and so do executions that another client's
// foreign keys, being off, did not delete along.
func forget(ctx context.Context, tx *sql.Tx, condition string, args ...any) error {
	gone := `(scope, key) IN (SELECT scope, key FROM sandtrail_totals AS t
		WHERE (scope = 1 AND key NOT IN (SELECT id FROM users) AND NOT EXISTS (SELECT 1 FROM sandbox_execution_logs WHERE user_id = t.key)
			OR scope = 2 AND key NOT IN (SELECT id FROM strategies) AND NOT EXISTS (SELECT 1 FROM sandbox_execution_logs WHERE strategy_id = t.key))
			AND NOT EXISTS (SELECT 1 FROM sandtrail_changes WHERE t.key IN (user_id, strategy_id)) AND ` + condition + `)`
	for _, table := range []string{"sandtrail_rollups", "sandtrail_totals"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE "+gone, args...); err != nil {
			return err
		}
	}
	return nil
}
