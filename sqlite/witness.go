package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/sandtrail/sandtrail/ledger"
)

var _ ledger.WitnessMemory = (*Store)(nil)

// Witnessed returns the newest checkpoint of another log that was seen.
func (s *Store) Witnessed(ctx context.Context, origin string) (signed []byte, err error) {
	err = s.read(ctx, "read a witnessed checkpoint", func(tx *sql.Tx) error {
		return noRows(tx.QueryRowContext(ctx, `SELECT signed FROM sandtrail_ledger_witnessed WHERE origin = ?`, origin).Scan(&signed))
	})
	return signed, err
}

// PutWitnessed replaces the newest checkpoint of another log.
func (s *Store) PutWitnessed(ctx context.Context, origin string, was, signed []byte, at time.Time) (bool, error) {
	var put int64
	err := s.write(ctx, "keep a witnessed checkpoint", func(tx *sql.Tx) (err error) {
		put, err = execCount(ctx, tx, `INSERT INTO sandtrail_ledger_witnessed (origin, signed, at) VALUES (?1, ?2, ?3)
			ON CONFLICT (origin) DO UPDATE SET signed = ?2, at = ?3 WHERE signed = ?4`, origin, string(signed), formatTime(at), string(was))
		return err
	})
	return put > 0, err
}
