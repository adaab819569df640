package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/sqlstore"
)

// tables are those whose SQL both stores share.
type tables = sqlstore.Tables

// engine runs their statements.
type engine struct{ *Store }

var dialect = sqlstore.Dialect{
	Keyed:    "SELECT keyed FROM {schema}.keyed",
	Unkey:    "INSERT INTO {schema}.keyed VALUES (1, 0) ON CONFLICT (one) DO UPDATE SET keyed = 0",
	IsOrphan: func(err error) bool { return resultCode(err) == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY },
	IsNoKey:  func(error) bool { return false }, // SQLite compares keys with any text
}

// words are SQLite's for PostgreSQL's.
var words = strings.NewReplacer("$", "?", "::text", "", "::integer", "", ` COLLATE "C"`, "",
	"{schema}.", "sandtrail_", "{logs}", "sandbox_execution_logs",
	"{users}", "users", "{users.id}", "id", "{users.email}", "email", "{u.name}", "u.name", "{users.order}", "id",
	"{strategies}", "strategies", "{strategies.id}", "id", "{strategies.name}", "name", "{strategies.order}", "id")

// Spell is part of sqlstore.Engine.
func (e engine) Spell(ctx context.Context, subject sandtrail.Subject, id string) (string, error) {
	user, strategy, err := e.spell(ctx, id, id)
	if subject == sandtrail.Users {
		return user, err
	}
	return strategy, err
}

func (engine) Dialect() sqlstore.Dialect { return dialect }

// Exec is part of sqlstore.Engine.
func (e engine) Exec(ctx context.Context, doing, statement string, args ...any) (n int64, err error) {
	err = e.InTx(ctx, doing, func(tx sqlstore.Tx) (err error) {
		n, err = tx.Exec(ctx, statement, args...)
		return err
	})
	return n, err
}

// Query is part of sqlstore.Engine.
func (e engine) Query(ctx context.Context, doing, query string, args []any, read func(sqlstore.Rows) error) error {
	return e.query(ctx, doing, words.Replace(query), toColumns(args), func(found *sql.Rows) error { return read(rows{found}) })
}

// InTx is part of sqlstore.Engine.
func (e engine) InTx(ctx context.Context, doing string, f func(sqlstore.Tx) error) error {
	return e.write(ctx, doing, func(t *sql.Tx) error { return f(tx{t}) })
}

type tx struct{ *sql.Tx }

// Exec is part of sqlstore.Tx.
func (t tx) Exec(ctx context.Context, statement string, args ...any) (int64, error) {
	return execCount(ctx, t.Tx, words.Replace(statement), toColumns(args)...)
}

// Query is part of sqlstore.Tx.
func (t tx) Query(ctx context.Context, query string, args []any, read func(sqlstore.Rows) error) error {
	found, err := t.QueryContext(ctx, words.Replace(query), toColumns(args)...)
	if err != nil {
		return err
	}
	defer found.Close()
	return read(rows{found})
}

type rows struct{ *sql.Rows }

// Scan is part of sqlstore.Rows.
func (r rows) Scan(into ...any) error {
	columns := slices.Clone(into)
	for i, v := range into {
		switch v := v.(type) {
		case *sandtrail.ID:
			columns[i] = idColumn{v}
		case **sandtrail.ID:
			columns[i] = optional[sandtrail.ID]{v, func(id *sandtrail.ID) sql.Scanner { return idColumn{id} }}
		case *time.Time:
			columns[i] = timeColumn{v}
		case **time.Time:
			columns[i] = optional[time.Time]{v, func(t *time.Time) sql.Scanner { return timeColumn{t} }}
		}
	}
	return r.Rows.Scan(columns...)
}

// toColumns are arguments as the columns hold them.
func toColumns(args []any) []any {
	columns := slices.Clone(args)
	for i, arg := range args {
		switch v := arg.(type) {
		case sandtrail.ID:
			columns[i] = v.String()
		case *sandtrail.ID:
			columns[i] = nullOr(v, sandtrail.ID.String)
		case time.Time:
			columns[i] = formatTime(v)
		case *time.Time:
			columns[i] = nullOr(v, formatTime)
		}
	}
	return columns
}

func nullOr[T any](v *T, format func(T) string) any {
	if v == nil {
		return nil
	}
	return format(*v)
}

// idColumn scans a column of an id.
type idColumn struct{ into *sandtrail.ID }

// Scan is part of sql.Scanner.
func (c idColumn) Scan(src any) error {
	var id executionID
	err := id.Scan(src)
	*c.into = id.ID
	return err
}

// timeColumn scans a column of a time.
type timeColumn struct{ into *time.Time }

// Scan is part of sql.Scanner.
func (c timeColumn) Scan(src any) error {
	var t timestamp
	err := t.Scan(src)
	*c.into = t.Time
	return err
}

// optional scans a column of a value that may be absent.
type optional[T any] struct {
	into   **T
	column func(*T) sql.Scanner
}

// Scan is part of sql.Scanner.
func (o optional[T]) Scan(src any) error {
	if *o.into = nil; src == nil {
		return nil
	}
	*o.into = new(T)
	return o.column(*o.into).Scan(src)
}
