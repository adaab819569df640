package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/database"
)

// Doctor examines the database.
func (s *Store) Doctor(ctx context.Context, depth database.Depth, now time.Time) ([]database.Check, error) {
	ctx = database.WithOwnLimits(ctx)
	zone, err := s.checkZone(ctx)
	if err != nil {
		return nil, wrap("doctor", err)
	}
	migrations, err := s.checkMigrations(ctx)
	if err != nil {
		return nil, wrap("doctor", err)
	}
	durable, err := s.checkDurable(ctx)
	if err != nil {
		return nil, wrap("doctor", err)
	}
	checks := []database.Check{zone, durable, migrations}
	l, err := s.open(ctx)
	if errors.Is(err, errGone) {
		return append(checks, database.Check{Name: "executions", Detail: err.Error(), Fix: "sandtrail migrate --repair"}), nil
	}
	if errors.Is(err, errNotMigrated) { // the check above says so
		return checks, nil
	}
	if err != nil {
		return checks, wrap("doctor", err)
	}
	aside, err := s.checkAdopted(ctx, l)
	if err != nil {
		return checks, wrap("doctor", err)
	}
	closed, err := s.checkClosed(ctx, l)
	if err != nil {
		return checks, wrap("doctor", err)
	}
	texts, err := s.TextSearch(ctx)
	if err != nil {
		return checks, wrap("doctor", err)
	}
	checks = append(checks, append(append(aside, closed...), texts)...)
	examinations := []func(context.Context, *layout, time.Time) (database.Check, error){s.checkAhead, s.checkDetached, s.checkStrays, s.checkSnapshots, s.checkLedger}
	if l.Distributed != nil {
		examinations = append(examinations, s.checkCluster)
	}
	if depth == database.Deep {
		checkIDs := func(ctx context.Context, l *layout, _ time.Time) (database.Check, error) {
			return s.transactor(l).checkIDs(ctx)
		}
		examinations = append(examinations, checkIDs, s.checkRollups, s.checkValues)
	}
	for _, examine := range examinations {
		check, err := examine(ctx, l, now)
		if err != nil {
			return checks, wrap("doctor", err)
		}
		checks = append(checks, check)
	}
	if pending := !migrations.OK; pending {
		return checks, nil
	}
	upkeep, err := s.checkUpkeep(ctx, l)
	if err != nil {
		return checks, wrap("doctor", err)
	}
	channels, err := alert.CheckDeliveries(ctx, s, now)
	return append(append(checks, upkeep...), channels), err
}

// checkZone looks at the zone that other clients' sessions get, through a
// connection that asks for none. Ours are in UTC whatever it is.
func (s *Store) checkZone(ctx context.Context) (database.Check, error) {
	check := database.Check{Name: "session time zone"}
	config := s.pool.Config().ConnConfig
	delete(config.RuntimeParams, "timezone")
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return check, err
	}
	defer conn.Close(ctx)
	var zone, database string
	if err := conn.QueryRow(ctx, "SELECT current_setting('TimeZone'), current_database()").Scan(&zone, &database); err != nil {
		return check, err
	}
	check.OK = isUTC(zone)
	check.Detail = "sessions of this database are in " + zone
	if !check.OK {
		check.Detail += ", so that clients such as Prisma's driver adapter shift times"
		check.Fix = "ALTER DATABASE " + quote(database) + " SET timezone TO 'UTC'"
	}
	return check, nil
}

// checkDurable looks whether the server answers a commit before it is on disk.
func (s *Store) checkDurable(ctx context.Context) (database.Check, error) {
	var commit, name string
	err := s.pool.QueryRow(ctx, "SELECT current_setting('synchronous_commit'), current_database()").Scan(&commit, &name)
	check := database.Check{Name: "durability", OK: commit != "off", Detail: "synchronous_commit is " + commit}
	if !check.OK {
		check.Detail += ": executions that were acknowledged are lost when the server dies within a second"
		check.Fix = "ALTER DATABASE " + quote(name) + " SET synchronous_commit TO on, unless the user, the address or the server sets it; then start sandtrail anew"
	}
	return check, err
}

func isUTC(zone string) bool {
	switch strings.ToUpper(zone) {
	case "UTC", "ETC/UTC", "GMT", "ETC/GMT", "UCT", "ETC/UCT", "ZULU", "ETC/ZULU":
		return true
	}
	return false
}

func (s *Store) checkMigrations(ctx context.Context) (database.Check, error) {
	list, err := s.Migrations(ctx)
	if err != nil {
		return database.Check{}, err
	}
	check := database.Check{Name: "migrations", OK: true, Detail: fmt.Sprintf("all %d applied", len(list))}
	if n := pending(list); n > 0 {
		check.OK, check.Detail, check.Fix = false, fmt.Sprintf("%d of %d pending", n, len(list)), "sandtrail migrate"
	}
	return check, nil
}

func (s *Store) checkAhead(ctx context.Context, l *layout, now time.Time) (database.Check, error) {
	found, err := partitionsIn(ctx, s.pool, l)
	if err != nil {
		return database.Check{}, err
	}
	toCome := 0
	for _, w := range found {
		if w.since.After(now) {
			toCome++
		}
	}
	_, lacking := found.gap(now, byWeek)
	check := database.Check{
		Name: "partitions", OK: !lacking,
		Detail: fmt.Sprintf("%d, %d of them to come", len(found), toCome),
	}
	if !check.OK {
		check.Fix = "sandtrail migrate, or keep sandtrail serve running"
	}
	return check, nil
}

