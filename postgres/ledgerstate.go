package postgres

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/ledger"
)

// LedgerState says how far the ledger is.
func (s *Store) LedgerState(ctx context.Context) (state database.LedgerState, err error) {
	ctx, l, err := s.openUnlimited(ctx)
	if err != nil {
		return state, err
	}
	var c, v struct {
		at   *time.Time
		n, m *int64
	}
	err = s.pool.QueryRow(ctx, l.sql(`
		SELECT coalesce((SELECT n * $1 + length(hashes) / 32 FROM {schema}.ledger_tiles WHERE level = 0 ORDER BY n DESC LIMIT 1), 0),
			(SELECT count(*) FROM {schema}.changes WHERE `+isForLedger+`),
			c.size, c.at, v.records, v.findings, v.at
		FROM (SELECT) one
		LEFT JOIN (SELECT size, at FROM {schema}.ledger_checkpoints ORDER BY id DESC LIMIT 1) c ON true
		LEFT JOIN (SELECT records, findings, at FROM {schema}.ledger_verifications ORDER BY id DESC LIMIT 1) v ON true`),
		int64(ledger.BlockLeaves)).Scan(&state.Size, &state.Unsealed, &c.n, &c.at, &v.n, &v.m, &v.at)
	if err != nil {
		return state, wrap("read the ledger's state", err)
	}
	if c.at != nil {
		state.Checkpoint = &database.LedgerCheckpoint{Size: *c.n, At: c.at.UTC()}
	}
	if v.at != nil {
		state.Verified = &database.LedgerVerification{Records: *v.n, Findings: *v.m, At: v.at.UTC()}
	}
	return state, nil
}
