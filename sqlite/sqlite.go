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
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"modernc.org/sqlite"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/sqlstore"
)

// Options tune a Store. The zero value is good.
type Options struct {
	// BusyTimeout is how long a call waits for other processes to release
	// the file when its context has no deadline; a deadline takes its place.
	BusyTimeout time.Duration // 0: 30 seconds
	Readers     int           // connections that read; 0: 4, or the number of CPUs if greater
	CacheMiB    int           // page cache of each connection; 0: 16

	// Existing makes Open fail where there is no file, and change nothing. A
	// file that may only be read, or that has no tables of Sandtrail, is opened
	// for reading alone: what writes then is ErrUnavailable.
	Existing bool

	driver driver.Driver // for tests; nil: SQLite's
	budget int           // for tests, of a search; 0: sandtrail.SearchBudget
	probed int           // for tests; 0: as many as below
	frozen bool          // for tests: an Existing file may only be read
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
	if o.budget <= 0 {
		o.budget = database.SearchBudget
	}
	if o.probed <= 0 {
		o.probed = probed
	}
	if o.driver == nil {
		o.driver = &sqlite.Driver{}
	}
	return o
}

// Store is a database.Database in one file.
type Store struct {
	tables
	path    string
	opened  os.FileInfo // the file as it was when the Store was opened
	options Options
	writer  *pool // of one connection
	frozen  bool  // the file may only be read
	readers *pool

	searching chan struct{} // a place for each search that runs: half of the readers

	guarded atomic.Int64 // PRAGMA schema_version when all guards were in place; 0: not known

	keyTypes atomic.Pointer[keyTypes] // nil: not read yet
}

var _ database.Database = (*Store)(nil)

// Open opens the database file, creating an empty one, readable by its owner
// only, where there is none. It does not touch the schema: call Migrate.
func Open(ctx context.Context, path string, options Options) (*Store, error) {
	if path == "" || path == ":memory:" {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "database: must be the path of a file, got %q", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s := &Store{path: abs, options: options.withDefaults()}
	s.tables = sqlstore.New(engine{s})
	if err = s.touch(); err != nil {
		return nil, err
	}
	s.writer = newPool(s.connector(writing), 1)
	s.readers = newPool(s.connector(reading), s.options.Readers)
	s.searching = make(chan struct{}, max(1, s.options.Readers/2))
	if err := s.connect(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// connect makes the first connections.
func (s *Store) connect(ctx context.Context) error {
	ping := func(p *pool) error { return s.retry(ctx, "open", func() error { return p.PingContext(ctx) }) }
	if s.options.Existing {
		ours, err := s.isOurs(ctx)
		if err != nil {
			return err
		}
		s.frozen = s.frozen || !ours
	}
	if !s.frozen { // the writer goes first: it creates what readers expect
		if err := ping(s.writer); err != nil {
			return err
		}
	}
	return ping(s.readers)
}

// isOurs reports whether the file has tables of Sandtrail.
func (s *Store) isOurs(ctx context.Context) (ours bool, err error) {
	err = s.read(ctx, "open", func(tx *sql.Tx) error {
		applied, err := appliedMigrations(ctx, tx)
		ours = len(applied) > 0
		return err
	})
	return ours, err
}

// touch makes sure that the file exists and finds out whether it may be
// written.
func (s *Store) touch() error {
	how := os.O_RDWR | os.O_CREATE
	if s.options.Existing {
		how = os.O_RDWR
	}
	f, err := os.OpenFile(s.path, how, 0o600)
	if s.options.Existing && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || s.options.frozen) {
		f, err = os.Open(s.path)
		s.frozen = true
	}
	switch {
	case s.options.Existing && errors.Is(err, fs.ErrNotExist):
		return s.unavailable("there is no such database file", err)
	case err != nil:
		return s.unavailable("the database file cannot be opened or made", err)
	}
	defer f.Close()
	s.opened, err = f.Stat()
	return err
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
// schema is complete, with all triggers and indexes.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, "ping", func(tx *sql.Tx) error {
		pending, err := pendingMigrations(ctx, tx)
		if err == nil && pending > 0 {
			err = s.errPending(pending)
		}
		if err == nil {
			err = s.checkGuards(ctx, tx)
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
