//go:build linux

package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver of plain SQL
)

// databaseUnderTest is where the servers keep the records, with what plain SQL may do to it.
type databaseUnderTest interface {
	url() string    // for the servers, past what harms their network
	direct() string // for examinations
	// ready starts what does not run, and waits for it.
	ready(ctx context.Context) error
	// pool is plain SQL, as an application would use it.
	pool() *sql.DB
	// stop ends it and everything that uses it.
	stop() error
}

// sqliteFile is a file, which the campaign writes into like any other process.
type sqliteFile struct {
	path string
	db   *sql.DB
}

func newSQLite(dir string) (*sqliteFile, error) {
	path := filepath.Join(dir, "sandtrail.db")
	pragmas := "&_pragma=busy_timeout(3000)&_pragma=foreign_keys(1)&_pragma=recursive_triggers(1)"
	db, err := sql.Open("sqlite", "file:"+path+"?mode=rw&_txlock=immediate"+pragmas)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	return &sqliteFile{path, db}, nil
}

func (s *sqliteFile) url() string                     { return "sqlite:" + s.path }
func (s *sqliteFile) direct() string                  { return s.url() }
func (s *sqliteFile) ready(ctx context.Context) error { return nil }
func (s *sqliteFile) pool() *sql.DB                   { return s.db }
func (s *sqliteFile) stop() error                     { return s.db.Close() }

// insert is plain SQL that both databases understand.
const insert = `INSERT INTO sandbox_execution_logs
	(id, user_id, strategy_id, execution_type, success, execution_time) VALUES ($1, $2, $3, 'VALIDATION', $4, $5)`

// readRows reads all records, by plain SQL as well.
func readRows(ctx context.Context, db *sql.DB) (all []row, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	rows, err := db.QueryContext(ctx, `SELECT CAST(id AS text), execution_time, metadata FROM sandbox_execution_logs`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r row
		var metadata sql.NullString
		if err := rows.Scan(&r.key, &r.time, &metadata); err != nil {
			return nil, err
		}
		if token, ok := tokenOf(metadata.String); ok {
			r.key = token
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// tokenOf is the last argument of a command that a recorder ran: the campaign's
// name for the run.
func tokenOf(metadata string) (string, bool) {
	var m struct{ Run struct{ Args []string } }
	if metadata == "" || json.Unmarshal([]byte(metadata), &m) != nil || len(m.Run.Args) == 0 {
		return "", false
	}
	last := m.Run.Args[len(m.Run.Args)-1]
	return last, strings.HasPrefix(last, tokenPrefix)
}

const tokenPrefix = "run-"

// execute runs a statement, again while the database cannot be reached.
func execute(ctx context.Context, db *sql.DB, statement string) (err error) {
	until(ctx, 30*time.Second, func() bool {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, err = db.ExecContext(limited, statement)
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
