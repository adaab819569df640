package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	week = 7 * 24 * time.Hour
	// ahead is how far into the future partitions exist.
	ahead = 4 * week
	// longestPartition is the longest that a partition can be.
	longestPartition = 31 * 24 * time.Hour
	// maxPartitionsOnDemand bounds the partitions that one append makes; what
	// lies beyond goes to the default partition until Maintain moves it.
	maxPartitionsOnDemand = 64
	// Statements that need a short strong lock wait this long for it before
	// they let others pass and try again, at first and at most.
	lockPatience    = 100 * time.Millisecond
	maxLockPatience = time.Second
)

// weekOf is the start of the week that contains t: Monday, midnight UTC.
func weekOf(t time.Time) time.Time {
	t = midnight(t)
	return t.AddDate(0, 0, -(int(t.Weekday())+6)%7)
}

func midnight(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// isOutlandish reports times that get no partition of their own: clocks gone
// wrong would fill the catalog with partitions.
func isOutlandish(t time.Time) bool { return t.Before(firstWeek) || !t.Before(lastWeek) }

var firstWeek, lastWeek = weekOf(time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)), weekOf(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC))

// partitionName names the partition that begins at midnight of a day.
func partitionName(start time.Time) string { return "logs_" + start.Format("20060102") }

// ensurePartitions makes the partitions that the times lack, of a week each.
// Where it may not, or others hold the locks, the default partition takes the
// rows until Maintain moves them.
func (s *Store) ensurePartitions(ctx context.Context, l *layout, times []time.Time) error {
	if len(s.partitions.gaps(times)) == 0 {
		return nil
	}
	if err := s.refreshPartitions(ctx, l); err != nil {
		return err
	}
	missing := s.partitions.gaps(times)
	for _, w := range missing[:min(len(missing), maxPartitionsOnDemand)] {
		err := s.addPartition(ctx, l, w.since, byWeek)
		if code := state(err); err != nil && code != lockNotAvailable && code != insufficientRights {
			return err
		}
		s.partitions.add(w)
	}
	return nil
}

func (s *Store) refreshPartitions(ctx context.Context, l *layout) error {
	found, err := partitionsIn(ctx, s.pool, l)
	if err == nil {
		s.partitions.replace(found)
	}
	return err
}

// Of a partition c with bounds, as SQL: m holds both as text.
const (
	partitionBounds = `LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.+)''\) TO \(''(.+)''\)') m`
	isPartition     = `c.relname ~ '^logs_[0-9]{8}$'`
)

// partitionsIn lists the partitions but the default one, oldest first. One that
// is dropped meanwhile can still be in the catalog that the query sees, but has
// no bounds any more.
func partitionsIn(ctx context.Context, q querier, l *layout) (spans, error) {
	rows, err := q.Query(ctx, `
		SELECT m[1]::timestamptz, m[2]::timestamptz FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, `+partitionBounds+`
		WHERE i.inhparent = to_regclass($1) AND `+isPartition+` AND m IS NOT NULL ORDER BY 1`, l.sql("{logs}"))
	if err != nil {
		return nil, wrap("list partitions", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w span, err error) {
		err = row.Scan(&w.since, &w.until)
		return span{w.since.UTC(), w.until.UTC()}, err
	})
	return found, wrap("list partitions", err)
}

// addPartition makes a partition around a time that has none, in a transaction
// of its own, so that its locks are short.
func (s *Store) addPartition(ctx context.Context, l *layout, at time.Time, size partitionSize) error {
	return s.withShortLocks(ctx, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, l.Schema, "partitions"); err != nil {
			return err
		}
		present, err := partitionsIn(ctx, tx, l)
		if err != nil {
			return err
		}
		w, lacking := present.gap(at, size)
		if !lacking {
			return nil
		}
		return s.keeper(l).createPartition(ctx, tx, w)
	})
}

// tableIn finds a table of ours, 0 when there is none. It reads the catalog
// itself: what the server remembers of names can be older than the advisory
// lock under which we look.
func tableIn(ctx context.Context, tx pgx.Tx, l *layout, name string) (oid int64, err error) {
	err = tx.QueryRow(ctx, `SELECT coalesce(max(c.oid::bigint), 0) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`, l.Schema, name).Scan(&oid)
	return oid, wrapf(err, "look for table %s", name)
}

