package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/remedy"
)

const (
	week = 7 * 24 * time.Hour
	// ahead is how far into the future partitions exist.
	ahead = 4 * week
	// farAhead is from when on rows stay in the default partition until their
	// time comes: clocks gone wrong would have every list walk an empty future.
	farAhead = 52 * week
	// longestPartition is the longest that a partition can be.
	longestPartition = 31 * 24 * time.Hour
	// maxPartitionsOnDemand bounds the partitions that one append makes; what
	// lies beyond goes to the default partition until Maintain moves it.
	maxPartitionsOnDemand = 64
	// maxPartitions bounds how many there are before one more is made for times
	// gone by: times at random would fill the catalog, and every plan with it.
	maxPartitions = 500
	// Statements that need a short strong lock wait this long for it before
	// they let others pass and try again, at first and at most.
	lockPatience    = 100 * time.Millisecond
	maxLockPatience = time.Second
)

// How often a short strong lock is tried to be had. An append can do without,
// upkeep comes again, a cleanup has another way.
const (
	appendTries  = 2
	upkeepTries  = 5
	cleanupTries = 7
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
func partitionName(start time.Time) string { return start.UTC().Format(partitionLayout) }

const partitionLayout = "logs_20060102"

// ensurePartitions makes the partitions that the times lack, of a week each.
// Where it cannot, whatever the reason, the default partition takes the rows
// until Maintain moves them.
func (s *Store) ensurePartitions(ctx context.Context, l *layout, times []time.Time) error {
	if len(s.partitions.gaps(times)) == 0 {
		return nil
	}
	if err := s.refreshPartitions(ctx, l); err != nil {
		return err
	}
	missing := s.partitions.gaps(times)
	for i, w := range missing {
		if i == maxPartitionsOnDemand || s.addPartition(ctx, l, w.since, byWeek, appendTries, spans.hasRoom) != nil {
			break
		}
	}
	for _, w := range missing {
		s.partitions.add(w) // until they are looked up again
	}
	return ctx.Err()
}

func (s *Store) refreshPartitions(ctx context.Context, l *layout) error {
	ctx = database.WithOwnLimits(ctx)
	found, err := partitionsIn(ctx, s.pool, l)
	if err == nil {
		s.partitions.replace(found)
	}
	return err
}

// Of a partition c with bounds, as SQL: m holds both as text, NULL for one that
// is open.
const partitionBounds = `LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid),
	'FROM \((?:''(.+)''|MINVALUE)\) TO \((?:''(.+)''|MAXVALUE)\)') m`

// partitionsIn lists the partitions but the default one, oldest first, whoever
// made them. One that is dropped meanwhile can still be in the catalog that the
// query sees, but has no bounds any more.
func partitionsIn(ctx context.Context, q querier, l *layout) (spans, error) {
	return spansIn(ctx, q, l, "true")
}

// ownPartitionsIn lists those that are as Sandtrail makes them: named after
// their first day, and no longer than its longest.
func ownPartitionsIn(ctx context.Context, q querier, l *layout) (spans, error) {
	return spansIn(ctx, q, l, fmt.Sprintf(`c.relnamespace = to_regnamespace('%s') AND c.relname = 'logs_' || to_char(since AT TIME ZONE 'UTC', 'YYYYMMDD')
		AND date_trunc('day', since AT TIME ZONE 'UTC') = since AT TIME ZONE 'UTC' AND until <= since + interval '%d hours'`,
		strings.ReplaceAll(quote(l.Schema), "'", "''"), int(longestPartition.Hours())))
}

func spansIn(ctx context.Context, q querier, l *layout, condition string) (spans, error) {
	rows, err := q.Query(ctx, `
		SELECT since, until FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, `+partitionBounds+`,
			LATERAL (SELECT greatest(m[1]::timestamptz, '0001-01-01') AS since, least(m[2]::timestamptz, '9999-12-31') AS until) b
		WHERE i.inhparent = to_regclass($1) AND m IS NOT NULL AND `+condition+` ORDER BY 1`, l.sql("{logs}"))
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
// of its own, so that its locks are short. It makes none where those that exist
// leave no room.
func (s *Store) addPartition(ctx context.Context, l *layout, at time.Time, size partitionSize, tries int, room roomRule) error {
	ctx = database.WithOwnLimits(ctx)
	return s.withShortLocks(ctx, tries, func(tx pgx.Tx) error { return makePartition(ctx, tx, l, at, size, room) })
}

// roomRule decides whether one more partition may be made for a time beside some.
type roomRule func(present spans, t time.Time) bool

// always is the rule for the present and the time ahead.
func always(spans, time.Time) bool { return true }

// makePartition is addPartition in a transaction. All who make partitions take
// one lock, under which their number is the last word.
func makePartition(ctx context.Context, tx pgx.Tx, l *layout, at time.Time, size partitionSize, room roomRule) error {
	if err := lock(ctx, tx, l.Schema, "partitions"); err != nil {
		return err
	}
	present, err := partitionsIn(ctx, tx, l)
	if err != nil {
		return err
	}
	w, lacking := present.gap(at, size)
	if !lacking || !room(present, at) {
		return nil
	}
	if oid, err := tableIn(ctx, tx, l, partitionName(w.since)); err != nil || oid != 0 {
		return cmp.Or[error](err, sandtrail.Errorf(sandtrail.CodeConflict, "table %s.%s is no partition any more: attach it again, or rename it",
			quote(l.Schema), partitionName(w.since)).With(sandtrail.Remedy{Act: remedy.Examine, Note: "tells how"}))
	}
	return l.keeper().createPartition(ctx, tx, w)
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
	const text = "2006-01-02 15:04:05.999999+00"
	return w.since.UTC().Format(text), w.until.UTC().Format(text)
}

// createPartition makes a partition and moves into it what the default
// partition holds of its time. Writers wait meanwhile: one on its way to the
// default partition would be refused when it finds its time taken from there.
func createPartition(ctx context.Context, tx pgx.Tx, l *layout, w span) error {
	name := quote(l.Schema) + "." + partitionName(w.since)
	err := lockForMove(ctx, tx, l, w)
	if err != nil {
		return wrapf(err, "create partition %s", name)
	}
	columns, err := storedColumns(ctx, tx, l)
	if err == nil {
		_, err = tx.Exec(ctx, "CREATE TABLE "+name+l.sql(" (LIKE {logs} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED);")+l.attach(name, w, columns))
	}
	return wrapf(err, "create partition %s", name)
}

// lockForMove keeps writers out, and readers as well where rows are to be moved:
// a statement that was planned before, and waited for the move, would find them
// in neither place. The parent's lock is first, which every plan begins with.
func lockForMove(ctx context.Context, tx pgx.Tx, l *layout, w span) error {
	from, to := w.bounds()
	err := execEach(ctx, tx,
		l.sql("LOCK TABLE ONLY {logs} IN SHARE ROW EXCLUSIVE MODE"),
		l.sql("LOCK TABLE {schema}.logs_default IN SHARE ROW EXCLUSIVE MODE"))
	if err != nil {
		return err
	}
	var moves bool
	err = tx.QueryRow(ctx, l.sql("SELECT EXISTS (SELECT FROM {schema}.logs_default WHERE created_at >= '"+from+"' AND created_at < '"+to+"')")).Scan(&moves)
	if err == nil && moves {
		_, err = tx.Exec(ctx, l.sql("LOCK TABLE ONLY {logs} IN ACCESS EXCLUSIVE MODE"))
	}
	if err == nil {
		_, err = tx.Exec(ctx, l.sql("LOCK TABLE {schema}.logs_default IN ACCESS EXCLUSIVE MODE"))
	}
	return err
}

// attach is the statements that move into a table what the default partition
// holds of a span, and make the table the span's partition.
func (l *layout) attach(table string, w span, columns string) string {
	from, to := w.bounds()
	return l.sql(fmt.Sprintf(`
		WITH strays AS (
			DELETE FROM {schema}.logs_default WHERE created_at >= '%[2]s' AND created_at < '%[3]s' RETURNING %[4]s)
		INSERT INTO %[1]s (%[4]s) SELECT * FROM strays;
		ALTER TABLE {logs} ATTACH PARTITION %[1]s FOR VALUES FROM ('%[2]s') TO ('%[3]s')`, table, from, to, columns))
}

// storedColumns lists the columns of the executions that are not generated: an
// application may have added some.
func storedColumns(ctx context.Context, q querier, l *layout) (columns string, err error) {
	err = q.QueryRow(ctx, `SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`, l.sql("{logs}")).Scan(&columns)
	return columns, wrap("look at the columns", err)
}

// withShortLocks runs f in a transaction that gives up waiting for locks soon
// and tries again, so that those who queue behind it are let through.
func (s *Store) withShortLocks(ctx context.Context, tries int, f func(pgx.Tx) error) error {
	var err error
	for pause := 10 * time.Millisecond; tries > 0; pause, tries = 2*pause, tries-1 {
		err = s.inTx(ctx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", min(max(pause, lockPatience), maxLockPatience).Milliseconds())); err != nil {
				return err
			}
			return f(tx)
		})
		if !isLocked(err) {
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
