package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	_ "modernc.org/sqlite" // registers the driver

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// SQLite is the plain table in a file beside the measured one, filled by a
// prepared statement.
type SQLite struct {
	db    *sql.DB
	path  string // of the plain file, "" for none
	store string // path of the measured database
}

// OpenSQLite makes the plain file from the schema of a migrated database, if
// there is to be one.
func OpenSQLite(ctx context.Context, store string, withTable bool) (*SQLite, error) {
	if !withTable {
		db, err := sql.Open("sqlite", "file:"+store+"?mode=ro&_pragma=cache_size(-16384)")
		return &SQLite{db: db, store: store}, err
	}
	path := store + ".plain"
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=foreign_keys(1)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=cache_size(-16384)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s := &SQLite{db: db, path: path, store: store}
	if err := s.copySchema(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("make the plain table: %w", err)
	}
	return s, nil
}

// copySchema copies the three tables with their indexes, and leaves out
// triggers and Sandtrail's own tables.
func (s *SQLite) copySchema(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, "ATTACH ?1 AS store", s.store); err != nil {
		return err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT sql FROM store.sqlite_schema WHERE type IN ('table', 'index') AND sql IS NOT NULL
		AND tbl_name IN ('users', 'strategies', 'sandbox_execution_logs') ORDER BY type DESC, rootpage`)
	if err != nil {
		return err
	}
	var statements []string
	for rows.Next() {
		var statement string
		if err := rows.Scan(&statement); err != nil {
			return err
		}
		statements = append(statements, statement)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, statement := range append(statements, "DETACH store") {
		if _, err := s.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// HasTable reports whether there is a plain file.
func (s *SQLite) HasTable() bool { return s.path != "" }

// Append is one transaction of a prepared INSERT. The owners of the first
// batch are copied along.
func (s *SQLite) Append(ctx context.Context, batch []sandtrail.Execution) error {
	if err := s.copyOwners(ctx); err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	insert, err := tx.PrepareContext(ctx, "INSERT INTO sandbox_execution_logs ("+strings.Join(plainColumns, ", ")+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	for _, e := range batch {
		var metadata any
		if e.Metadata != nil {
			metadata = string(e.Metadata)
		}
		if _, err := insert.ExecContext(ctx, e.ID.String(), e.UserID, e.StrategyID, string(e.Type), e.Success, e.ExecutionTime,
			e.MemoryUsed, e.CPUUsage, e.TimedOut, e.ErrorCount, e.WarningCount, database.JoinClasses(e.Classes), metadata, sqliteTime(e.CreatedAt)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (s *SQLite) copyOwners(ctx context.Context) error {
	var known bool
	if err := s.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM users)").Scan(&known); err != nil || known {
		return err
	}
	for _, statement := range []string{
		"ATTACH '" + strings.ReplaceAll(s.store, "'", "''") + "' AS store",
		"INSERT INTO users SELECT id, email, name FROM store.users",
		"INSERT INTO strategies SELECT id, name FROM store.strategies",
		"DETACH store",
	} {
		if _, err := s.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func sqliteTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") }

// Analyze leaves both databases without planner statistics, as they are in
// use.
func (s *SQLite) Analyze(context.Context) error { return nil }

// Query lets the driver prepare each statement anew, as database/sql does.
func (s *SQLite) Query(ctx context.Context, query string, arg any) error {
	if t, ok := arg.(time.Time); ok {
		arg = sqliteTime(t)
	}
	rows, err := s.db.QueryContext(ctx, strings.ReplaceAll(query, "{logs}", "sandbox_execution_logs"), arg)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(any)
	}
	for rows.Next() {
		if err := rows.Scan(values...); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Sizes are those of the files, with what is still in their logs.
func (s *SQLite) Sizes(context.Context) ([]Size, error) {
	var sizes []Size
	files := []struct{ part, path string }{{"sandtrail", s.store}, {"plain table", s.path}}
	if !s.HasTable() {
		files = files[:1]
	}
	for _, file := range files {
		size := Size{Part: file.part}
		for _, suffix := range []string{"", "-wal"} {
			if info, err := os.Stat(file.path + suffix); err == nil {
				size.Bytes += info.Size()
			}
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

// Close removes the plain file.
func (s *SQLite) Close(context.Context) error {
	err := s.db.Close()
	if !s.HasTable() {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if removeErr := os.Remove(s.path + suffix); err == nil && !errors.Is(removeErr, os.ErrNotExist) {
			err = removeErr
		}
	}
	return err
}
