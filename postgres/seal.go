package postgres

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

// sealBatch is how many counted changes one transaction seals.
const sealBatch = 4096

// seal enters renames and counted changes into the ledger.
func (s *Store) seal(ctx context.Context, l *layout, now time.Time) error {
	if err := s.unpark(ctx, l); err != nil {
		return wrap("seal", err)
	}
	return wrap("seal", s.inBatches(ctx, l, countedChanges, "reason IS DISTINCT FROM '"+parked+"'", sealBatch,
		func(tx pgx.Tx, changes []change) error { return foldAndSeal(ctx, tx, l, changes, now) }))
}

// foldAndSeal folds and seals changes that were taken, and with them all others
// of the executions that went.
func foldAndSeal(ctx context.Context, tx pgx.Tx, l *layout, changes []change, now time.Time) error {
	entries := entriesOf(changes)
	if ids := ledger.Entangled(entries); len(ids) > 0 {
		others, err := takeChanges(ctx, tx, l, "{schema}.changes", "id = ANY ($1)", uuids(ids))
		if err != nil {
			return err
		}
		changes, entries = append(changes, others...), append(entries, entriesOf(others)...)
	}
	if err := apply(ctx, tx, l, changes); err != nil {
		return err
	}
	// A record that took the former id must not come before the rename.
	if err := sealRenames(ctx, tx, l, now); err != nil || len(entries) == 0 {
		return err
	}
	b := &book{tx: tx, l: l, k: l.keeper()}
	if _, err := ledger.SealChanges(ctx, b, entries, now, rand.Reader); err != nil {
		return err
	}
	return b.park(ctx)
}

// parked is the reason of a counted change whose record is neither stored nor
// removed: it is in a partition that was detached by hand.
const parked = "detached"

// park leaves to the ledger the insertions whose records are not found, though
// nothing removed their ids. They are sealed once the partition is attached again.
func (b *book) park(ctx context.Context) error {
	if len(b.absent) == 0 || b.l.Distributed != nil {
		return nil
	}
	_, err := b.tx.Exec(ctx, b.l.sql("INSERT INTO "+countedChanges+
		" (sign, reason, id, created_at) SELECT 1, '"+parked+"', id, created_at FROM {schema}.ids WHERE id = ANY ($1)"), uuids(b.absent))
	return err
}

// unpark lets be sealed the records that are found again.
func (s *Store) unpark(ctx context.Context, l *layout) error {
	return s.foldLocked(ctx, l, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, l.sql("UPDATE "+countedChanges+" c SET reason = NULL WHERE reason = '"+parked+
			"' AND EXISTS (SELECT FROM {logs} e WHERE e.id = c.id AND e.created_at = c.created_at)"))
		return err
	})
}

// unsealedColumns are a change for the ledger.
const unsealedColumns = "sign < 0, id, created_at, coalesce(reason, '')"

func scanUnsealed(row pgx.CollectableRow) (c ledger.Change, err error) {
	err = row.Scan(&c.Removed, (*[16]byte)(&c.ID), &c.CreatedAt, &c.Reason)
	c.CreatedAt = c.CreatedAt.UTC()
	return c, err
}

// Pending is part of ledger.Source.
func (b *book) Pending(ctx context.Context) (map[sandtrail.ID]ledger.Pending, error) {
	changes, err := scanAll(ctx, b.tx, scanUnsealed, b.l.sql("SELECT "+unsealedColumns+" FROM {schema}.changes WHERE "+isForLedger))
	if err != nil {
		return nil, err
	}
	unswept, err := b.k.unswept(ctx, b.tx)
	changes = append(changes, unswept...)
	return ledger.PendingOf(changes), err
}
