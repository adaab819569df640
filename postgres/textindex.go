package postgres

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sandtrail/sandtrail/database"
)

const (
	// textsEvery is how often upkeep looks for partitions to index, and textsLease
	// how long building indexes may take before another server goes on.
	textsEvery, textsLease = time.Minute, time.Hour
	// fewTexts are read faster than found. A partition that is in use gets an index
	// from ten times as many on.
	fewTexts = 2000
)

// textIndex is an index of the texts of a partition that are older than a time.
type textIndex struct {
	partition string // quoted, with its schema
	name      string // "" for none
	span             // of the partition
	covered   time.Time
	pieces    float64 // that it held when it was made, some 150 of a text
}

// textIndexes lists the partitions of Sandtrail's own, the newest first, with
// their indexes of texts. The name of an index tells the time that it ends at:
// rows that come get into it only where they are older, which are few.
func textIndexes(ctx context.Context, q querier, l *layout) ([]textIndex, error) {
	return scanAll(ctx, q, func(row pgx.CollectableRow) (x textIndex, err error) {
		err = row.Scan(&x.partition, &x.since, &x.until, &x.name, &x.covered, &x.pieces)
		return x, err
	}, `SELECT format('%I.%I', c.relnamespace::regnamespace::text, c.relname), b.since, b.until, coalesce(t.name, ''), coalesce(t.covered, b.since), coalesce(t.pieces, 0)
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, `+partitionBounds+`,
			LATERAL (SELECT m[1]::timestamptz AS since, m[2]::timestamptz AS until) b
		LEFT JOIN LATERAL (SELECT x.relname AS name, to_timestamp(substring(x.relname FROM '_text_([0-9]+)$')::bigint) AS covered, x.reltuples AS pieces
			FROM pg_index n JOIN pg_class x ON x.oid = n.indexrelid
			WHERE n.indrelid = c.oid AND n.indisvalid AND x.relname ~ '_text_[0-9]+$' ORDER BY 2 DESC LIMIT 1) t ON true
		WHERE i.inhparent = to_regclass($1) AND m[1] IS NOT NULL AND m[2] IS NOT NULL AND c.relkind = 'r'
			AND c.relnamespace = to_regnamespace($2) ORDER BY b.since DESC`, l.sql("{logs}"), quote(l.Schema))
}

// trigramSchema is where pg_trgm is installed, "" for nowhere.
func trigramSchema(ctx context.Context, q querier) (schema string, err error) {
	err = q.QueryRow(ctx, `SELECT coalesce((SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_trgm'), '')`).Scan(&schema)
	return schema, wrap("look for pg_trgm", err)
}

// installTrigrams installs pg_trgm where the server has it and the role may.
// TextSearch tells of it.
func (s *Store) installTrigrams(ctx context.Context, l *layout) error {
	if l.Distributed != nil {
		return nil
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, l.Schema, "migrate"); err != nil {
			return err
		}
		var wanted bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm' AND installed_version IS NULL)`).Scan(&wanted)
		if err != nil || !wanted {
			return err
		}
		_, err = tx.Exec(ctx, l.sql("CREATE EXTENSION pg_trgm WITH SCHEMA {schema}"))
		return err
	})
	if state(err) == insufficientRights {
		return nil
	}
	return wrap("install pg_trgm", err)
}

// TextSearch tells whether searches for text have an index, and if not, what
// there is to do.
func (s *Store) TextSearch(ctx context.Context) (database.Check, error) {
	check := database.Check{Name: "text search", OK: true}
	l, err := s.open(ctx)
	if err != nil {
		return check, err
	}
	check.Detail = "searches for text have no index and read the executions"
	if l.Distributed != nil {
		check.Detail += ", as on every Citus cluster"
		return check, nil
	}
	schema, err := trigramSchema(ctx, s.pool)
	if err != nil {
		return check, err
	}
	if schema == "" {
		var available bool
		err = s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm')").Scan(&available)
		check.Fix = "install the extension pg_trgm on the server, as by the package postgresql-contrib, then run sandtrail migrate again"
		if available {
			check.Fix = "grant this role CREATE on the database, or run CREATE EXTENSION pg_trgm as another, then run sandtrail migrate again"
		}
		return check, wrap("look for pg_trgm", err)
	}
	indexed := 0
	all, err := textIndexes(ctx, s.pool, l)
	for _, x := range all {
		if x.name != "" {
			indexed++
		}
	}
	check.Detail = fmt.Sprintf("%d of %d partitions have an index of texts; upkeep, as of sandtrail serve, makes one where there are more than some thousand", indexed, len(all))
	return check, err
}

