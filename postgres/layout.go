package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/ownerkey"
)

const (
	defaultSchema = "sandtrail"
	logsTable     = "sandbox_execution_logs"
)

// layout says where everything is. It is decided when the first migration
// runs and kept in the settings table.
type layout struct {
	Schema     string `json:"-"`
	LogsSchema string `json:"logsSchema"`
	Users      owner  `json:"users"`
	Strategies owner  `json:"strategies"`
	// Distributed is when the executions were distributed over a Citus
	// cluster, nil if they are not.
	Distributed *time.Time `json:"distributed,omitempty"`

	old   *oldLogs // to be adopted; of a database not migrated yet
	names *strings.Replacer
}

// owner is an application's table of users or strategies.
type owner struct {
	Schema string `json:"schema"`
	Table  string `json:"table"`
	ID     string `json:"id"`
	Email  string `json:"email,omitempty"`
	Name   string `json:"name"` // "": the table has no such column
	Type   string `json:"type"` // of the id, as SQL
}

func (o owner) qualified() string { return pgx.Identifier{o.Schema, o.Table}.Sanitize() }

// order is the id as an expression that sorts: texts byte by byte.
func (o owner) order() string {
	if o.key() != ownerkey.Text {
		return quote(o.ID)
	}
	return quote(o.ID) + ` COLLATE "C"`
}

// nameOf is the name column of the table called alias, or NULL.
func (o owner) nameOf(alias string) string {
	if o.Name == "" {
		return "NULL::text"
	}
	return alias + "." + quote(o.Name)
}

func newLayout(schema, logsSchema string, users, strategies owner) *layout {
	l := &layout{Schema: schema, LogsSchema: logsSchema, Users: users, Strategies: strategies}
	l.name()
	return l
}

// name prepares the names that stand in SQL as {logs}, {users.id} and so on.
func (l *layout) name() {
	l.names = strings.NewReplacer(
		"{schema}", quote(l.Schema),
		"{logs}", pgx.Identifier{l.LogsSchema, logsTable}.Sanitize(),
		"{users}", l.Users.qualified(),
		"{users.id}", quote(l.Users.ID),
		"{users.order}", l.Users.order(),
		"{users.email}", quote(l.Users.Email),
		"{users.name}", quote(cmp.Or(l.Users.Name, "name")),
		"{users.type}", l.Users.columnType(),
		"{users.plain}", l.Users.plainType(),
		"{user.key}", l.Users.keyType(),
		"{strategy.key}", l.Strategies.keyType(),
		"{u.name}", l.Users.nameOf("u"),
		"{strategies}", l.Strategies.qualified(),
		"{strategies.id}", quote(l.Strategies.ID),
		"{strategies.order}", l.Strategies.order(),
		"{strategies.name}", quote(l.Strategies.Name),
		"{strategies.type}", l.Strategies.columnType(),
		"{strategies.plain}", l.Strategies.plainType(),
	)
}

// columnType is the type of the column that references the id. Ids are
// compared byte by byte, so the collation that does just that is the fastest.
func (o owner) columnType() string {
	if o.key() != ownerkey.Text {
		return o.Type
	}
	return o.Type + ` COLLATE "C"`
}

// keyType is the bare type of the id.
func (o owner) keyType() string {
	if o.key() == ownerkey.Text {
		return "text"
	}
	return o.Type
}

// plainType is columnType without the length of a varchar.
func (o owner) plainType() string {
	o.Type = o.keyType()
	return o.columnType()
}

// sql fills names into a statement.
func (l *layout) sql(statement string) string { return l.names.Replace(statement) }

// open returns the layout, reading it when it is not known yet.
func (s *Store) open(ctx context.Context) (*layout, error) {
	if l := s.layout.Load(); l != nil {
		return l, nil
	}
	l, err := readLayout(ctx, s.pool, s.options.Schema)
	if err != nil {
		return nil, err
	}
	if err := l.agree(s.options); err != nil {
		return nil, err
	}
	if err := l.standing(ctx, s.pool); err != nil {
		return nil, err
	}
	if err := s.refreshPartitions(ctx, l); err != nil {
		return nil, err
	}
	s.layout.Store(l)
	return l, nil
}

// openUnlimited is open for work that no limit of time of the database is to end.
func (s *Store) openUnlimited(ctx context.Context) (context.Context, *layout, error) {
	ctx = database.WithOwnLimits(ctx)
	l, err := s.open(ctx)
	return ctx, l, err
}

// readLayout reads what the first migration remembered, or errNotMigrated.
func readLayout(ctx context.Context, q querier, schema string) (*layout, error) {
	var raw []byte
	err := q.QueryRow(ctx, "SELECT value FROM "+quote(schema)+".settings WHERE name = 'layout'").Scan(&raw)
	switch code := state(err); {
	case errors.Is(err, pgx.ErrNoRows), code == undefinedTable, code == invalidSchema:
		return nil, errNotMigrated
	case err != nil:
		return nil, wrap("read settings", err)
	}
	l := &layout{Schema: schema}
	if err := json.Unmarshal(raw, l); err != nil {
		return nil, fmt.Errorf("settings.layout: %w", err)
	}
	l.name()
	return l, nil
}

// agree refuses options that differ from what the database was made with.
func (l *layout) agree(o Options) error {
	for _, c := range []struct{ what, given, is string }{
		{"users table", bare(o.Users.Table), l.Users.Table},
		{"users id column", o.Users.ID, l.Users.ID},
		{"users email column", o.Users.Email, l.Users.Email},
		{"users name column", o.Users.Name, l.Users.Name},
		{"strategies table", bare(o.Strategies.Table), l.Strategies.Table},
		{"strategies id column", o.Strategies.ID, l.Strategies.ID},
		{"strategies name column", o.Strategies.Name, l.Strategies.Name},
	} {
		if c.given != "" && c.given != c.is {
			return sandtrail.Errorf(sandtrail.CodeInvalid,
				"%s: the database was migrated with %q, not %q; leave the name out", c.what, c.is, c.given)
		}
	}
	for _, c := range []struct {
		said OwnerTable
		is   owner
	}{{o.Users, l.Users}, {o.Strategies, l.Strategies}} {
		if err := c.is.agreeType(c.said); err != nil {
			return err
		}
	}
	return nil
}

// bare is a table's name without its schema.
func bare(table string) string {
	if _, name, qualified := strings.Cut(table, "."); qualified {
		return name
	}
	return table
}
