package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/sandtrail/sandtrail"
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

// PendingRenames is part of ledger.RenameReader.
func (b *book) PendingRenames(ctx context.Context) ([]ledger.Rename, error) {
	rows, err := b.tx.QueryContext(ctx, "SELECT subject, former, renamed FROM sandtrail_ledger_renamed ORDER BY seq")
	if err != nil {
		return nil, err
	}
	return collect(rows, func(scan func(...any) error) (r ledger.Rename, err error) {
		err = scan(&r.Subject, &r.From, &r.To)
		return r, err
	})
}

// Renames is part of ledger.RenameReader.
func (b *book) Renames(ctx context.Context, part ledger.Range) ([]ledger.StoredRename, error) {
	rows, err := b.tx.QueryContext(ctx, `SELECT r.leaf, r.data, r.opening, substr(t.hashes, 1 + 32 * (r.leaf % ?1), 32) FROM sandtrail_ledger_renames r
		LEFT JOIN sandtrail_ledger_tiles t ON t.level = 0 AND t.n = r.leaf / ?1 WHERE r.leaf >= ?2 ORDER BY r.leaf LIMIT iif(?3 = 0, -1, ?3)`, ledger.BlockLeaves, part.From, part.Limit)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(scan func(...any) error) (r ledger.StoredRename, err error) {
		var hash []byte
		err = scan(&r.Leaf, &r.Data, &r.Opening, &hash)
		copy(r.Hash[:], hash)
		return r, err
	})
}

// eraseNames forgets what users and strategies that are gone were called before
// they were renamed.
func eraseNames(ctx context.Context, tx *sql.Tx) error {
	stored, err := (&book{tx: tx}).Renames(ctx, ledger.Range{})
	if err != nil || len(stored) == 0 {
		return err
	}
	var failed error
	spent := ledger.SpentRenames(stored, func(subject sandtrail.Subject, id string) (known bool) {
		table := map[sandtrail.Subject]string{sandtrail.Users: users.table, sandtrail.Strategies: strategies.table}[subject]
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+table+" WHERE id = ?)", id).Scan(&known); err != nil {
			failed = err
		}
		return known
	})
	if failed != nil || len(spent) == 0 {
		return failed
	}
	leaves, err := json.Marshal(spent)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE sandtrail_ledger_renames SET opening = NULL WHERE leaf IN (SELECT value FROM json_each(?))", string(leaves))
	return err
}
