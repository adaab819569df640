// Package sqlite keeps executions in one SQLite file, with the pure Go driver.
//
// Several processes may have the same file open. Each Store writes through
// one connection, in transactions that take the write lock at once, and reads
// through a pool of others; every answer is read from one snapshot. What a
// method has acknowledged is on disk.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"modernc.org/sqlite"

	"github.com/sandtrail/sandtrail"
)

// Options tune a Store. The zero value is good.
type Options struct {
	// BusyTimeout is how long a call waits for other processes to release
	// the file when its context has no deadline; a deadline takes its place.
	BusyTimeout time.Duration // 0: 30 seconds
	Readers     int           // connections that read; 0: 4, or the number of CPUs if greater
	CacheMiB    int           // page cache of each connection; 0: 16

	driver driver.Driver // for tests; nil: SQLite's
}

func (o Options) withDefaults() Options {
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = 30 * time.Second
	}
	if o.Readers <= 0 {
		o.Readers = max(4, runtime.NumCPU())
	}
	if o.CacheMiB <= 0 {
		o.CacheMiB = 16
	}
	if o.driver == nil {
		o.driver = &sqlite.Driver{}
	}
	return o
}

// Store is a sandtrail.Database in one file.
type Store struct {
	path    string
	opened  os.FileInfo // the file as it was when the Store was opened
	options Options
	writer  *pool // of one connection
	readers *pool
}

var _ sandtrail.Database = (*Store)(nil)

// Open opens the database file, creating an empty one, readable by its owner
// only, where there is none. It does not touch the schema: call Migrate.
func Open(ctx context.Context, path string, options Options) (*Store, error) {
	if path == "" || path == ":memory:" {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "want the path of a database file, got %q", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s := &Store{path: abs, options: options.withDefaults()}
	if s.opened, err = touch(abs); err != nil {
		return nil, s.unavailable("the database file cannot be opened or made", err)
	}
	s.writer = newPool(s.connector(writing), 1)
	s.readers = newPool(s.connector(reading), s.options.Readers)
	// The writer goes first: it creates what readers expect.
	for _, p := range []*pool{s.writer, s.readers} {
		if err := s.retry(ctx, "open", func() error { return p.PingContext(ctx) }); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// touch makes sure that the file exists and describes it.
func touch(path string) (os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// Close waits for calls in progress and releases the file.
func (s *Store) Close() error {
	// The last connection that closes checkpoints, which only a writer can.
	if err := errors.Join(s.readers.close(), s.writer.close()); err != nil {
		return fmt.Errorf("close %s: %w", s.path, err)
	}
	return nil
}

// Ping reports whether the file is still the one that was opened and its
// schema is complete.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, "ping", func(tx *sql.Tx) error {
		pending, err := pendingMigrations(ctx, tx)
		if err == nil && pending > 0 {
			err = s.errPending(pending)
		}
		return err
	})
}

// present reports a database file that has vanished or been replaced under
// us: what is written to it would be lost.
func (s *Store) present() error {
	now, err := os.Stat(s.path)
	if err != nil {
		return s.unavailable("the database file has vanished; restore it and restart", err)
	}
	if !os.SameFile(s.opened, now) {
		return s.unavailable("the database file has been replaced by another since it was opened; restart to use the new one", nil)
	}
	return nil
}
