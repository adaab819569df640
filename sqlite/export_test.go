package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"time"

	"modernc.org/sqlite"
)

// OpenStepped is Open for tests in which statements and commits fail: step is
// called before and after each, and its error is what the store gets.
func OpenStepped(ctx context.Context, path string, step func(after bool) error) (*Store, error) {
	return Open(ctx, path, Options{driver: steppedDriver{step}})
}

type steppedDriver struct{ step func(after bool) error }

func (d steppedDriver) Open(dsn string) (driver.Conn, error) {
	conn, err := (&sqlite.Driver{}).Open(dsn)
	return &steppedConn{conn, d.step}, err
}

type steppedConn struct {
	driver.Conn
	step func(after bool) error
}

func (c *steppedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	return steppedStmt{stmt, c.step}, err
}

type steppedStmt struct {
	driver.Stmt
	step func(after bool) error
}

func (s steppedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return between(s.step, func() (driver.Result, error) { return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args) })
}

func (s steppedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

func (c *steppedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return between(c.step, func() (driver.Result, error) { return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args) })
}

func (c *steppedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c *steppedConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
	return steppedTx{tx, c.step}, err
}

type steppedTx struct {
	driver.Tx
	step func(after bool) error
}

// Commit fails before it, so that nothing is applied, or after it.
func (t steppedTx) Commit() error {
	if err := t.step(false); err != nil {
		_ = t.Rollback()
		return err
	}
	if err := t.Tx.Commit(); err != nil {
		return err
	}
	return t.step(true)
}

func between[T any](step func(after bool) error, do func() (T, error)) (result T, err error) {
	if err := step(false); err != nil {
		return result, err
	}
	if result, err = do(); err == nil {
		err = step(true)
	}
	return result, err
}

// OpenBusy is Open for tests in which everything that may be repeated is: each
// transaction and each statement outside of one is told at its first end that
// another process has the file, and nothing of it is applied. between, unless
// nil, is called before each statement that reads.
func OpenBusy(ctx context.Context, path string, busy error, between func(query string)) (*Store, error) {
	return Open(ctx, path, Options{driver: busyDriver{busy, between}})
}

type busyDriver struct {
	busy    error
	between func(query string)
}

func (d busyDriver) Open(dsn string) (driver.Conn, error) {
	conn, err := (&sqlite.Driver{}).Open(dsn)
	return &busyConn{Conn: conn, busyDriver: d}, err
}

type busyConn struct {
	driver.Conn
	busyDriver
	within bool // a transaction
	ended  bool // once in vain
}

// end is what is told at an end: every other one is in vain.
func (c *busyConn) end() error {
	if c.busy == nil {
		return nil
	}
	c.ended = !c.ended
	if c.ended {
		return c.busy
	}
	return nil
}

func (c *busyConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	return busyStmt{stmt, c, query}, err
}

func (c *busyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *busyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.rows(query, func() (driver.Rows, error) { return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args) })
}

func (c *busyConn) rows(query string, ask func() (driver.Rows, error)) (driver.Rows, error) {
	if c.between != nil {
		c.between(query)
	}
	rows, err := ask()
	if err != nil || c.within {
		return rows, err
	}
	return busyRows{rows, c}, nil
}

func (c *busyConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
	c.within = err == nil
	return busyTx{tx, c}, err
}

type busyTx struct {
	driver.Tx
	conn *busyConn
}

func (t busyTx) Commit() error {
	t.conn.within = false
	if err := t.conn.end(); err != nil {
		_ = t.Tx.Rollback()
		return err
	}
	return t.Tx.Commit()
}

func (t busyTx) Rollback() error {
	t.conn.within = false
	return t.Tx.Rollback()
}

type busyStmt struct {
	driver.Stmt
	conn  *busyConn
	query string
}

func (s busyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s busyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.rows(s.query, func() (driver.Rows, error) { return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args) })
}

type busyRows struct {
	driver.Rows
	conn *busyConn
}

func (r busyRows) Next(into []driver.Value) error {
	err := r.Rows.Next(into)
	if errors.Is(err, io.EOF) {
		if busy := r.conn.end(); busy != nil {
			return busy
		}
	}
	return err
}

// MaintainUnsealed is Maintain without the ledger.
func (s *Store) MaintainUnsealed(ctx context.Context, now time.Time) error {
	if err := s.applyAll(ctx); err != nil {
		return err
	}
	return s.tidy(ctx, now)
}

// OpenSearching is Open for tests of searches with little of everything: they
// read so many executions before they ask the index, and have a small budget.
func OpenSearching(ctx context.Context, path string, probed, budget int) (*Store, error) {
	return Open(ctx, path, Options{probed: probed, budget: budget})
}
