package sqlstore

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/ledger"
)

var _ ledger.WitnessMemory = Tables{}

// PutVerification remembers the outcome of a verification.
func (t Tables) PutVerification(ctx context.Context, v database.LedgerVerification) error {
	_, err := t.engine.Exec(database.WithOwnLimits(ctx), "keep the outcome of a verification",
		"INSERT INTO {schema}.ledger_verifications (at, records, findings) VALUES ($1, $2, $3)", v.At, v.Records, v.Findings)
	return err
}

// Witnessed returns the newest checkpoint of another log that was seen.
func (t Tables) Witnessed(ctx context.Context, origin string) ([]byte, error) {
	var signed []byte
	err := t.engine.Query(ctx, "read a witnessed checkpoint", "SELECT signed FROM {schema}.ledger_witnessed WHERE origin = $1",
		[]any{origin}, single(&signed))
	return signed, err
}

// PutWitnessed replaces the newest checkpoint of another log.
func (t Tables) PutWitnessed(ctx context.Context, origin string, was, signed []byte, at time.Time) (bool, error) {
	put, err := t.engine.Exec(ctx, "keep a witnessed checkpoint", `INSERT INTO {schema}.ledger_witnessed AS w (origin, signed, at) VALUES ($1, $2, $3)
		ON CONFLICT (origin) DO UPDATE SET signed = $2, at = $3 WHERE w.signed = $4`, origin, string(signed), at, string(was))
	return put > 0, err
}
