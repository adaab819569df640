package postgres

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail/database"
)

var _ database.Clock = (*Store)(nil)

// Clock is the time by the server's clock.
func (s *Store) Clock(ctx context.Context) (now time.Time, err error) {
	err = s.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now.UTC(), wrap("ask the database for the time", err)
}
