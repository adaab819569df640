package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/derive"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/rollup"
)

// The partitions of the changes. Triggers write pending ones, which roll-ups and
// ledger lack. Those that the ledger alone lacks are counted ones.
//
// A transaction reads changes by deleting them. None is read twice, and none is
// passed over, however late its writer commits.
const (
	pendingChanges = "{schema}.changes_pending"
	countedChanges = "{schema}.changes_counted"
)

// isForLedger selects the changes that the ledger takes. Of an update it keeps the
// record as it was.
const isForLedger = "reason IS DISTINCT FROM 'update'"

// change is a change for roll-ups and ledger.
type change struct {
	figures rollup.Change // of a pending change
	entry   ledger.Change
	counted bool
	update  bool // only the roll-ups take it
}

// takeChanges deletes and returns changes of a partition, or of both.
func takeChanges(ctx context.Context, tx pgx.Tx, l *layout, table, condition string, args ...any) ([]change, error) {
	return scanAll(ctx, tx, func(row pgx.CollectableRow) (c change, err error) {
		err = row.Scan(append([]any{&c.counted, &c.entry.Reason, (*[16]byte)(&c.entry.ID)}, changeFields(&c.figures)...)...)
		c.update = c.entry.Reason == "update"
		c.entry.Removed, c.entry.CreatedAt = c.figures.Sign < 0, c.figures.CreatedAt.UTC()
		return c, err
	}, l.sql("DELETE FROM "+table+" WHERE "+condition+" RETURNING counted, coalesce(reason, 'delete'), id, "+entryColumns), args...)
}

// takeBatch takes up to n of the changes of a partition that fulfil a condition.
func takeBatch(ctx context.Context, tx pgx.Tx, l *layout, table string, n int, condition string, args ...any) ([]change, error) {
	return takeChanges(ctx, tx, l, table, fmt.Sprintf("ctid = ANY (ARRAY (SELECT ctid FROM %s WHERE %s LIMIT %d))", table, condition, n), args...)
}

// entriesOf are the changes that the ledger takes.
func entriesOf(changes []change) []ledger.Change {
	entries := make([]ledger.Change, 0, len(changes))
	for _, c := range changes {
		if !c.update {
			entries = append(entries, c.entry)
		}
	}
	return entries
}

// putCounted leaves changes to the ledger, which takes them later.
func putCounted(ctx context.Context, tx pgx.Tx, l *layout, entries []ledger.Change) error {
	return copyInto(ctx, tx, pgx.Identifier{l.Schema, "changes_counted"}, []string{"sign", "reason", "id", "created_at"}, len(entries),
		func(i int) []any {
			c := entries[i]
			if c.Removed {
				return []any{int16(-1), c.Reason, [16]byte(c.ID), c.CreatedAt}
			}
			return []any{int16(1), nil, [16]byte(c.ID), c.CreatedAt}
		})
}

// retired completes a statement that removes ids, called gone, whose
// executions went with their partition.
const retired = " INSERT INTO " + countedChanges + " (sign, reason, id, created_at) SELECT -1, 'retention', id, created_at FROM gone"

// because says why the executions go that the transaction deletes.
func because(ctx context.Context, tx pgx.Tx, reason string) error {
	_, err := tx.Exec(ctx, "SELECT set_config('sandtrail.reason', $1, true)", reason)
	return err
}

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

// inBatches takes the changes of a partition that fulfil a condition, and runs f
// on each batch of up to size in the transaction that takes it. It returns at once
// when another process is at it.
func (s *Store) inBatches(ctx context.Context, l *layout, table, condition string, size int, f func(pgx.Tx, []change) error) error {
	taken := 0
	for n := size; n == size; taken += n {
		n = 0
		if err := s.foldLocked(ctx, l, func(tx pgx.Tx) error {
			changes, err := takeBatch(ctx, tx, l, table, size, condition)
			if n = len(changes); err != nil {
				return err
			}
			return f(tx, changes)
		}); err != nil {
			return err
		}
	}
	if taken < vacuumAfter {
		return nil
	}
	// Statistics read the pending changes from end to end: the space of deleted
	// ones is to be used again before the server's own vacuum comes.
	return s.pool.vacuum(ctx, l.sql(table))
}

// vacuumAfter is after how many changes taken their partition is vacuumed.
const vacuumAfter = 1000

// foldLocked runs f in a transaction that sees one state of everything, unless
// another one is folding or sealing.
func (s *Store) foldLocked(ctx context.Context, l *layout, f func(pgx.Tx) error) error {
	return s.again(func(tx pgx.Tx) error {
		ok, err := tryLock(ctx, tx, l.Schema, "fold")
		if err != nil || !ok {
			return err
		}
		return f(tx)
	}, func(f func(pgx.Tx) error) error { return s.inSnapshot(ctx, l, asSession, f) })
}
