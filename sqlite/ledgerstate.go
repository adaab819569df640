package sqlite

import (
	"context"
	"database/sql"

	"github.com/sandtrail/sandtrail/database"
)

// LedgerState says how far the ledger is.
func (s *Store) LedgerState(ctx context.Context) (state database.LedgerState, err error) {
	err = s.read(ctx, "read the ledger's state", func(tx *sql.Tx) (err error) {
		state, err = (&book{tx: tx}).state(ctx)
		return err
	})
	return state, err
}

func (b *book) state(ctx context.Context) (state database.LedgerState, err error) {
	if state.Size, err = b.Size(ctx); err != nil {
		return state, err
	}
	if err := b.tx.QueryRowContext(ctx, "SELECT count(*) FROM sandtrail_history WHERE "+unsealed).Scan(&state.Unsealed); err != nil {
		return state, err
	}
	var at timestamp
	var c database.LedgerCheckpoint
	err = b.tx.QueryRowContext(ctx, `SELECT size, at FROM sandtrail_ledger_checkpoints ORDER BY id DESC LIMIT 1`).Scan(&c.Size, &at)
	if err == nil {
		c.At = at.Time
		state.Checkpoint = &c
	} else if noRows(err) != nil {
		return state, err
	}
	var v database.LedgerVerification
	err = b.tx.QueryRowContext(ctx, `SELECT at, records, findings FROM sandtrail_ledger_verifications ORDER BY id DESC LIMIT 1`).
		Scan(&at, &v.Records, &v.Findings)
	if err == nil {
		v.At = at.Time
		state.Verified = &v
	}
	return state, noRows(err)
}
