package postgres

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail/database"
)

var (
	_ database.Leases = (*Store)(nil)
	_ database.Clock  = (*Store)(nil)
)

// Clock is the time by the server's clock.
func (s *Store) Clock(ctx context.Context) (now time.Time, err error) {
	err = s.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now.UTC(), wrap("ask the database for the time", err)
}

// Claim claims work that is due.
func (s *Store) Claim(ctx context.Context, work string, now time.Time, lease, period time.Duration) (bool, error) {
	ctx = database.WithOwnLimits(ctx)
	claimed, err := s.execute(ctx, `INSERT INTO {schema}.agenda AS a (work, due_at) VALUES ($1, $3)
		ON CONFLICT (work) DO UPDATE SET due_at = $3 WHERE a.due_at <= $2 OR a.due_at > $4`,
		work, now, now.Add(lease), now.Add(period+database.MaxClockDifference))
	return claimed > 0, wrapf(err, "claim %s", work)
}

// Reschedule sets when work is due next.
func (s *Store) Reschedule(ctx context.Context, work string, due time.Time) error {
	ctx = database.WithOwnLimits(ctx)
	_, err := s.execute(ctx, `INSERT INTO {schema}.agenda (work, due_at) VALUES ($1, $2)
		ON CONFLICT (work) DO UPDATE SET due_at = $2`, work, due)
	return wrapf(err, "reschedule %s", work)
}

// Due returns when work is due next.
func (s *Store) Due(ctx context.Context, work string) (time.Time, error) {
	ctx, l, err := s.openUnlimited(ctx)
	if err != nil {
		return time.Time{}, err
	}
	var due *time.Time
	err = s.pool.QueryRow(ctx, l.sql(`SELECT max(due_at) FROM {schema}.agenda WHERE work = $1`), work).Scan(&due)
	if err != nil || due == nil {
		return time.Time{}, wrap("read the agenda", err)
	}
	return due.UTC(), nil
}
