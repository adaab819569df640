package postgres

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// Migration files are named VERSION_NAME.sql and run in the order of their
// versions, with names filled in by layout.sql.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// Migrations lists all migrations with the SQL they run in this database.
func (s *Store) Migrations(ctx context.Context) ([]database.Migration, error) {
	ctx = database.WithOwnLimits(ctx)
	var list []database.Migration
	o := s.options
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		l, _, err := o.destination(ctx, tx)
		if err != nil {
			return err
		}
		list, err = migrationsIn(ctx, tx, l)
		return err
	})
	return list, wrap("list migrations", err)
}

// Migrate applies what is pending. A database that has a table
// sandbox_execution_logs of another make is refused with CodeConflict, unless
// Options.Adopt is set.
func (s *Store) Migrate(ctx context.Context, now time.Time) ([]database.Migration, error) {
	ctx = database.WithOwnLimits(ctx)
	var applied []database.Migration
	o := s.options
	for {
		var step *database.Migration
		err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
			if step, err = o.migrateStep(ctx, tx, now); err == nil && step == nil {
				return o.finishRepair(ctx, tx, now)
			}
			return err
		})
		if err != nil {
			return applied, wrap("migrate", err)
		}
		if step == nil {
			break
		}
		applied = append(applied, *step)
	}
	s.layout.Store(nil) // it may have been distributed
	l, err := s.open(ctx)
	if err != nil {
		return applied, err
	}
	if err := s.installTrigrams(ctx, l); err != nil {
		return applied, err
	}
	if s.options.Partitions != "" {
		if err := s.setPartitionSize(ctx, l, partitionSize(s.options.Partitions)); err != nil {
			return applied, err
		}
	}
	err = s.Maintain(ctx, now)
	for tries := 1; isLocked(err) && tries < maintainTries; tries++ { // by servers that start beside this one
		err = s.Maintain(ctx, now)
	}
	return applied, err
}

// maintainTries is how often Migrate begins the first upkeep before it reports
// who holds the lock.
const maintainTries = 5

// migrateStep applies the first pending migration, nil when there is none.
// The lock makes servers that start together take turns; whoever comes later
// sees what the first has done.
func (o *Options) migrateStep(ctx context.Context, tx pgx.Tx, now time.Time) (*database.Migration, error) {
	if err := lock(ctx, tx, o.Schema, "migrate"); err != nil {
		return nil, err
	}
	l, remembered, err := o.destination(ctx, tx)
	if err != nil {
		return nil, err
	}
	if remembered {
		if remembered, l, err = o.stand(ctx, tx, l, now); err != nil {
			return nil, err
		}
	}
	list, err := migrationsIn(ctx, tx, l)
	if err != nil {
		return nil, err
	}
	pending := slices.IndexFunc(list, func(m database.Migration) bool { return m.Applied.IsZero() })
	if pending < 0 {
		return nil, nil
	}
	step := &list[pending]
	step.Applied = sandtrail.Millisecond(now)
	if step.Name == distributionName {
		return step, distribute(ctx, tx, l, *step)
	}
	if !remembered {
		if err := o.begin(ctx, tx, l, step); err != nil {
			return nil, err
		}
	} else if _, err := tx.Exec(ctx, step.SQL); err != nil {
		return nil, wrapf(err, "migration %d (%s)", step.Version, step.Name)
	}
	_, err = tx.Exec(ctx, l.sql("INSERT INTO {schema}.migrations (version, name, applied_at) VALUES ($1, $2, $3)"),
		step.Version, step.Name, step.Applied)
	return step, err
}

// begin applies the first migration: makes the schema, remembers where things
// are, takes over an existing table.
func (o Options) begin(ctx context.Context, tx pgx.Tx, l *layout, first *database.Migration) error {
	if l.old != nil && !o.Adopt {
		return l.old.refusal()
	}
	value, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, l.sql(bootstrap)); err != nil {
		return wrapf(err, "migration %d (%s)", first.Version, first.Name)
	}
	if _, err := tx.Exec(ctx, l.sql("INSERT INTO {schema}.settings (name, value) VALUES ('layout', $1)"), value); err != nil {
		return err
	}
	if l.old != nil {
		a := &adoption{l: l, old: l.old, options: o}
		return a.run(ctx, tx, first.SQL, true)
	}
	_, err = tx.Exec(ctx, first.SQL)
	return wrapf(err, "migration %d (%s)", first.Version, first.Name)
}

