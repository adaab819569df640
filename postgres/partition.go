package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	week = 7 * 24 * time.Hour
	// weeksAhead is how many partitions beyond the current one exist.
	weeksAhead = 4
	// maxWeeksOnDemand bounds the partitions that one append makes; what lies
	// in further weeks goes to the default partition until Maintain moves it.
	maxWeeksOnDemand = 64
	// Statements that need a short strong lock wait this long for it before
	// they let others pass and try again, at first and at most.
	lockPatience    = 100 * time.Millisecond
	maxLockPatience = time.Second
)

// weekOf is the start of the week that contains t: Monday, midnight UTC.
func weekOf(t time.Time) time.Time {
	t = t.UTC()
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return day.AddDate(0, 0, -(int(t.Weekday())+6)%7)
}

// isOutlandish reports times that get no partition of their own: clocks gone
// wrong would fill the catalog with partitions.
func isOutlandish(t time.Time) bool { return t.Before(firstWeek) || !t.Before(lastWeek) }

var firstWeek, lastWeek = weekOf(time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)), weekOf(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC))

func partitionName(start time.Time) string { return "logs_" + start.Format("20060102") }

// weekSet remembers which weeks are known to have a partition. That a week in
// it lost its partition meanwhile does no harm: rows then go to the default
// partition.
type weekSet struct {
	mu    sync.Mutex
	known map[time.Time]bool
}

// without returns the weeks of the times that are not known.
func (w *weekSet) without(times []time.Time) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	var missing []time.Time
	for _, t := range times {
		if start := weekOf(t); !w.known[start] && !slices.Contains(missing, start) && !isOutlandish(start) {
			missing = append(missing, start)
		}
	}
	return missing
}

func (w *weekSet) replace(weeks []time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known = make(map[time.Time]bool, len(weeks))
	for _, start := range weeks {
		w.known[start] = true
	}
}

func (w *weekSet) add(start time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known[start] = true
}

// bounds are the starts of the oldest and the newest partition known, zero
// times for none.
func (w *weekSet) bounds() (oldest, newest time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for start := range w.known {
		if oldest.IsZero() || start.Before(oldest) {
			oldest = start
		}
		if start.After(newest) {
			newest = start
		}
	}
	return oldest, newest
}

// ensureWeeks makes the partitions that the times lack. Where it may not, or
// others hold the locks, the default partition takes the rows until Maintain
// moves them.
func (s *Store) ensureWeeks(ctx context.Context, l *layout, times []time.Time) error {
	missing := s.weeks.without(times)
	if len(missing) == 0 {
		return nil
	}
	if err := s.refreshWeeks(ctx, l); err != nil {
		return err
	}
	missing = s.weeks.without(missing)
	for _, start := range missing[:min(len(missing), maxWeeksOnDemand)] {
		err := s.addWeek(ctx, l, start)
		if code := state(err); err != nil && code != lockNotAvailable && code != insufficientRights {
			return err
		}
		s.weeks.add(start)
	}
	return nil
}

func (s *Store) refreshWeeks(ctx context.Context, l *layout) error {
	weeks, err := weeksIn(ctx, s.pool, l)
	if err == nil {
		s.weeks.replace(weeks)
	}
	return err
}

// weeksIn lists the weeks that have a partition, oldest first.
func weeksIn(ctx context.Context, q querier, l *layout) ([]time.Time, error) {
	rows, err := q.Query(ctx, `
		SELECT to_date(substr(c.relname, 6), 'YYYYMMDD') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = to_regclass($1) AND c.relname ~ '^logs_[0-9]{8}$' ORDER BY 1`, l.sql("{logs}"))
	if err != nil {
		return nil, wrap("list partitions", err)
	}
	weeks, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	return weeks, wrap("list partitions", err)
}

// addWeek makes one partition in a transaction of its own, so that its locks
// are short.
func (s *Store) addWeek(ctx context.Context, l *layout, start time.Time) error {
	return s.withShortLocks(ctx, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, l.Schema, "partitions"); err != nil {
			return err
		}
		oid, err := tableIn(ctx, tx, l, partitionName(start))
		if err != nil || oid != 0 {
			return err
		}
		return s.keeper(l).createWeek(ctx, tx, start)
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

// boundsOf are the bounds of a week's partition.
func boundsOf(start time.Time) (from, to string) {
	return start.Format(time.DateOnly) + " 00:00:00+00", start.Add(week).Format(time.DateOnly) + " 00:00:00+00"
}

// createWeek makes a partition and moves into it what the default partition
// holds of its week. Writers wait meanwhile: one on its way to the default
// partition would be refused when it finds its week taken from there.
func createWeek(ctx context.Context, tx pgx.Tx, l *layout, start time.Time) error {
	name := quote(l.Schema) + "." + partitionName(start)
	from, to := boundsOf(start)
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

// Maintain makes the partitions of the coming weeks, moves rows out of the
// default partition, moves the journal into the roll-ups and the ledger, and
// finishes what a cleanup has left. Of several at once each does what the
// others do not.
func (s *Store) Maintain(ctx context.Context, now time.Time) error {
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	if err := s.maintainWeeks(ctx, l, now); err != nil {
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

func (s *Store) maintainWeeks(ctx context.Context, l *layout, now time.Time) error {
	if err := s.refreshWeeks(ctx, l); err != nil {
		return err
	}
	strays, err := strayWeeks(ctx, s.pool, l)
	if err != nil {
		return err
	}
	ahead := make([]time.Time, 0, weeksAhead+1)
	for i := range weeksAhead + 1 {
		ahead = append(ahead, weekOf(now).Add(time.Duration(i)*week))
	}
	for _, start := range s.weeks.without(append(ahead, strays...)) {
		if err := s.addWeek(ctx, l, start); err != nil {
			return err
		}
	}
	return s.refreshWeeks(ctx, l)
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
