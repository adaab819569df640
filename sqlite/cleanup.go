package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// deletesPerStep keeps a step of a long removal so short that writers hardly
// notice it.
const deletesPerStep = 500

// pagesPerStep is how many free pages one step gives back to the file system.
const pagesPerStep = 256

// CountBefore returns how many executions Cleanup would delete.
func (s *Store) CountBefore(ctx context.Context, c sandtrail.Cutoff) (n int64, err error) {
	return s.countOld(ctx, "count old executions", c, unheld)
}

func (s *Store) countOld(ctx context.Context, what string, c sandtrail.Cutoff, condition string) (n int64, err error) {
	if c, err = s.spellCutoff(ctx, c); err != nil {
		return 0, err
	}
	var where conditions
	where.add("created_at < ?", bound(c.Latest()))
	where.old(c)
	where.add(condition)
	err = s.read(ctx, what, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM sandbox_execution_logs"+where.text(), where.args...).Scan(&n)
	})
	return n, err
}

// old selects the executions that are old by a cutoff.
func (c *conditions) old(cut sandtrail.Cutoff) {
	rules := [][2]string{}
	for of, before := range cut.Rules() {
		rules = append(rules, [2]string{of, bound(before)})
	}
	encoded, _ := json.Marshal(rules) // of strings, it cannot fail
	c.add(`created_at < coalesce((SELECT min(value ->> 1) FROM json_each(?)
		WHERE value ->> 0 IN ('type ' || execution_type, 'strategy ' || strategy_id)), ?)`, string(encoded), bound(cut.Before))
}

// Cleanup deletes the executions that are old and that no hold keeps, step by
// step, and gives the disk back. The deletions it has counted are on disk,
// also when it returns an error.
func (s *Store) Cleanup(ctx context.Context, c sandtrail.Cutoff) (deleted int64, err error) {
	return s.CleanupArchived(ctx, time.Time{}, c, func(sandtrail.ID) bool { return true })
}

// CleanupArchived is Cleanup of what is archived.
func (s *Store) CleanupArchived(ctx context.Context, since time.Time, c sandtrail.Cutoff, archived func(sandtrail.ID) bool) (deleted int64, err error) {
	if c, err = s.spellCutoff(ctx, c); err != nil {
		return 0, err
	}
	for _, window := range c.Windows() {
		n, err := s.cleanUp(ctx, since, c, window, archived)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	if deleted > 0 {
		err = s.shrink(ctx)
	}
	return deleted, err
}

// cleanUp deletes what is old in a window.
func (s *Store) cleanUp(ctx context.Context, since time.Time, c sandtrail.Cutoff, in sandtrail.Window, archived func(sandtrail.ID) bool) (deleted int64, err error) {
	var first old
	if !since.IsZero() {
		first.createdAt = bound(since)
	}
	return s.inSteps(ctx, "cleanup", first, func(tx *sql.Tx, after old) (done removed, err error) {
		some, err := oldAfter(ctx, tx, after, c, in)
		if err != nil || len(some) == 0 {
			return removed{}, err
		}
		rows := []int64{}
		for _, o := range some {
			if archived(o.id) {
				rows = append(rows, o.row)
			}
		}
		n, err := removeRows(ctx, tx, rows)
		return removed{n: n, last: some[len(some)-1], more: len(some) == deletesPerStep}, err
	})
}

// old is an old execution.
type old struct {
	row       int64
	id        sandtrail.ID
	createdAt string
}

// oldAfter lists the oldest executions of a window after another.
func oldAfter(ctx context.Context, tx *sql.Tx, last old, c sandtrail.Cutoff, in sandtrail.Window) ([]old, error) {
	var where conditions
	where.addIf(in.StrategyID != "", "strategy_id = ?", in.StrategyID)
	where.add("(created_at, id) > (?, ?) AND created_at < ?", last.createdAt, last.id.String(), bound(in.Until))
	where.old(c)
	where.add(unheld)
	rows, err := tx.QueryContext(ctx, "SELECT rowid, id, created_at FROM sandbox_execution_logs"+where.text()+
		" ORDER BY created_at, id LIMIT ?", append(where.args, deletesPerStep)...)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(scan func(...any) error) (o old, err error) {
		var id executionID
		err = scan(&o.row, &id, &o.createdAt)
		o.id = id.ID
		return o, err
	})
}

func removeRows(ctx context.Context, tx *sql.Tx, rows []int64) (int64, error) {
	list, err := json.Marshal(rows)
	if err != nil {
		return 0, err
	}
	return removeBecause(ctx, tx, "retention", "DELETE FROM sandbox_execution_logs WHERE rowid IN (SELECT value FROM json_each(?))", string(list))
}

// removed is what a step of deletion did.
type removed struct {
	n    int64
	last old  // of what it looked at; what is kept before it is not looked at again
	more bool // may be left
}

