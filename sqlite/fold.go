package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sandtrail/sandtrail"
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
	return sandtrail.MaintainAll(ctx, s, now)
}

// Upkeep lists the steps of Maintain.
func (s *Store) Upkeep() []sandtrail.UpkeepStep {
	return []sandtrail.UpkeepStep{
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
		delta := rollup.Fold(changes)
		if err := mergeDays(ctx, tx, delta.Days); err != nil {
			return err
		}
		return mergeTotals(ctx, tx, delta.Totals)
	})
	return folded, err
}

// mergeDays merges days into the stored ones; those that become empty are
// removed.
func mergeDays(ctx context.Context, tx *sql.Tx, days map[rollup.Key]*rollup.Day) error {
	read, err := tx.PrepareContext(ctx, "SELECT summary, slots FROM sandtrail_rollups WHERE scope = ? AND key = ? AND day = ?")
	if err != nil {
		return err
	}
	write, err := tx.PrepareContext(ctx, `INSERT INTO sandtrail_rollups (scope, key, day, summary, slots) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (scope, key, day) DO UPDATE SET summary = excluded.summary, slots = excluded.slots`)
	if err != nil {
		return err
	}
	var stored rollup.Day
	for key, day := range days {
		var summary, slots []byte
		err := read.QueryRowContext(ctx, key.Scope, key.ID, key.Date).Scan(&summary, &slots)
		if err == nil {
			if err := errors.Join(stored.UnmarshalSummary(summary), stored.UnmarshalSlots(slots)); err != nil {
				return err
			}
			day.Merge(&stored)
		} else if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if day.IsEmpty() {
			_, err = tx.ExecContext(ctx, "DELETE FROM sandtrail_rollups WHERE scope = ? AND key = ? AND day = ?", key.Scope, key.ID, key.Date)
		} else {
			_, err = write.ExecContext(ctx, key.Scope, key.ID, key.Date, day.MarshalSummary(), day.MarshalSlots())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mergeTotals merges cells into the stored totals. Totals stay when they
// become empty, unless their owner is gone: they are the list of subjects that
// have roll-ups.
func mergeTotals(ctx context.Context, tx *sql.Tx, totals map[rollup.Subject]*rollup.Cell) error {
	var emptied []string
	for subject, total := range totals {
		stored, err := storedTotal(ctx, tx, subject)
		if err != nil {
			return err
		}
		total.Merge(stored)
		encoded, err := total.MarshalBinary()
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO sandtrail_totals (scope, key, cell) VALUES (?, ?, ?)
			ON CONFLICT (scope, key) DO UPDATE SET cell = excluded.cell`,
			subject.Scope, subject.ID, encoded); err != nil {
			return err
		}
		if total.IsEmpty() {
			emptied = append(emptied, subject.ID)
		}
	}
	if len(emptied) == 0 {
		return nil
	}
	list, err := json.Marshal(emptied)
	if err != nil {
		return err
	}
	return forget(ctx, tx, "key IN (SELECT value FROM json_each(?))", string(list))
}

// storedTotal is the total of a subject as it was last folded.
func storedTotal(ctx context.Context, tx *sql.Tx, subject rollup.Subject) (cell rollup.Cell, err error) {
	var encoded []byte
	err = tx.QueryRowContext(ctx, "SELECT cell FROM sandtrail_totals WHERE scope = ? AND key = ?", subject.Scope, subject.ID).Scan(&encoded)
	if errors.Is(err, sql.ErrNoRows) {
		return cell, nil
	}
	if err != nil {
		return cell, err
	}
	return cell, cell.UnmarshalBinary(encoded)
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
