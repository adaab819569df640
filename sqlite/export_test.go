package sqlite

import (
	"context"
	"database/sql/driver"
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

// MaintainUnsealed is Maintain without the ledger.
func (s *Store) MaintainUnsealed(ctx context.Context, now time.Time) error {
	if err := s.foldAll(ctx); err != nil {
		return err
	}
	return s.tidy(ctx, now)
}

// OpenSearching is Open for tests of searches with little of everything: they
// read so many executions before they ask the index, and have a small budget.
func OpenSearching(ctx context.Context, path string, probed, budget int) (*Store, error) {
	return Open(ctx, path, Options{probed: probed, budget: budget})
}
