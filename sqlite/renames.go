package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"time"

	"github.com/sandtrail/sandtrail/internal/sqlstore"
	"github.com/sandtrail/sandtrail/ledger"
)

// sealRenames takes renames of users and strategies into the ledger.
func (s *Store) sealRenames(ctx context.Context, now time.Time) error {
	var waiting bool
	err := s.read(ctx, "seal renames", func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sandtrail_ledger_renamed)").Scan(&waiting)
	})
	if err != nil || !waiting {
		return err
	}
	return s.write(ctx, "seal renames", func(tx *sql.Tx) error {
		b := &book{tx: tx}
		renames, err := b.PendingRenames(ctx)
		if err != nil || len(renames) == 0 {
			return err
		}
		if err := ledger.SealRenames(ctx, b, renames, now, rand.Reader); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM sandtrail_ledger_renamed")
		return err
	})
}

func (b *book) renames() sqlstore.Renames { return sqlstore.Renames{Tx: tx{b.tx}} }

// PendingRenames is part of ledger.RenameReader.
func (b *book) PendingRenames(ctx context.Context) ([]ledger.Rename, error) {
	return b.renames().PendingRenames(ctx)
}

// Renames is part of ledger.RenameReader.
func (b *book) Renames(ctx context.Context, part ledger.Range) ([]ledger.StoredRename, error) {
	return b.renames().Renames(ctx, part)
}
