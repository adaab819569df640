package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/sandtrail/sandtrail/database"
)

var _ database.Leases = (*Store)(nil)

// Claim claims work that is due.
func (s *Store) Claim(ctx context.Context, work string, now time.Time, lease, period time.Duration) (bool, error) {
	var claimed int64
	err := s.write(ctx, "claim "+work, func(tx *sql.Tx) (err error) {
		claimed, err = execCount(ctx, tx, `INSERT INTO sandtrail_agenda (work, due_at) VALUES (?1, ?3)
			ON CONFLICT (work) DO UPDATE SET due_at = ?3 WHERE due_at <= ?2 OR due_at > ?4`,
			work, formatTime(now), formatTime(now.Add(lease)), formatTime(now.Add(period+database.MaxClockDifference)))
		return err
	})
	return claimed > 0, err
}

// Reschedule sets when work is due next.
func (s *Store) Reschedule(ctx context.Context, work string, due time.Time) error {
	return s.write(ctx, "reschedule "+work, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sandtrail_agenda (work, due_at) VALUES (?1, ?2)
			ON CONFLICT (work) DO UPDATE SET due_at = ?2`, work, formatTime(due))
		return err
	})
}

// Due returns when work is due next.
func (s *Store) Due(ctx context.Context, work string) (due time.Time, err error) {
	err = s.query(ctx, "read the agenda", `SELECT due_at FROM sandtrail_agenda WHERE work = ?`, []any{work}, func(rows *sql.Rows) error {
		var at timestamp
		if rows.Next() {
			if err := rows.Scan(&at); err != nil {
				return err
			}
		}
		due = at.Time
		return rows.Err()
	})
	return due, err
}
