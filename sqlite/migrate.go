package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/remedy"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// AllMigrations reads the embedded steps: files named 0001_name.sql, applied
// in order, never changed once released.
func AllMigrations() ([]database.Migration, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	all := make([]database.Migration, len(names))
	for i, name := range names {
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		number, title, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(name, "migrations/"), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		all[i] = database.Migration{Version: version, Name: title, SQL: string(text)}
	}
	return all, nil
}

// Migrations lists every migration in order, applied or pending.
func (s *Store) Migrations(ctx context.Context) (all []database.Migration, err error) {
	err = s.read(ctx, "list migrations", func(tx *sql.Tx) (err error) {
		all, err = migrationsIn(ctx, tx)
		return err
	})
	return all, err
}

// Migrate applies the pending migrations in one transaction that holds the
// write lock: of several processes that start together one applies, the
// others wait and find nothing to do.
func (s *Store) Migrate(ctx context.Context, now time.Time) (applied []database.Migration, err error) {
	err = s.writeUnguarded(ctx, "migrate", func(tx *sql.Tx) error {
		applied = nil
		if _, err := tx.ExecContext(ctx, createMigrations); err != nil {
			return err
		}
		all, err := migrationsIn(ctx, tx)
		if err != nil {
			return err
		}
		if all[0].Applied.IsZero() {
			if err := checkForeign(ctx, tx); err != nil {
				return err
			}
		}
		for _, m := range all {
			if !m.Applied.IsZero() {
				continue
			}
			m.Applied = sandtrail.Millisecond(now)
			if err := apply(ctx, tx, m); err != nil {
				return err
			}
			applied = append(applied, m)
		}
		return s.checkGuards(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return applied, nil
}

const createMigrations = `
CREATE TABLE IF NOT EXISTS sandtrail_migrations (
  version    INTEGER NOT NULL PRIMARY KEY,
  name       TEXT NOT NULL,
  applied_at TEXT NOT NULL
) STRICT`

// apply runs a migration and notes that.
func apply(ctx context.Context, tx *sql.Tx, m database.Migration) error {
	if _, err := tx.ExecContext(ctx, m.SQL); err != nil {
		return fmt.Errorf("migration %d (%s): %w", m.Version, m.Name, err)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO sandtrail_migrations (version, name, applied_at) VALUES (?, ?, ?)`,
		m.Version, m.Name, formatTime(m.Applied))
	return err
}

// checkForeign looks at the tables that an application has made in the file
// before: its users and strategies are used when they have what is needed, a
// table under the name of ours is not.
func checkForeign(ctx context.Context, tx *sql.Tx) error {
	for _, owner := range []struct {
		table   string
		columns []string
	}{{users.table, []string{"id", "email", "name"}}, {strategies.table, []string{"id", "name"}}} {
		present, err := columnsOf(ctx, tx, owner.table)
		if err != nil {
			return err
		}
		for _, column := range owner.columns {
			if len(present) > 0 && !slices.Contains(present, column) {
				return sandtrail.Errorf(sandtrail.CodeConflict,
					"table %s exists already and has no column %s: add it with ALTER TABLE %s ADD COLUMN %s TEXT, then migrate again",
					owner.table, column, owner.table, column).With(sandtrail.Remedy{Act: remedy.Migrate})
			}
		}
	}
	const logs = "sandbox_execution_logs"
	present, err := columnsOf(ctx, tx, logs)
	if err == nil && len(present) > 0 {
		err = sandtrail.Errorf(sandtrail.CodeConflict,
			"table %s exists already, made by another tool: rename it with ALTER TABLE %s RENAME TO …, then migrate again", logs, logs).
			With(sandtrail.Remedy{Act: remedy.Migrate})
	}
	return err
}

// columnsOf names the columns of a table; none when there is no such table.
func columnsOf(ctx context.Context, tx *sql.Tx, table string) ([]string, error) {
	return texts(ctx, tx, "SELECT name FROM pragma_table_info(?)", table)
}

// migrationsIn is the list as a snapshot sees it. A file that a newer
// Sandtrail has migrated is refused: this one does not know what it means.
func migrationsIn(ctx context.Context, tx *sql.Tx) ([]database.Migration, error) {
	all, err := AllMigrations()
	if err != nil {
		return nil, err
	}
	applied, err := appliedMigrations(ctx, tx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Applied = applied[all[i].Version]
		delete(applied, all[i].Version)
	}
	for version := range applied {
		return nil, sandtrail.Errorf(sandtrail.CodeUnavailable,
			"the database has migration %d, which this version of Sandtrail does not know; use a newer one", version)
	}
	return all, nil
}

func appliedMigrations(ctx context.Context, tx *sql.Tx) (map[int]time.Time, error) {
	var known bool
	if err := tx.QueryRowContext(ctx,
		`SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sandtrail_migrations')`).Scan(&known); err != nil || !known {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, `SELECT version, applied_at FROM sandtrail_migrations`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	applied := map[int]time.Time{}
	for rows.Next() {
		var version int
		var at timestamp
		if err := rows.Scan(&version, &at); err != nil {
			return nil, err
		}
		applied[version] = at.Time
	}
	return applied, rows.Err()
}

func pendingMigrations(ctx context.Context, tx *sql.Tx) (n int, err error) {
	all, err := migrationsIn(ctx, tx)
	for _, m := range all {
		if m.Applied.IsZero() {
			n++
		}
	}
	return n, err
}
