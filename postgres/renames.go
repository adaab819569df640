package postgres

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
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

// PendingRenames is part of ledger.RenameReader.
func (b *book) PendingRenames(ctx context.Context) ([]ledger.Rename, error) {
	return scanAll(ctx, b.tx, pgx.RowToStructByPos[ledger.Rename], b.l.sql("SELECT subject, former, renamed FROM {schema}.ledger_renamed ORDER BY seq"))
}

// Renames is part of ledger.RenameReader.
func (b *book) Renames(ctx context.Context, part ledger.Range) ([]ledger.StoredRename, error) {
	return scanAll(ctx, b.tx, func(row pgx.CollectableRow) (r ledger.StoredRename, err error) {
		var hash []byte
		err = row.Scan(&r.Leaf, &r.Data, &r.Opening, &hash)
		copy(r.Hash[:], hash)
		return r, err
	}, b.l.sql(`SELECT r.leaf, r.data, r.opening, substr(t.hashes, (1 + 32 * (r.leaf % $1))::integer, 32) FROM {schema}.ledger_renames r
		LEFT JOIN {schema}.ledger_tiles t ON t.level = 0 AND t.n = r.leaf / $1 WHERE r.leaf >= $2 ORDER BY r.leaf LIMIT nullif($3, 0)`),
		int64(ledger.BlockLeaves), part.From, part.Limit)
}

// eraseNames forgets what users and strategies that are gone were called before
// they were renamed.
func eraseNames(ctx context.Context, tx pgx.Tx, l *layout) error {
	stored, err := (&book{tx: tx, l: l}).Renames(ctx, ledger.Range{})
	if err != nil || len(stored) == 0 {
		return err
	}
	var failed error
	spent := ledger.SpentRenames(stored, func(subject sandtrail.Subject, id string) (known bool) {
		query := "SELECT EXISTS (SELECT FROM {users} WHERE {users.id}::text = $1)"
		if subject == sandtrail.Strategies {
			query = "SELECT EXISTS (SELECT FROM {strategies} WHERE {strategies.id}::text = $1)"
		}
		if err := tx.QueryRow(ctx, l.sql(query), id).Scan(&known); err != nil {
			failed = err
		}
		return known
	})
	if failed != nil || len(spent) == 0 {
		return failed
	}
	_, err = tx.Exec(ctx, l.sql("UPDATE {schema}.ledger_renames SET opening = NULL WHERE leaf = ANY ($1)"), spent)
	return err
}