// bootstrap makes what migrations themselves need.
const bootstrap = `
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE {schema}.migrations (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz(3) NOT NULL);
CREATE TABLE {schema}.settings (name text PRIMARY KEY, value jsonb NOT NULL);
`

// destination is the layout of a migrated database, or the one that a
// database not migrated yet will get.
func (o Options) destination(ctx context.Context, tx pgx.Tx) (l *layout, remembered bool, err error) {
	var exists bool
	err = tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", quote(o.Schema)+".settings").Scan(&exists)
	if err != nil {
		return nil, false, wrap("look for settings", err)
	}
	if !exists {
		l, err = survey(ctx, tx, o)
		return l, false, err
	}
	if l, err = readLayout(ctx, tx, o.Schema); err != nil {
		return nil, false, err
	}
	return l, true, l.agree(o)
}

// lock waits for one of our advisory locks and holds it to the end of the
// transaction.
func lock(ctx context.Context, tx pgx.Tx, schema, name string) error {
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock("+lockKey+")", lockName(schema, name))
	return wrapf(err, "wait for the %s lock", name)
}

// tryLock is lock without the waiting.
func tryLock(ctx context.Context, tx pgx.Tx, schema, name string) (ok bool, err error) {
	err = tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock("+lockKey+")", lockName(schema, name)).Scan(&ok)
	return ok, wrapf(err, "take the %s lock", name)
}

// lockKey is the key of the lock that the first argument names.
const lockKey = "hashtextextended($1, 0)"

func lockName(schema, name string) string { return "sandtrail " + schema + " " + name }

// migrationsIn reads the embedded migrations and when each was applied.
func migrationsIn(ctx context.Context, q querier, l *layout) ([]database.Migration, error) {
	list, err := embedded(l)
	if err != nil {
		return nil, err
	}
	applied, err := appliedIn(ctx, q, l)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Applied = applied[list[i].Version]
		delete(applied, list[i].Version)
	}
	for version := range applied {
		return nil, sandtrail.Errorf(sandtrail.CodeUnavailable,
			"the database has migration %d, which this version of Sandtrail does not know; use a newer one", version)
	}
	return withDistribution(ctx, q, l, list)
}

func embedded(l *layout) ([]database.Migration, error) {
	files, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	list := make([]database.Migration, 0, len(files))
	for _, file := range files {
		number, name, _ := strings.Cut(strings.TrimSuffix(path.Base(file), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration file %s: %w", file, err)
		}
		text, err := migrationFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		list = append(list, database.Migration{Version: version, Name: name, SQL: l.sql(string(text))})
	}
	slices.SortFunc(list, func(a, b database.Migration) int { return cmp.Compare(a.Version, b.Version) })
	for i, m := range list {
		if m.Version != i+1 {
			return nil, fmt.Errorf("migration files: the next version must be %d, found %d (%s)", i+1, m.Version, m.Name)
		}
	}
	return list, nil
}

func appliedIn(ctx context.Context, q querier, l *layout) (map[int]time.Time, error) {
	applied := map[int]time.Time{}
	var exists bool
	err := q.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", l.sql("{schema}.migrations")).Scan(&exists)
	if err != nil || !exists {
		return applied, wrap("look for migrations", err)
	}
	rows, err := q.Query(ctx, l.sql("SELECT version, applied_at FROM {schema}.migrations"))
	if err != nil {
		return nil, wrap("read migrations", err)
	}
	var version int
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&version, &at}, func() error {
		applied[version] = at.UTC()
		return nil
	})
	return applied, wrap("read migrations", err)
}

// pending counts the migrations that are not applied.
func pending(list []database.Migration) (n int) {
	for _, m := range list {
		if m.Applied.IsZero() {
			n++
		}
	}
	return n
}
