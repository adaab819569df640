package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/rollup"
)

// sealBatch is of how many executions one transaction seals queued changes.
const sealBatch = 4096

// seal takes what is queued into the ledger, in transactions of sealBatch
// executions. It returns at once when somebody else is at it.
func (s *Store) seal(ctx context.Context, l *layout, now time.Time) error {
	sealed := 0
	if err := s.unpark(ctx, l); err != nil {
		return wrap("seal", err)
	}
	for {
		n, err := s.sealOnce(ctx, l, now)
		if err != nil {
			return wrap("seal", err)
		}
		if n == 0 {
			break
		}
		sealed += n
	}
	if sealed < vacuumAfter {
		return nil
	}
	return s.pool.vacuum(ctx, l.sql("{schema}.ledger_queue"))
}

func (s *Store) sealOnce(ctx context.Context, l *layout, now time.Time) (n int, err error) {
	err = s.foldLocked(ctx, l, func(tx pgx.Tx) error {
		renames, err := sealRenames(ctx, tx, l, now)
		if err != nil {
			return err
		}
		changes, err := takeQueued(ctx, tx, l, fmt.Sprintf(
			"id = ANY (ARRAY (SELECT id FROM {schema}.ledger_queue WHERE reason <> '"+parked+"' ORDER BY seq LIMIT %d))", sealBatch))
		if n = renames + len(changes); err != nil || len(changes) == 0 {
			return err
		}
		return foldAndSeal(ctx, tx, l, nil, changes, now)
	})
	return n, err
}

// foldAndSeal folds journal entries and seals changes that were taken, and
// with them all others of the executions that went.
func foldAndSeal(ctx context.Context, tx pgx.Tx, l *layout, entries []noted, changes []ledger.Change, now time.Time) error {
	if ids := ledger.Entangled(changes); len(ids) > 0 {
		others, err := takeEntries(ctx, tx, l, "id = ANY ($1)", uuids(ids))
		if err != nil {
			return err
		}
		queued, err := takeQueued(ctx, tx, l, "id = ANY ($1)", uuids(ids))
		if err != nil {
			return err
		}
		entries, changes = append(entries, others...), append(append(changes, changesOf(others)...), queued...)
	}
	if err := foldEntries(ctx, tx, l, entries); err != nil || len(changes) == 0 {
		return err
	}
	// A record that took the former id must not come before the rename.
	if _, err := sealRenames(ctx, tx, l, now); err != nil {
		return err
	}
	b := &book{tx: tx, l: l, k: l.keeper()}
	if _, err := ledger.SealChanges(ctx, b, changes, now, rand.Reader); err != nil {
		return err
	}
	return b.park(ctx)
}

// parked is the reason of a change in the queue whose record is neither stored
// nor removed: it is in a partition that somebody detached by hand.
const parked = "detached"

// park leaves in the queue what came and is not found, though nothing removed its
// id. It is sealed once the partition is attached again.
func (b *book) park(ctx context.Context) error {
	if len(b.absent) == 0 || b.l.Distributed != nil {
		return nil
	}
	_, err := b.tx.Exec(ctx, b.l.sql("INSERT INTO {schema}.ledger_queue ("+queueColumns+
		") SELECT false, id, created_at, '"+parked+"' FROM {schema}.ids WHERE id = ANY ($1)"), uuids(b.absent))
	return err
}

// unpark lets be sealed what is found again.
func (s *Store) unpark(ctx context.Context, l *layout) error {
	return s.foldLocked(ctx, l, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, l.sql("UPDATE {schema}.ledger_queue q SET reason = '' WHERE reason = '"+parked+
			"' AND EXISTS (SELECT FROM {logs} e WHERE e.id = q.id AND e.created_at = q.created_at)"))
		return err
	})
}

const queueColumns = "removed, id, created_at, reason"

func takeQueued(ctx context.Context, tx pgx.Tx, l *layout, condition string, args ...any) ([]ledger.Change, error) {
	return scanAll(ctx, tx, scanQueued, l.sql("DELETE FROM {schema}.ledger_queue WHERE "+condition+" RETURNING "+queueColumns), args...)
}

