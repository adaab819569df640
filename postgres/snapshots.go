package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/database"
)

// snapshotPatience is how long another session may keep its snapshot before
// doctor names it.
const snapshotPatience = 10 * time.Minute

// checkSnapshots looks for sessions whose old snapshots keep the server from
// cleaning the pending changes, which statistics read from end to end.
func (s *Store) checkSnapshots(ctx context.Context, _ *layout, _ time.Time) (database.Check, error) {
	return s.snapshotsOlder(ctx, snapshotPatience)
}

func (s *Store) snapshotsOlder(ctx context.Context, age time.Duration) (database.Check, error) {
	rows, err := s.pool.Query(ctx, `SELECT format('process %s of %s (%s), for %s', pid, usename, coalesce(nullif(application_name, ''), 'without a name'),
			date_trunc('second', clock_timestamp() - xact_start))
		FROM pg_stat_activity WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
			AND backend_type = 'client backend' AND clock_timestamp() - xact_start > make_interval(secs => $1) ORDER BY xact_start`, age.Seconds())
	check := database.Check{Name: "snapshots", OK: true, Detail: "no session keeps an old one"}
	if err != nil {
		return check, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if len(found) > 0 {
		check.OK = false
		check.Detail = fmt.Sprintf("%d sessions keep old snapshots: deleted rows stay, and statistics become slower: %s", len(found), strings.Join(found, "; "))
		check.Fix = "wait for the session to end, or end it: SELECT pg_terminate_backend(PROCESS)"
	}
	return check, err
}