// bounds are those of a partition, as SQL.
func (w span) bounds() (from, to string) {
	return w.since.Format(time.DateOnly) + " 00:00:00+00", w.until.Format(time.DateOnly) + " 00:00:00+00"
}

// createPartition makes a partition and moves into it what the default
// partition holds of its time. Writers wait meanwhile: one on its way to the
// default partition would be refused when it finds its time taken from there.
func createPartition(ctx context.Context, tx pgx.Tx, l *layout, w span) error {
	name := quote(l.Schema) + "." + partitionName(w.since)
	from, to := w.bounds()
	_, err := tx.Exec(ctx, l.sql(fmt.Sprintf(`
		LOCK TABLE ONLY {logs} IN SHARE ROW EXCLUSIVE MODE;
		LOCK TABLE {schema}.logs_default IN ACCESS EXCLUSIVE MODE;
		CREATE TABLE %[1]s (LIKE {logs} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
		WITH strays AS (
			DELETE FROM {schema}.logs_default WHERE created_at >= '%[2]s' AND created_at < '%[3]s' RETURNING *)
		INSERT INTO %[1]s SELECT * FROM strays;
		ALTER TABLE {logs} ATTACH PARTITION %[1]s FOR VALUES FROM ('%[2]s') TO ('%[3]s')`, name, from, to)))
	return wrapf(err, "create partition %s", name)
}

// withShortLocks runs f in a transaction that gives up waiting for locks soon
// and tries again, so that those who queue behind it are let through.
func (s *Store) withShortLocks(ctx context.Context, f func(pgx.Tx) error) error {
	var err error
	for pause := 10 * time.Millisecond; pause < 10*time.Second; pause *= 2 {
		err = s.inTx(ctx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", min(max(pause, lockPatience), maxLockPatience).Milliseconds())); err != nil {
				return err
			}
			return f(tx)
		})
		if state(err) != lockNotAvailable {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Maintain makes the partitions of the coming four weeks, moves rows out of the
// default partition, moves the journal into the roll-ups and the ledger, and
// finishes what a cleanup has left. Of several at once each does what the
// others do not.
func (s *Store) Maintain(ctx context.Context, now time.Time) error {
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	if err := s.maintainPartitions(ctx, l, now); err != nil {
		return wrap("maintain partitions", err)
	}
	k := s.keeper(l)
	if err := k.reconcile(ctx); err != nil {
		return err
	}
	if err := s.fold(ctx, l, now); err != nil {
		return err
	}
	if err := s.forgetSometimes(ctx, l, now); err != nil {
		return err
	}
	if err := k.sweep(ctx); err != nil {
		return wrap("sweep dropped partitions", err)
	}
	return s.seal(ctx, l, now)
}

func (s *Store) maintainPartitions(ctx context.Context, l *layout, now time.Time) error {
	if err := s.refreshPartitions(ctx, l); err != nil {
		return err
	}
	strays, err := strayWeeks(ctx, s.pool, l)
	if err != nil {
		return err
	}
	for _, w := range s.partitions.gaps(strays) {
		if err := s.addPartition(ctx, l, w.since, byWeek); err != nil {
			return err
		}
	}
	return s.lookAhead(ctx, l, now)
}

// lookAhead makes the partitions of the present and of the time ahead.
func (s *Store) lookAhead(ctx context.Context, l *layout, now time.Time) error {
	present, err := partitionsIn(ctx, s.pool, l)
	if err != nil {
		return err
	}
	var size partitionSize
	for t := midnight(now); !t.After(now.Add(ahead)); {
		w, lacking := present.gap(t, size)
		if lacking && size == "" { // it is not known yet
			if size, err = s.partitionSize(ctx, l, now); err != nil {
				return err
			}
			continue
		}
		if lacking {
			if err := s.addPartition(ctx, l, t, size); err != nil {
				return err
			}
		}
		t = w.until
	}
	return s.refreshPartitions(ctx, l)
}

// strayWeeks lists the weeks of which the default partition holds rows.
func strayWeeks(ctx context.Context, q querier, l *layout) ([]time.Time, error) {
	rows, err := q.Query(ctx, l.sql(
		"SELECT DISTINCT date_trunc('week', created_at AT TIME ZONE 'UTC') FROM {schema}.logs_default ORDER BY 1"))
	if err != nil {
		return nil, wrap("look for strays", err)
	}
	weeks, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	return weeks, wrap("look for strays", err)
}
