package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
)

// survey finds out where things are, or will be, in a database that is not
// migrated yet, and refuses one that does not fit.
func survey(ctx context.Context, q querier, o Options) (*layout, error) {
	var logsSchema *string
	if err := q.QueryRow(ctx, "SELECT current_schema()").Scan(&logsSchema); err != nil {
		return nil, wrap("survey database", err)
	}
	if logsSchema == nil {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "no schema of the search_path exists; create one, or name one in the URL: ?search_path=app")
	}
	old, err := findOldLogs(ctx, q, o, *logsSchema)
	if err != nil {
		return nil, err
	}
	if old != nil {
		*logsSchema = old.schema
	}
	users, err := surveyOwner(ctx, q, *logsSchema, "users", withDefaults(old.named("user_id", o.Users), "users", "email"))
	if err == nil {
		err = old.agreeOwner("user_id", users, o.Users)
	}
	if err != nil {
		return nil, err
	}
	strategies, err := surveyOwner(ctx, q, *logsSchema, "strategies", withDefaults(old.named("strategy_id", o.Strategies), "strategies", ""))
	if err == nil {
		err = old.agreeOwner("strategy_id", strategies, o.Strategies)
	}
	if err != nil {
		return nil, err
	}
	l := newLayout(o.Schema, *logsSchema, users, strategies)
	l.old = old
	return l, nil
}

// named completes what was said of an owner's table by the foreign key of the
// old table of executions.
func (o *oldLogs) named(ours string, said OwnerTable) OwnerTable {
	if o == nil || said.Table != "" || o.owners[ours] == nil {
		return said
	}
	said.Table = o.owners[ours].Table
	said.ID = cmp.Or(said.ID, o.owners[ours].ID)
	return said
}

func withDefaults(t OwnerTable, table, email string) OwnerTable {
	t.chosen = t.Table != ""
	if !t.chosen {
		t.Table = table
	}
	if t.ID == "" {
		t.ID = "id"
	}
	if t.Email == "" {
		t.Email = email
	}
	return t
}

// column is one column of a table and whether it alone is a key.
type column struct {
	name, typ string
	unique    bool
}

// surveyOwner describes the application's table, or the one to be made.
func surveyOwner(ctx context.Context, q querier, current, what string, t OwnerTable) (owner, error) {
	found := owner{Schema: current, Table: bare(t.Table), ID: t.ID, Email: t.Email, Name: t.Name, Type: "text"}
	if schema, _, qualified := strings.Cut(t.Table, "."); qualified {
		found.Schema = schema
	}
	schema, columns, err := columnsOf(ctx, q, quoteTable(t.Table))
	if err != nil {
		return owner{}, err
	}
	if !t.chosen {
		if err := refuseCandidates(ctx, q, found, what, columns != nil); err != nil {
			return owner{}, err
		}
	}
	if columns == nil && t.At != "" {
		return owner{}, contradicts(t.At, "the database has no table %s; run prisma migrate deploy or dev first", quoteTable(t.Table))
	}
	if columns == nil { // to be made
		if found.Name == "" {
			found.Name = "name"
		}
		return found, nil
	}
	found.Schema = schema
	return found, found.check(what, t, columns)
}

// refuseCandidates stops where the owners may be in a table of another name:
// whose they are is read, not guessed.
func refuseCandidates(ctx context.Context, q querier, o owner, what string, exists bool) error {
	names := map[string][]string{"users": {"user", "users"}, "strategies": {"strategy", "strategies"}}[what]
	found, err := scanAll(ctx, q, pgx.RowTo[string], `
		SELECT CASE n.nspname WHEN $1 THEN '' ELSE n.nspname || '.' END || c.relname
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND lower(c.relname) = ANY ($2) AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
			AND (n.nspname, c.relname) <> ($1, $3) AND (NOT $4 OR n.nspname = $1) ORDER BY 1`, o.Schema, names, o.Table, exists)
	if err != nil || len(found) == 0 {
		return wrapf(err, "look for %s", what)
	}
	told := "makes a new one"
	if exists {
		told = "is the one of that name"
	}
	refusal := sandtrail.Errorf(sandtrail.CodeInvalid, "which table holds the %s is not clear (%s): name it, with the other options as before", what, strings.Join(append(found, o.Table), ", "))
	for _, name := range found {
		refusal.With(migrateWith("", sandtrail.Option{Name: what + "-table", Value: name}))
	}
	return refusal.With(migrateWith(told, sandtrail.Option{Name: what + "-table", Value: o.Table}))
}

// keyTypes are the types of id that executions can reference.
var keyTypes = []string{"text", "uuid", "smallint", "integer", "bigint"}

// check completes a description by what the table has, and says what to do
// about a table that cannot be referenced.
func (o *owner) check(what string, t OwnerTable, columns map[string]column) error {
	refuse := func(format string, args ...any) error {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "table %s: %s", o.qualified(), fmt.Sprintf(format, args...))
	}
	for _, said := range []string{t.ID, t.Email, t.Name} {
		if _, ok := columns[said]; t.At != "" && said != "" && !ok {
			return contradicts(t.At, "table %s has no column %q (there are %s)", o.qualified(), said, namesOf(columns))
		}
	}
	id, ok := columns[t.ID]
	if !ok {
		return refuse("no column %q; name the key column with --%s-id, or the right table with --%s-table", t.ID, what, what)
	}
	if !slices.Contains(keyTypes, id.typ) && !strings.HasPrefix(id.typ, "character varying") {
		return refuse("column %q is %s, but executions can reference text, varchar, uuid and integer keys only; add such a column, unique, and name it with --%s-id",
			t.ID, id.typ, what)
	}
	if !id.unique {
		return refuse("column %q is neither primary key nor unique, so that executions cannot reference it; run ALTER TABLE %s ADD UNIQUE (%s)",
			t.ID, o.qualified(), quote(t.ID))
	}
	o.Type = id.typ
	if err := o.agreeType(t); err != nil {
		return err
	}
	if _, ok := columns[t.Email]; t.Email != "" && !ok {
		return refuse("no column %q; name the column of the address with --%s-email (there are %s)", t.Email, what, namesOf(columns))
	}
	if t.Name == "" { // the default is used where it exists
		t.Name = "name"
		if _, ok := columns[t.Name]; !ok && what == "users" {
			return nil
		}
	}
	if _, ok := columns[t.Name]; !ok {
		return refuse("no column %q; name the column of the name with --%s-name (there are %s)", t.Name, what, namesOf(columns))
	}
	o.Name = t.Name
	return nil
}

func namesOf(columns map[string]column) string {
	return strings.Join(slices.Sorted(maps.Keys(columns)), ", ")
}

// columnsOf returns a table's schema and columns, nil when it does not exist.
func columnsOf(ctx context.Context, q querier, table string) (schema string, columns map[string]column, err error) {
	err = q.QueryRow(ctx, `SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = to_regclass($1)`, table).Scan(&schema)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, wrapf(err, "inspect table %s", table)
	}
	rows, err := q.Query(ctx, `
		SELECT a.attname, format_type(a.atttypid, a.atttypmod), EXISTS (
			SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indimmediate AND i.indisvalid
				AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
		FROM pg_attribute a
		WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`, table)
	if err != nil {
		return "", nil, wrapf(err, "inspect table %s", table)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) {
		err = row.Scan(&c.name, &c.typ, &c.unique)
		return c, err
	})
	columns = make(map[string]column, len(list))
	for _, c := range list {
		columns[c.name] = c
	}
	return schema, columns, wrapf(err, "inspect table %s", table)
}
