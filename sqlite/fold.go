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

const (
	// foldBatch is how many journal entries one transaction folds: enough to
	// spread the cost of the days it rewrites, few enough not to hold up
	// other writers.
	foldBatch = 4000
	// foldAfter is how long the journal may grow before an append folds it.
	// Questions read the journal from end to end.
	foldAfter = 4000
	// feedLength is how many executions the feed keeps. Followers who fall
	// behind further must begin anew.
	feedLength = 1_000_000
)

// Maintain folds the journal, now and then forgets the roll-ups of owners that
// are gone, takes what came and went into the ledger and cuts the feed back.
func (s *Store) Maintain(ctx context.Context, now time.Time) error {
	return database.MaintainAll(ctx, s, now)
}

// Upkeep lists the steps of Maintain.
func (s *Store) Upkeep() []database.UpkeepStep {
	return []database.UpkeepStep{
		{Name: "fold", RunOnce: func(ctx context.Context, _ time.Time) error { return s.foldAll(ctx) }},
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
			if err := errors.Join(forget(ctx, tx, "true"), eraseNames(ctx, tx)); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM sandtrail_feed WHERE seq <= (SELECT seq FROM sandtrail_ledger_sealed) - ?", feedLength)
		return err
	})
}

// foldAll folds the journal as a whole.
func (s *Store) foldAll(ctx context.Context) error {
	for {
		folded, err := s.fold(ctx)
		if err != nil || folded < foldBatch {
			return err
		}
	}
}

// foldIfLong folds the journal once it is long.
func (s *Store) foldIfLong(ctx context.Context) error {
	var pending int64
	err := s.query(ctx, "measure the journal",
		"SELECT COALESCE((SELECT MAX(seq) FROM sandtrail_journal) - (SELECT MIN(seq) FROM sandtrail_journal), 0)", nil,
		func(rows *sql.Rows) error {
			rows.Next()
			return rows.Scan(&pending)
		})
	if err != nil || pending < foldAfter {
		return err
	}
	_, err = s.fold(ctx)
	return err
}

// fold moves up to foldBatch entries of the journal into the roll-ups.
func (s *Store) fold(ctx context.Context) (folded int, err error) {
	err = s.write(ctx, "fold the journal", func(tx *sql.Tx) error {
		var changes []rollup.Change
		last, err := eachEntry(ctx, tx, fmt.Sprintf(" ORDER BY seq LIMIT %d", foldBatch), nil, func(c rollup.Change) {
			changes = append(changes, c)
		})
		if folded = len(changes); err != nil || folded == 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM sandtrail_journal WHERE seq <= ?", last); err != nil {
			return err
		}
		return derive.Apply(ctx, rollups{tx}, changes)
	})
	return folded, err
}

// forgetSoon makes the next round of maintenance look for owners that went.
func forgetSoon(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM sandtrail_agenda WHERE work = 'forget'")
	return err
}

// forgetEvery is how often owners are looked for that went without any
// execution: the fold sees those whose executions went along.
const forgetEvery = time.Hour

// forget removes the roll-ups of users and strategies that are gone, of those
// totals t that a condition selects. What retention removed of them before
// stays in the counts of everything, where nobody's name is. Entries of theirs
// that are not folded yet keep them until these are, and so do executions that
// another client's foreign keys, being off, did not delete along.
func forget(ctx context.Context, tx *sql.Tx, condition string, args ...any) error {
	gone := `(scope, key) IN (SELECT scope, key FROM sandtrail_totals AS t
		WHERE (scope = 1 AND key NOT IN (SELECT id FROM users) AND NOT EXISTS (SELECT 1 FROM sandbox_execution_logs WHERE user_id = t.key)
			OR scope = 2 AND key NOT IN (SELECT id FROM strategies) AND NOT EXISTS (SELECT 1 FROM sandbox_execution_logs WHERE strategy_id = t.key))
			AND NOT EXISTS (SELECT 1 FROM sandtrail_journal WHERE t.key IN (user_id, strategy_id)) AND ` + condition + `)`
	for _, table := range []string{"sandtrail_rollups", "sandtrail_totals"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE "+gone, args...); err != nil {
			return err
		}
	}
	return nil
}
