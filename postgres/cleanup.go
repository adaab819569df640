package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
)

// CountBefore counts the executions older than before.
func (s *Store) CountBefore(ctx context.Context, before time.Time) (n int64, err error) {
	l, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	err = s.pool.QueryRow(ctx, l.sql("SELECT count(*) FROM {logs} WHERE created_at < $1"), before).Scan(&n)
	return n, wrap("count old executions", err)
}

// Cleanup drops the partitions that are old as a whole and deletes the other
// old executions in batches.
func (s *Store) Cleanup(ctx context.Context, before time.Time) (deleted int64, err error) {
	l, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	before = ceilMillisecond(before)
	weeks, err := weeksIn(ctx, s.pool, l)
	if err != nil {
		return 0, err
	}
	for _, start := range weeks {
		if start.Add(week).After(before) {
			break
		}
		n, err := s.dropWeek(ctx, l, start)
		deleted += n
		if err != nil {
			return deleted, wrapf(err, "clean up %s", partitionName(start))
		}
	}
	for {
		n, err := s.deleteBefore(ctx, l, before)
		deleted += n
		if err != nil {
			return deleted, wrap("clean up", err)
		}
		if n == 0 {
			return deleted, s.refreshWeeks(ctx, l)
		}
	}
}

// ceilMillisecond makes a comparison with stored times, which are whole
// milliseconds, come out the same as with the finer time.
func ceilMillisecond(t time.Time) time.Time {
	return sandtrail.Millisecond(t.Add(time.Millisecond - time.Nanosecond))
}

// dropWeek drops a partition and what is derived from its rows, and returns
// how many there were. Writers are locked out of this partition alone while
// it is counted.
func (s *Store) dropWeek(ctx context.Context, l *layout, start time.Time) (n int64, err error) {
	name := quote(l.Schema) + "." + partitionName(start)
	err = s.withShortLocks(ctx, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, l.Schema, "partitions"); err != nil {
			return err
		}
		var exists bool
		if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&exists); err != nil || !exists {
			n = 0
			return err
		}
		if _, err := tx.Exec(ctx, "LOCK TABLE "+name+" IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, l.sql("DELETE FROM {schema}.ids i USING "+name+" e WHERE i.id = e.id"))
		if err != nil {
			return err
		}
		n = tag.RowsAffected()
		_, err = tx.Exec(ctx, "DROP TABLE "+name)
		return err
	})
	return n, err
}

// deleteBefore deletes a batch of the oldest executions before a time.
func (s *Store) deleteBefore(ctx context.Context, l *layout, before time.Time) (int64, error) {
	tag, err := s.pool.Exec(ctx, l.sql(fmt.Sprintf(`
		WITH old AS (SELECT user_id, created_at, id FROM {logs} WHERE created_at < $1 ORDER BY created_at, id LIMIT %d)
		DELETE FROM {logs} e USING old o
		WHERE e.user_id = o.user_id AND e.created_at = o.created_at AND e.id = o.id AND e.created_at < $1`, purgeBatch)), before)
	return tag.RowsAffected(), err
}
