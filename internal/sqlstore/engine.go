// Package sqlstore is the SQL that both stores share: that of keys and the access log,
// alerts and silences, holds, leases, users and strategies. Statements are PostgreSQL's.
// {schema}. is before a table of Sandtrail, {logs} is that of the executions, and
// {users}, {users.id} and their like are the application's. A store runs them in the
// words of its database.
package sqlstore

import (
	"context"
	"strconv"

	"github.com/sandtrail/sandtrail"
)

// Engine runs statements in the database of a store. Errors have their code, and say
// what was being done. Beside the values that a driver knows, an argument is an id, a
// time or a pointer to one, and so is the destination of a column; times are cut to
// milliseconds, and are read in UTC.
type Engine interface {
	// Exec runs a statement in a transaction of its own and returns how many rows it
	// changed. The change is durable.
	Exec(ctx context.Context, doing, statement string, args ...any) (int64, error)
	// Query calls read with the rows of a query, and again with all of them where the
	// database has to be asked again.
	Query(ctx context.Context, doing, query string, args []any, read func(Rows) error) error
	// InTx runs f in a transaction that writes, and again where the database ended it for
	// reasons that another try may not meet. What f did is durable.
	InTx(ctx context.Context, doing string, f func(Tx) error) error
	// Spell is the id of a user or strategy as the database spells it. CodeNotFound may
	// say that there is none.
	Spell(ctx context.Context, subject sandtrail.Subject, id string) (string, error)
	Dialect() Dialect
}

// Dialect is the SQL that is not the same in both databases.
type Dialect struct {
	Keyed string // a query: whether a server asks for keys, as far as is noted; of no row where nothing is
	Unkey string // a statement: notes that servers work without keys
	// AwaitRemovals is a statement that waits for removals of executions under way, and
	// keeps out others until its transaction ends. "": writers are alone.
	AwaitRemovals string
	// IsOrphan reports whether a row was refused because the row that it references is
	// not there.
	IsOrphan func(error) bool
	// IsNoKey reports whether a text cannot be a key of the application's users or
	// strategies.
	IsNoKey func(error) bool
}

// Tx is a transaction.
type Tx interface {
	Exec(ctx context.Context, statement string, args ...any) (int64, error)
	Query(ctx context.Context, query string, args []any, read func(Rows) error) error
}

// Rows are the rows of a query.
type Rows interface {
	Next() bool
	Scan(into ...any) error
	Err() error
}

// Tables are the tables, in the database of an engine.
type Tables struct{ engine Engine }

// New returns the tables in the database of an engine.
func New(engine Engine) Tables { return Tables{engine} }

// each reads every row of a query into a list.
func each[T any](found *[]T, read func(scan func(...any) error, item *T) error) func(Rows) error {
	return func(rows Rows) error {
		*found = []T{}
		for rows.Next() {
			var item T
			if err := read(rows.Scan, &item); err != nil {
				return err
			}
			*found = append(*found, item)
		}
		return rows.Err()
	}
}

// single reads the only column of the first row, if there is one.
func single(into any) func(Rows) error {
	return func(rows Rows) error {
		if rows.Next() {
			if err := rows.Scan(into); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}

// conditions collects the parts of a WHERE clause and their arguments.
type conditions struct {
	text string
	args []any
}

// add appends a condition, which the number of its argument ends.
func (c *conditions) add(condition string, arg any) {
	word := " WHERE "
	if len(c.args) > 0 {
		word = " AND "
	}
	c.args = append(c.args, arg)
	c.text += word + condition + "$" + strconv.Itoa(len(c.args))
}
