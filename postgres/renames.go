package postgres

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/internal/sqlstore"
	"github.com/sandtrail/sandtrail/ledger"
)

// sealRenames takes renames of users and strategies into the ledger.
func sealRenames(ctx context.Context, tx pgx.Tx, l *layout, now time.Time) error {
	b := &book{tx: tx, l: l}
	renames, err := b.PendingRenames(ctx)
	if err != nil || len(renames) == 0 {
		return err
	}
	if err := ledger.SealRenames(ctx, b, renames, now, rand.Reader); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, l.sql("DELETE FROM {schema}.ledger_renamed")) // of the same snapshot
	return err
}

func (b *book) renames() sqlstore.Renames { return sqlstore.Renames{Tx: tx{b.tx, b.l}} }

// PendingRenames is part of ledger.RenameReader.
func (b *book) PendingRenames(ctx context.Context) ([]ledger.Rename, error) {
	return b.renames().PendingRenames(ctx)
}

// Renames is part of ledger.RenameReader.
func (b *book) Renames(ctx context.Context, part ledger.Range) ([]ledger.StoredRename, error) {
	return b.renames().Renames(ctx, part)
}

// eraseNames forgets what users and strategies that are gone were called before
// they were renamed.
func eraseNames(ctx context.Context, tx pgx.Tx, l *layout) error {
	return (&book{tx: tx, l: l}).renames().Erase(ctx)
}