// keepTextIndexes makes indexes of the texts of partitions whose time is over,
// and of what is older than now in those that grow large. A row that comes is in
// none of them, so that it costs nothing: such an index takes five times as long
// as the row.
func (s *Store) keepTextIndexes(ctx context.Context, l *layout, now time.Time) error {
	if l.Distributed != nil {
		return nil
	}
	due, err := s.Claim(ctx, "texts", now, textsLease, textsEvery)
	if err != nil || !due {
		return err
	}
	schema, err := trigramSchema(ctx, s.pool)
	if err != nil || schema == "" {
		return err
	}
	all, err := textIndexes(ctx, s.pool, l)
	for _, x := range all {
		if err == nil && x.covered.Before(x.until) && x.since.Before(now) {
			err = s.keepTextIndex(ctx, x, schema, now)
		}
	}
	if err != nil {
		return err
	}
	return s.Reschedule(ctx, "texts", now.Add(textsEvery))
}

// keepTextIndex makes a partition's index anew where it lacks enough.
func (s *Store) keepTextIndex(ctx context.Context, x textIndex, schema string, now time.Time) error {
	until, least := x.until, s.options.fewTexts
	if now.Before(until) {
		until, least = now.Truncate(time.Second), max(10*s.options.fewTexts, int(x.pieces/150/4))
	}
	var lacking int
	err := s.pool.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT FROM %s WHERE created_at >= $1 AND created_at < $2 AND metadata IS NOT NULL LIMIT %d) t",
		x.partition, least), x.covered, until).Scan(&lacking)
	if err != nil || lacking < least && (x.name == "" || now.Before(x.until) || lacking == 0) {
		return wrap("look for texts to index", err)
	}
	return s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		return wrapf(makeTextIndex(ctx, conn.Conn(), x, schema, until), "index the texts of %s", x.partition)
	})
}

// makeTextIndex makes an index beside readers and writers, and drops the others.
func makeTextIndex(ctx context.Context, conn *pgx.Conn, x textIndex, schema string, until time.Time) error {
	if _, err := conn.Exec(ctx, "SELECT set_config('lock_timeout', '30s', false), set_config('statement_timeout', '0', false)"); err != nil {
		return err
	}
	defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), "RESET lock_timeout; RESET statement_timeout") }()
	var parent, base string
	err := conn.QueryRow(ctx, "SELECT relnamespace::regnamespace::text, relname FROM pg_class WHERE oid = to_regclass($1)", x.partition).Scan(&parent, &base)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s_text_%d", base, until.Unix())
	others, err := scanAll(ctx, conn, pgx.RowTo[string], `SELECT x.relname FROM pg_index n JOIN pg_class x ON x.oid = n.indexrelid
		WHERE n.indrelid = to_regclass($1) AND x.relname ~ '_text_[0-9]+$' AND (x.relname <> $2 OR NOT n.indisvalid)`, x.partition, name)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, fmt.Sprintf(`CREATE INDEX CONCURRENTLY %s ON %s USING gin (lower(metadata COLLATE "C") %s.gin_trgm_ops)
		WHERE metadata IS NOT NULL AND created_at < '%s'`, quote(name), x.partition, schema, until.UTC().Format(time.RFC3339)))
	if err != nil {
		others = append(others, name) // what is left of it
	}
	for _, other := range others {
		_, failed := conn.Exec(ctx, fmt.Sprintf("DROP INDEX CONCURRENTLY IF EXISTS %s.%s", parent, quote(other)))
		err = cmp.Or(err, failed)
	}
	return err
}
