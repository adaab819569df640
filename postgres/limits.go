package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// pool is the connections. A statement of work with limits of its own runs in a
// transaction that sets them; that of a request says which limit it met.
type pool struct{ *pgxpool.Pool }

// limitless sets aside the limits of time that a database, a user or a server
// has, for one transaction: sessions may be a pooler's. It takes no snapshot.
const limitless = "; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"

// beginTx begins a transaction, READ COMMITTED unless the options say otherwise,
// whatever the database's default is. All transactions begin here.
func beginTx(ctx context.Context, conn *pgx.Conn, options pgx.TxOptions) (pgx.Tx, error) {
	options.IsoLevel = cmp.Or(options.IsoLevel, pgx.ReadCommitted)
	if database.HasOwnLimits(ctx) {
		options.BeginQuery = strings.TrimSpace("begin isolation level "+string(options.IsoLevel)+" "+string(options.AccessMode)) + limitless
		if knowsTransactionTimeout(conn) {
			options.BeginQuery += "; SET LOCAL transaction_timeout = 0"
		}
	}
	return conn.BeginTx(ctx, options)
}

// knowsTransactionTimeout is true of PostgreSQL 17 and later.
func knowsTransactionTimeout(conn *pgx.Conn) bool {
	var major int
	_, err := fmt.Sscanf(conn.PgConn().ParameterStatus("server_version"), "%d", &major)
	return err == nil && major >= 17
}

// begin runs f in a transaction.
func begin(ctx context.Context, conn *pgx.Conn, options pgx.TxOptions, f func(pgx.Tx) error) error {
	tx, err := beginTx(ctx, conn, options)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // none after a commit
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// inTx runs f in a transaction.
func (p pool) inTx(ctx context.Context, options pgx.TxOptions, f func(pgx.Tx) error) error {
	return p.explain(ctx, p.AcquireFunc(ctx, func(conn *pgxpool.Conn) error { return begin(ctx, conn.Conn(), options, f) }))
}

// Exec runs a statement.
func (p pool) Exec(ctx context.Context, statement string, args ...any) (tag pgconn.CommandTag, err error) {
	if database.HasOwnLimits(ctx) {
		err = p.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
			tag, err = tx.Exec(ctx, statement, args...)
			return err
		})
		return tag, err
	}
	tag, err = p.Pool.Exec(ctx, statement, args...)
	return tag, p.explain(ctx, err)
}

// vacuum has the server use the room of deleted rows again soon. It does so by
// itself where a limit of time does not let this end.
func (p pool) vacuum(ctx context.Context, table string) error {
	_, err := p.Pool.Exec(ctx, "VACUUM (SKIP_LOCKED) "+table)
	if class := state(err); class == queryCanceled || class == lockNotAvailable {
		return nil
	}
	return wrapf(err, "vacuum %s", table)
}

// Query asks for rows. A transaction of its own ends when they are read.
func (p pool) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	if database.HasOwnLimits(ctx) {
		return p.queryApart(ctx, query, args...)
	}
	found, err := p.Pool.Query(ctx, query, args...)
	if err != nil {
		return nil, p.explain(ctx, err)
	}
	return &rows{Rows: found, end: func(err error) error { return p.explain(ctx, err) }}, nil
}

// queryApart is Query in a transaction.
func (p pool) queryApart(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := beginTx(ctx, conn.Conn(), pgx.TxOptions{})
	if err != nil {
		conn.Release()
		return nil, err
	}
	end := func(err error) error {
		defer conn.Release()
		return cmp.Or(err, tx.Commit(ctx))
	}
	found, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, end(err)
	}
	return &rows{Rows: found, end: end}, nil
}

// QueryRow asks for one row.
func (p pool) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	found, err := p.Query(ctx, query, args...)
	return row{found, err}
}

// rows are of a query that has something to do at its end, with its error.
type rows struct {
	pgx.Rows
	end    func(error) error
	closed bool
	err    error
}

// Next closes the rows behind the last one.
func (r *rows) Next() bool {
	if r.closed {
		return false
	}
	more := r.Rows.Next()
	if !more {
		r.Close()
	}
	return more
}

// Scan closes the rows where a value cannot be read.
func (r *rows) Scan(into ...any) error {
	err := r.Rows.Scan(into...)
	if err != nil {
		r.Close()
	}
	return err
}

// Close ends the query.
func (r *rows) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.Rows.Close()
	r.err = r.end(r.Rows.Err())
}

// Err is the error of the query, or of its end.
func (r *rows) Err() error {
	if r.closed {
		return r.err
	}
	return r.Rows.Err()
}

// row is the first of the rows of a query.
type row struct {
	rows pgx.Rows
	err  error
}

// Scan reads the row; pgx.ErrNoRows where there is none.
func (r row) Scan(into ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		return cmp.Or(r.rows.Err(), pgx.ErrNoRows)
	}
	if err := r.rows.Scan(into...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// limitOf is the setting by which a server ends statements and sessions with an
// SQLSTATE, "" for other states.
func limitOf(class string) string {
	switch class {
	case queryCanceled:
		return "statement_timeout"
	case lockNotAvailable:
		return "lock_timeout"
	case idleInTransaction:
		return "idle_in_transaction_session_timeout"
	case transactionTimeout:
		return "transaction_timeout"
	case idleSession:
		return "idle_session_timeout"
	case readOnlyTransaction:
		return readOnlyDefault
	}
	return ""
}

// explain says of an error which setting of the database was met, and how it is
// set, in place of the caller's fault that it may seem to be.
func (p pool) explain(ctx context.Context, err error) error {
	setting := limitOf(state(err))
	if setting == "" || database.HasOwnLimits(ctx) && setting != readOnlyDefault {
		return err
	}
	var value string
	asking := p.QueryRow(database.WithOwnLimits(ctx),
		"SELECT CASE WHEN reset_val NOT IN ('0', 'off') THEN reset_val || coalesce(unit, '') ELSE '' END FROM pg_settings WHERE name = $1 AND NOT pg_is_in_recovery()",
		setting).Scan(&value)
	switch {
	case asking != nil: // a standby, or out of reach
		return err
	case value == "": // it was ended by hand
		return &sandtrail.Error{Code: sandtrail.CodeUnavailable, Message: endedByHand, Private: err.Error(), Err: err}
	}
	return met(setting, value, err)
}

// met is the error of who met a setting.
func met(setting, value string, err error) error {
	e := sandtrail.Errorf(sandtrail.CodeUnavailable, "the database's setting %s (%s) does not let this be done: "+
		"try again later, or change it for the user that Sandtrail connects as, with ALTER ROLE … SET %[1]s TO …", setting, value)
	if err != nil {
		e.Private, e.Err = err.Error(), err
	}
	return e
}

const readOnlyDefault = "default_transaction_read_only"

const endedByHand = "the database ended the statement, as an administrator can have it do: try again later"