// inSteps repeats a step of deletion, each in its transaction, until there is
// no more. A step is given the last that the one before it looked at.
func (s *Store) inSteps(ctx context.Context, what string, after old, step func(tx *sql.Tx, after old) (removed, error)) (deleted int64, err error) {
	for {
		var done removed
		err := s.write(ctx, what, func(tx *sql.Tx) (err error) {
			done, err = step(tx, after)
			return err
		})
		if err != nil {
			return deleted, err
		}
		after = done.last
		deleted += done.n
		database.ReportDeleted(ctx, done.n)
		if err := s.applyIfMany(ctx); err != nil {
			return deleted, err
		}
		if !done.more {
			return deleted, nil
		}
	}
}

// removeBecause runs a DELETE on the executions for a reason that the triggers
// hand on to the roll-ups and the ledger.
func removeBecause(ctx context.Context, tx *sql.Tx, reason, text string, args ...any) (n int64, err error) {
	if _, err := tx.ExecContext(ctx, "INSERT INTO sandtrail_reason VALUES (?)", reason); err != nil {
		return 0, err
	}
	if n, err = execCount(ctx, tx, text, args...); err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM sandtrail_reason")
	return n, err
}

func execCount(ctx context.Context, tx *sql.Tx, text string, args ...any) (int64, error) {
	result, err := tx.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// shrink gives free pages back to the file system, step by step, and empties
// the write-ahead log.
func (s *Store) shrink(ctx context.Context) error {
	if err := s.applyAll(ctx); err != nil { // the room of changes, too
		return err
	}
	if err := s.vacuum(ctx); err != nil {
		return err
	}
	return s.retry(ctx, "empty the write-ahead log", func() error {
		// The first column says that somebody was reading; the next
		// checkpoint will do then.
		var busy, log, done int
		return s.writer.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &done)
	})
}

func (s *Store) vacuum(ctx context.Context) error {
	const what = "give disk space back"
	for {
		free, err := s.pragmaInt(ctx, "freelist_count")
		if err != nil || free == 0 {
			return err
		}
		err = s.write(ctx, what, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", pagesPerStep))
			return err
		})
		if err != nil {
			return err
		}
		left, err := s.pragmaInt(ctx, "freelist_count")
		if err != nil || left >= free {
			return err // others are using up or freeing pages meanwhile, or the file was made without auto_vacuum
		}
	}
}

func (s *Store) pragmaInt(ctx context.Context, pragma string) (n int64, err error) {
	err = s.read(ctx, "read "+pragma, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&n)
	})
	return n, err
}

// DeleteUser deletes a user and their executions, the executions first and
// step by step. Interrupted, it has deleted some; the user is still there and
// it can be called again.
func (s *Store) DeleteUser(ctx context.Context, id string) (deleted int64, err error) {
	return deleteOwner(ctx, s, users, id)
}

// DeleteStrategy deletes a strategy as DeleteUser does a user.
func (s *Store) DeleteStrategy(ctx context.Context, id string) (deleted int64, err error) {
	return deleteOwner(ctx, s, strategies, id)
}

func deleteOwner[T any](ctx context.Context, s *Store, o owner[T], id string) (deleted int64, err error) {
	what := "delete " + o.noun
	if id, err = o.spellOf(ctx, s, id); err != nil {
		return 0, err
	}
	err = s.read(ctx, what, func(tx *sql.Tx) error {
		if err := o.exists(ctx, tx, id); err != nil {
			return err
		}
		return o.mayDelete(ctx, tx, id)
	})
	if err != nil {
		return 0, err
	}
	some := fmt.Sprintf(`DELETE FROM sandbox_execution_logs WHERE rowid IN
		(SELECT rowid FROM sandbox_execution_logs WHERE %s = ? LIMIT %d)`, o.column, deletesPerStep)
	deleted, err = s.inSteps(ctx, what, old{}, func(tx *sql.Tx, _ old) (removed, error) {
		n, err := removeBecause(ctx, tx, o.noun, some, id)
		return removed{n: n, more: n == deletesPerStep}, err
	})
	if err != nil {
		return deleted, err
	}
	// What has come in since goes together with the owner.
	var late int64
	err = s.write(ctx, what, func(tx *sql.Tx) (err error) {
		if err := o.mayDelete(ctx, tx, id); err != nil {
			return err
		}
		if late, err = removeBecause(ctx, tx, o.noun, "DELETE FROM sandbox_execution_logs WHERE "+o.column+" = ?", id); err != nil {
			return err
		}
		gone, err := execCount(ctx, tx, "DELETE FROM "+o.table+" WHERE id = ?", id)
		if err != nil {
			return err
		}
		if gone == 0 {
			return o.notFound(id)
		}
		return forgetSoon(ctx, tx)
	})
	if err != nil {
		return deleted, err
	}
	database.ReportDeleted(ctx, late)
	return deleted + late, nil
}