// queue leaves changes for a later step of sealing.
func queue(ctx context.Context, tx pgx.Tx, l *layout, changes []ledger.Change) error {
	return copyInto(ctx, tx, pgx.Identifier{l.Schema, "ledger_queue"}, []string{"removed", "id", "created_at", "reason"}, len(changes),
		func(i int) []any {
			c := changes[i]
			return []any{c.Removed, [16]byte(c.ID), c.CreatedAt, c.Reason}
		})
}

func scanQueued(row pgx.CollectableRow) (c ledger.Change, err error) {
	err = row.Scan(&c.Removed, (*[16]byte)(&c.ID), &c.CreatedAt, &c.Reason)
	c.CreatedAt = c.CreatedAt.UTC()
	return c, err
}

// retired completes a statement that removes ids, called gone, whose
// executions went with their partition.
const retired = ` INSERT INTO {schema}.ledger_queue (` + queueColumns + `) SELECT true, id, created_at, 'retention' FROM gone`

// because says why the executions go that the transaction deletes.
func because(ctx context.Context, tx pgx.Tx, reason string) error {
	_, err := tx.Exec(ctx, "SELECT set_config('sandtrail.reason', $1, true)", reason)
	return err
}

// Pending is part of ledger.Source.
func (b *book) Pending(ctx context.Context) (map[sandtrail.ID]ledger.Pending, error) {
	query := b.l.sql("SELECT " + queueColumns + ` FROM {schema}.ledger_queue
		UNION ALL SELECT sign < 0, id, created_at, '' FROM {schema}.journal WHERE reason IS DISTINCT FROM 'update'`)
	changes, err := scanAll(ctx, b.tx, scanQueued, query)
	if err != nil {
		return nil, err
	}
	unswept, err := b.k.unswept(ctx, b.tx)
	changes = append(changes, unswept...)
	return ledger.PendingOf(changes), err
}

// noted is an entry of the journal, as the roll-ups and the ledger want it.
type noted struct {
	folded rollup.Change
	change ledger.Change
	update bool // no business of the ledger's
}

// takeEntries takes the journal's entries that a condition selects.
func takeEntries(ctx context.Context, tx pgx.Tx, l *layout, condition string, args ...any) ([]noted, error) {
	rows, err := tx.Query(ctx, l.sql("DELETE FROM {schema}.journal WHERE "+condition+
		" RETURNING coalesce(reason, 'delete'), id, "+entryColumns), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e noted, err error) {
		err = row.Scan(append([]any{&e.change.Reason, (*[16]byte)(&e.change.ID)}, changeFields(&e.folded)...)...)
		e.update = e.change.Reason == "update"
		e.change.Removed, e.change.CreatedAt = e.folded.Sign < 0, e.folded.CreatedAt.UTC()
		return e, err
	})
}

func changesOf(entries []noted) []ledger.Change {
	changes := make([]ledger.Change, 0, len(entries))
	for _, e := range entries {
		if !e.update {
			changes = append(changes, e.change)
		}
	}
	return changes
}

// sealEntries folds a batch of the journal and enters it into the ledger. A
// ledger that is torn does not keep the roll-ups from being kept: the changes
// wait in the queue, and seal reports it.
func sealEntries(ctx context.Context, tx pgx.Tx, l *layout, now time.Time, entries []noted) error {
	err := pgx.BeginFunc(ctx, tx, func(nested pgx.Tx) error {
		return foldAndSeal(ctx, nested, l, entries, changesOf(entries), now)
	})
	if !errors.Is(err, ledger.ErrTorn) {
		return err
	}
	return foldAndQueue(ctx, tx, l, entries)
}

func foldAndQueue(ctx context.Context, tx pgx.Tx, l *layout, entries []noted) error {
	if err := foldEntries(ctx, tx, l, entries); err != nil {
		return err
	}
	return queue(ctx, tx, l, changesOf(entries))
}
