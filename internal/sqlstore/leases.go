package sqlstore

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail/database"
)

var _ database.Leases = Tables{}

// Claim claims work that is due.
func (t Tables) Claim(ctx context.Context, work string, now time.Time, lease, period time.Duration) (bool, error) {
	claimed, err := t.engine.Exec(database.WithOwnLimits(ctx), "claim "+work, `INSERT INTO {schema}.agenda AS a (work, due_at) VALUES ($1, $3)
		ON CONFLICT (work) DO UPDATE SET due_at = $3 WHERE a.due_at <= $2 OR a.due_at > $4`,
		work, now, now.Add(lease), now.Add(period+database.MaxClockDifference))
	return claimed > 0, err
}

// Reschedule sets when work is due next.
func (t Tables) Reschedule(ctx context.Context, work string, due time.Time) error {
	_, err := t.engine.Exec(database.WithOwnLimits(ctx), "reschedule "+work, `INSERT INTO {schema}.agenda (work, due_at) VALUES ($1, $2)
		ON CONFLICT (work) DO UPDATE SET due_at = $2`, work, due)
	return err
}

// Due returns when work is due next.
func (t Tables) Due(ctx context.Context, work string) (due time.Time, err error) {
	err = t.engine.Query(database.WithOwnLimits(ctx), "read the agenda",
		"SELECT due_at FROM {schema}.agenda WHERE work = $1", []any{work}, single(&due))
	return due, err
}
