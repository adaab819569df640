package sqlite

import (
	"context"
	"database/sql/driver"

	"modernc.org/sqlite"
)

// OpenFaulty is Open for tests in which statements and commits fail: step is
// called before and after each, and its error is what the store gets.
func OpenFaulty(ctx context.Context, path string, step func(after bool) error) (*Store, error) {
	return Open(ctx, path, Options{driver: faultyDriver{step}})
}

type faultyDriver struct{ step func(after bool) error }

func (d faultyDriver) Open(dsn string) (driver.Conn, error) {
	conn, err := (&sqlite.Driver{}).Open(dsn)
	return &faultyConn{conn, d.step}, err
}

type faultyConn struct {
	driver.Conn
	step func(after bool) error
}

func (c *faultyConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return between(c.step, func() (driver.Result, error) { return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args) })
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c *faultyConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
	return faultyTx{tx, c.step}, err
}

type faultyTx struct {
	driver.Tx
	step func(after bool) error
}

// Commit fails before it, so that nothing is applied, or after it.
func (t faultyTx) Commit() error {
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