// checkDetached looks for partitions that were taken out of the table and are
// still named like ours: what is in them is not found, and no other can be made
// for their time.
func (s *Store) checkDetached(ctx context.Context, l *layout, _ time.Time) (database.Check, error) {
	check := database.Check{Name: "partitions detached", OK: true, Detail: "none"}
	names, err := scanAll(ctx, s.pool, pgx.RowTo[string], `SELECT c.relname FROM pg_class c
		WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r' AND c.relname ~ '^logs_[0-9]{8}$'
			AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) ORDER BY 1`, quote(l.Schema))
	if err != nil || len(names) == 0 {
		return check, err
	}
	check.OK = false
	check.Detail = strings.Join(names, ", ") + ": no list, count or verification finds what is in them"
	check.Fix, err = s.reattachment(ctx, l, names[0])
	return check, err
}

// reattachment is the statements that make a table a partition again.
func (s *Store) reattachment(ctx context.Context, l *layout, name string) (string, error) {
	start, err := time.Parse(partitionLayout, name)
	if err != nil {
		return "rename the table: no day is called so", nil
	}
	present, err := partitionsIn(ctx, s.pool, l)
	if err != nil {
		return "", err
	}
	table := quote(l.Schema) + "." + name
	var last *time.Time
	if err := s.pool.QueryRow(ctx, "SELECT max(created_at) FROM "+table).Scan(&last); err != nil {
		return "", err
	}
	columns, err := storedColumns(ctx, s.pool, l)
	for _, size := range []partitionSize{byWeek, byMonth, byDay} {
		w, lacking := present.gap(start, size)
		if lacking && w.since.Equal(start) && (last == nil || last.Before(w.until)) {
			return "BEGIN; LOCK TABLE ONLY " + l.sql("{logs}") + " IN ACCESS EXCLUSIVE MODE; " + strings.Join(strings.Fields(l.attach(table, w, columns)), " ") + "; COMMIT", err
		}
	}
	return "its time has other partitions by now: rename it", err
}

func (s *Store) checkStrays(ctx context.Context, l *layout, now time.Time) (database.Check, error) {
	var n, outlandish int64
	err := s.pool.QueryRow(ctx, l.sql(`SELECT count(*) FILTER (WHERE usual), count(*) FILTER (WHERE NOT usual)
		FROM (SELECT created_at >= $1 AND created_at < $2 AS usual FROM {schema}.logs_default) strays`), firstWeek, now.Add(farAhead)).Scan(&n, &outlandish)
	if err != nil {
		return database.Check{}, err
	}
	found, err := partitionsIn(ctx, s.pool, l)
	if err != nil {
		return database.Check{}, err
	}
	full := len(found) >= maxPartitions
	check := database.Check{
		Name: "default partition", OK: n == 0 || full,
		Detail: fmt.Sprintf("%d rows wait for a partition of their own, %d are of outlandish times and stay", n, outlandish),
	}
	if full {
		check.Detail += fmt.Sprintf("; there are %d partitions, and no more are made for the past", len(found))
	}
	if !check.OK {
		check.Fix = "sandtrail migrate, or keep sandtrail serve running"
	}
	return check, nil
}

func (s *Store) checkLedger(ctx context.Context, _ *layout, _ time.Time) (database.Check, error) {
	state, err := s.LedgerState(ctx)
	return state.Check(), err
}

// checkIDs compares the table of ids with the executions.
func (s *Store) checkIDs(ctx context.Context, l *layout) (database.Check, error) {
	var missing, extra, repeated int64
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, l.sql(`
			SELECT count(*) FILTER (WHERE i.id IS NULL), count(*) FILTER (WHERE e.id IS NULL), count(e.id) - count(DISTINCT e.id)
			FROM {logs} e FULL JOIN {schema}.ids i ON i.id = e.id AND i.created_at = e.created_at`)).Scan(&missing, &extra, &repeated)
	})
	check := database.Check{
		Name: "ids", OK: missing+extra+repeated == 0,
		Detail: fmt.Sprintf("%d executions without an entry, %d entries without an execution, %d ids used again", missing, extra, repeated),
	}
	if !check.OK {
		check.Fix = l.mending()
	}
	return check, err
}

// checkValues counts what our own ways in would have refused.
func (s *Store) checkValues(ctx context.Context, l *layout, _ time.Time) (database.Check, error) {
	var o database.Oddities
	err := s.pool.QueryRow(ctx, l.sql(`SELECT count(*) FILTER (WHERE success AND timed_out),
		count(*) FILTER (WHERE created_at < '0001-01-01 00:00:00Z' OR created_at >= '10000-01-01 00:00:00Z'),
		count(*) FILTER (WHERE id = '00000000-0000-0000-0000-000000000000'),
		count(*) FILTER (WHERE cpu_usage > $1) FROM {logs}`), sandtrail.MaxCPUUsage).Scan(&o.Contradictory, &o.Times, &o.ZeroIDs, &o.Costless)
	return o.Check(), err
}
