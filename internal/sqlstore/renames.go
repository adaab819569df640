package sqlstore

import (
	"context"
	"fmt"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

// Renames are those of users and strategies, in a transaction.
type Renames struct{ Tx Tx }

var _ ledger.RenameReader = Renames{}

// PendingRenames is part of ledger.RenameReader.
func (r Renames) PendingRenames(ctx context.Context) (pending []ledger.Rename, err error) {
	err = r.Tx.Query(ctx, "SELECT subject, former, renamed FROM {schema}.ledger_renamed ORDER BY seq", nil,
		each(&pending, func(scan func(...any) error, r *ledger.Rename) error { return scan(&r.Subject, &r.From, &r.To) }))
	return pending, err
}

// Renames is part of ledger.RenameReader.
func (r Renames) Renames(ctx context.Context, part ledger.Range) (stored []ledger.StoredRename, err error) {
	query := `SELECT r.leaf, r.data, r.opening, substr(t.hashes, (1 + 32 * (r.leaf % $1))::integer, 32) FROM {schema}.ledger_renames r
		LEFT JOIN {schema}.ledger_tiles t ON t.level = 0 AND t.n = r.leaf / $1 WHERE r.leaf >= $2 ORDER BY r.leaf`
	if part.Limit > 0 {
		query += fmt.Sprintf(" LIMIT %d", part.Limit)
	}
	err = r.Tx.Query(ctx, query, []any{int64(ledger.BlockLeaves), part.From}, each(&stored, scanRename))
	return stored, err
}

func scanRename(scan func(...any) error, r *ledger.StoredRename) error {
	var hash []byte
	err := scan(&r.Leaf, &r.Data, &r.Opening, &hash)
	copy(r.Hash[:], hash)
	return err
}

// Erase forgets what users and strategies that are gone were called before they were
// renamed.
func (r Renames) Erase(ctx context.Context) error {
	stored, err := r.Renames(ctx, ledger.Range{})
	if err != nil || len(stored) == 0 {
		return err
	}
	for _, leaf := range ledger.SpentRenames(stored, func(subject sandtrail.Subject, id string) (known bool) {
		query := "SELECT EXISTS (SELECT 1 FROM {users} WHERE {users.id}::text = $1)"
		if subject == sandtrail.Strategies {
			query = "SELECT EXISTS (SELECT 1 FROM {strategies} WHERE {strategies.id}::text = $1)"
		}
		if asked := r.Tx.Query(ctx, query, []any{id}, single(&known)); asked != nil {
			err = asked
		}
		return known
	}) {
		if err == nil {
			_, err = r.Tx.Exec(ctx, "UPDATE {schema}.ledger_renames SET opening = NULL WHERE leaf = $1", leaf)
		}
	}
	return err
}
