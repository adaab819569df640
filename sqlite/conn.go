package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"
)

// purpose is what a connection is for.
type purpose int

const (
	writing purpose = iota
	reading
)

// connector opens connections that are all set up alike: SQLite keeps most
// settings per connection, and a pool opens them when it likes.
type connector struct {
	store   *Store
	purpose purpose
	driver  driver.Driver
	dsn     string
}

func (s *Store) connector(p purpose) *connector {
	// IMMEDIATE takes the write lock when the transaction begins. Taken
	// later, it fails when somebody else has written since the first read.
	lock := map[purpose]string{writing: "immediate", reading: "deferred"}[p]
	path := url.URL{Path: s.path}
	dsn := "file:" + path.EscapedPath() + "?_txlock=" + lock
	if s.frozen {
		dsn += "&mode=ro"
	}
	return &connector{store: s, purpose: p, driver: s.options.driver, dsn: dsn}
}

// Driver is part of driver.Connector.
func (c *connector) Driver() driver.Driver { return c.driver }

// Connect opens a connection and applies its settings.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.store.present(); err != nil {
		return nil, err
	}
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	for _, pragma := range c.pragmas() {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, "PRAGMA "+pragma, nil); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

func (c *connector) pragmas() []string {
	all := []string{
		// SQLite's own waiting cannot be interrupted, so it is short and
		// retry does the rest.
		fmt.Sprintf("busy_timeout = %d", ownWait.Milliseconds()),
		"foreign_keys = ON",
		// Without it INSERT OR REPLACE would delete without firing triggers.
		"recursive_triggers = ON",
		"temp_store = MEMORY",
		fmt.Sprintf("cache_size = -%d", c.store.options.CacheMiB<<10),
	}
	if c.purpose == reading {
		return append(all, "query_only = ON")
	}
	return append(all,
		// Takes effect while the file is empty, before WAL writes its header.
		"auto_vacuum = INCREMENTAL",
		"journal_mode = WAL",
		// In WAL mode only FULL makes a commit durable against power loss.
		"synchronous = FULL",
		"journal_size_limit = 67108864",
		// What is deleted is overwritten, not only unlinked.
		"secure_delete = ON",
	)
}

const ownWait = 5 * time.Millisecond

// write runs fn in a transaction that holds the write lock and commits it, unless
// guards are missing.
func (s *Store) write(ctx context.Context, what string, fn func(*sql.Tx) error) error {
	return s.writeUnguarded(ctx, what, func(tx *sql.Tx) error {
		if err := s.checkGuards(ctx, tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// writeUnguarded is write for what makes the guards.
func (s *Store) writeUnguarded(ctx context.Context, what string, fn func(*sql.Tx) error) error {
	if s.frozen {
		return s.unavailable(what+": the database file may only be read here; check its permissions and those of its directory", nil)
	}
	return s.retry(ctx, what, func() error {
		if err := s.present(); err != nil {
			return err
		}
		return inTx(ctx, s.writer.DB, fn)
	})
}

// read runs fn on one snapshot.
func (s *Store) read(ctx context.Context, what string, fn func(*sql.Tx) error) error {
	return s.retry(ctx, what, func() error {
		if err := s.present(); err != nil {
			return err
		}
		return inTx(ctx, s.readers.DB, fn)
	})
}

func inTx(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// retry repeats an operation that found the file locked by another process,
// until the deadline, and words its error. Waits are random, so that a
// thousand processes do not knock in step.
func (s *Store) retry(ctx context.Context, what string, operation func() error) error {
	waiting := ctx
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, s.options.BusyTimeout)
		defer cancel()
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 64*time.Millisecond) {
		err := operation()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
		if !isBusy(err) {
			return s.translate(ctx, what, err)
		}
		select {
		case <-waiting.Done():
			return s.unavailable(what+": the database is kept locked by another process", errors.Join(waiting.Err(), err))
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

// pool is a set of like connections and the statements prepared on them.
type pool struct {
	*sql.DB
	statements sync.Map // SQL text → *sql.Stmt
}

func newPool(c *connector, size int) *pool {
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return &pool{DB: db}
}

// prepare returns the statement for a text, prepared once. It may need a
// connection, so it is called before a transaction holds the last one.
func (p *pool) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if known, ok := p.statements.Load(text); ok {
		return known.(*sql.Stmt), nil
	}
	stmt, err := p.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if first, raced := p.statements.LoadOrStore(text, stmt); raced {
		stmt.Close()
		return first.(*sql.Stmt), nil
	}
	return stmt, nil
}

func (p *pool) close() error {
	p.statements.Range(func(_, stmt any) bool {
		stmt.(*sql.Stmt).Close()
		return true
	})
	return p.Close()
}
