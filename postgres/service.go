package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/sqlstore"
)

// tables are those whose SQL both stores share.
type tables = sqlstore.Tables

// engine runs their statements.
type engine struct{ *Store }

var dialect = sqlstore.Dialect{
	Keyed:         "SELECT value = 'true' FROM {schema}.settings WHERE name = 'keyed'",
	Unkey:         "INSERT INTO {schema}.settings (name, value) VALUES ('keyed', 'false') ON CONFLICT (name) DO UPDATE SET value = 'false'",
	AwaitRemovals: "UPDATE {schema}.settings SET value = to_jsonb(value::bigint + 1) WHERE name = 'holds'",
	IsOrphan:      func(err error) bool { return state(err) == foreignKeyViolation },
	IsNoKey:       isNoKey,
}

// Spell is part of sqlstore.Engine.
func (e engine) Spell(ctx context.Context, subject sandtrail.Subject, id string) (string, error) {
	if subject == sandtrail.Users {
		u, err := e.User(ctx, id)
		return u.ID, err
	}
	st, err := e.Strategy(ctx, id)
	return st.ID, err
}

func (engine) Dialect() sqlstore.Dialect { return dialect }

// Exec is part of sqlstore.Engine.
func (e engine) Exec(ctx context.Context, doing, statement string, args ...any) (n int64, err error) {
	l, err := e.open(ctx)
	if err != nil {
		return 0, err
	}
	err = again(func() (err error) {
		n, err = tx{e.pool, l}.Exec(ctx, statement, args...)
		return err
	})
	return n, wrap(doing, err)
}

// Query is part of sqlstore.Engine.
func (e engine) Query(ctx context.Context, doing, query string, args []any, read func(sqlstore.Rows) error) error {
	l, err := e.open(ctx)
	if err != nil {
		return err
	}
	return wrap(doing, tx{e.pool, l}.Query(ctx, query, args, read))
}

// InTx is part of sqlstore.Engine.
func (e engine) InTx(ctx context.Context, doing string, f func(sqlstore.Tx) error) error {
	l, err := e.open(ctx)
	if err != nil {
		return err
	}
	return wrap(doing, e.inTx(ctx, func(t pgx.Tx) error { return f(tx{t, l}) }))
}

// tx is a transaction, or the pool.
type tx struct {
	querier
	l *layout
}

// Exec is part of sqlstore.Tx.
func (t tx) Exec(ctx context.Context, statement string, args ...any) (int64, error) {
	tag, err := t.querier.Exec(ctx, t.l.sql(statement), toColumns(args)...)
	return tag.RowsAffected(), err
}

// Query is part of sqlstore.Tx.
func (t tx) Query(ctx context.Context, query string, args []any, read func(sqlstore.Rows) error) error {
	found, err := t.querier.Query(ctx, t.l.sql(query), toColumns(args)...)
	if err != nil {
		return err
	}
	defer found.Close()
	err = read(typedRows{found})
	found.Close()
	return cmp.Or(err, found.Err())
}

// typedRows reads ids and times.
type typedRows struct{ pgx.Rows }

// Scan is part of sqlstore.Rows.
func (r typedRows) Scan(into ...any) error {
	columns := slices.Clone(into)
	for i, v := range into {
		switch v := v.(type) {
		case *sandtrail.ID:
			columns[i] = (*[16]byte)(v)
		case **sandtrail.ID:
			columns[i] = new(*[16]byte)
		}
	}
	err := r.Rows.Scan(columns...)
	for i, v := range into {
		switch v := v.(type) {
		case **sandtrail.ID:
			*v = (*sandtrail.ID)(*columns[i].(**[16]byte))
		case *time.Time:
			*v = v.UTC()
		case **time.Time:
			*v = utc(*v)
		}
	}
	return err
}

// toColumns are arguments as the columns hold them.
func toColumns(args []any) []any {
	columns := slices.Clone(args)
	for i, arg := range args {
		switch v := arg.(type) {
		case sandtrail.ID:
			columns[i] = [16]byte(v)
		case *sandtrail.ID:
			columns[i] = (*[16]byte)(v)
		case time.Time:
			columns[i] = sandtrail.Millisecond(v)
		case *time.Time:
			if v != nil {
				columns[i] = sandtrail.Millisecond(*v)
			}
		}
	}
	return columns
}
