package postgres

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

var _ ledger.WitnessMemory = (*Store)(nil)

// Witnessed returns the newest checkpoint of another log that was seen.
func (s *Store) Witnessed(ctx context.Context, origin string) ([]byte, error) {
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	var signed *string
	err = s.pool.QueryRow(ctx, l.sql("SELECT signed FROM {schema}.ledger_witnessed WHERE origin = $1"), origin).Scan(&signed)
	if signed == nil {
		return nil, wrap("read a witnessed checkpoint", noRows(err))
	}
	return []byte(*signed), nil
}

// PutWitnessed replaces the newest checkpoint of another log.
func (s *Store) PutWitnessed(ctx context.Context, origin string, was, signed []byte, at time.Time) (bool, error) {
	l, err := s.open(ctx)
	if err != nil {
		return false, err
	}
	put, err := s.execInTx(ctx, l.sql(`INSERT INTO {schema}.ledger_witnessed AS w (origin, signed, at) VALUES ($1, $2, $3)
		ON CONFLICT (origin) DO UPDATE SET signed = $2, at = $3 WHERE w.signed = $4`),
		origin, string(signed), sandtrail.Millisecond(at), string(was))
	return put > 0, wrap("keep a witnessed checkpoint", err)
}
