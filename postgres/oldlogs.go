package postgres

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/remedy"
)

// oldLogs is a table of executions that another tool made.
type oldLogs struct {
	oid          uint32
	schema, name string
	kind         string // pg_class.relkind
	columns      []oldColumn
	fields       map[string]oldColumn   // our column → theirs
	missing      []string               // columns of ours that it lacks
	keeper       string                 // schema of the Sandtrail whose table it is; "": another tool's
	owners       map[string]*OwnerTable // that the foreign keys of our columns name
}

func (o *oldLogs) table() string { return pgx.Identifier{o.schema, o.name}.Sanitize() }

// oldColumn is a column of such a table.
type oldColumn struct {
	number    int16
	name      string
	typ       string // with its modifier
	kind      string // what conversions distinguish: the type's name, "enum" or "TYPE[]"
	notNull   bool
	byDefault *string // as SQL
	computed  bool    // generated, identity or from a sequence
}

// modelFields are the reference's field names by our column names; a model
// printed without @map makes columns of these names.
var modelFields = map[string]string{
	"id": "id", "user_id": "userId", "strategy_id": "strategyId", "execution_type": "executionType",
	"success": "success", "execution_time": "executionTime", "memory_used": "memoryUsed",
	"cpu_usage": "cpuUsage", "timed_out": "timedOut", "error_count": "errorCount",
	"warning_count": "warningCount", "classes_found": "classesFound", "metadata": "metadata",
	"created_at": "createdAt",
}

// findOldLogs looks for a table to adopt, nil when there is none: the one that
// was named, the one that stands where ours will be, or one that looks like
// it, which then has to be named.
func findOldLogs(ctx context.Context, q querier, o Options, current string) (*oldLogs, error) {
	name := o.Logs.Table
	if name == "" {
		name = current + "." + logsTable
	}
	oid, err := relationOf(ctx, q, name)
	if err != nil {
		return nil, err
	}
	switch {
	case oid != 0:
		old, err := readOldLogs(ctx, q, oid, o.Logs.Columns)
		if err == nil {
			err = old.agree(o.Logs)
		}
		return old, err
	case o.Logs.Table == "":
		return nil, refuseLookalikes(ctx, q, o.Schema)
	case bare(o.Logs.Table) != logsTable && o.Logs.At != "":
		return nil, contradicts(o.Logs.At, `there is no table %s; run prisma migrate deploy or dev first, or give the model @@map("%s"), which is Sandtrail's`,
			quoteTable(o.Logs.Table), logsTable)
	case bare(o.Logs.Table) != logsTable:
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "there is no table %s to adopt: look at the name", quoteTable(o.Logs.Table))
	}
	return nil, nil
}

// relationOf is the oid of a table, 0 when there is none.
func relationOf(ctx context.Context, q querier, name string) (oid uint32, err error) {
	err = q.QueryRow(ctx, "SELECT coalesce(to_regclass($1)::oid, 0)", quoteTable(name)).Scan(&oid)
	return oid, wrapf(err, "look for table %s", name)
}

// refuseLookalikes stops where executions may be kept in a table of another
// name.
func refuseLookalikes(ctx context.Context, q querier, own string) error {
	found, err := scanAll(ctx, q, pgx.RowTo[string], `
		SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('information_schema', $1) AND n.nspname !~ '^pg_'
			AND (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
				AND replace(lower(a.attname), '_', '') IN ('userid', 'strategyid', 'executiontype', 'success', 'executiontime')) = 5
			AND NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class d ON d.oid = i.inhrelid WHERE i.inhparent = c.oid AND d.relname = 'logs_default')
		ORDER BY 1`, own)
	if err != nil || len(found) == 0 {
		return wrap("look for executions", err)
	}
	refusal := sandtrail.Errorf(sandtrail.CodeConflict,
		"executions seem to be kept already, in a table of another name (%s): name the one to adopt, or %s to begin with an empty log",
		strings.Join(found, ", "), logsTable)
	for _, name := range found {
		refusal.With(migrateWith("takes over its rows", sandtrail.Option{Name: "adopt"}, sandtrail.Option{Name: "log-table", Value: name}))
	}
	return refusal.With(migrateWith("begins with an empty log", sandtrail.Option{Name: "log-table", Value: logsTable}))
}

// migrateWith is a migration with options.
func migrateWith(note string, options ...sandtrail.Option) sandtrail.Remedy {
	return sandtrail.Remedy{Act: remedy.Migrate, Options: options, Note: note}
}

// readOldLogs describes a table.
func readOldLogs(ctx context.Context, q querier, oid uint32, names map[string]string) (*oldLogs, error) {
	o := &oldLogs{oid: oid, fields: map[string]oldColumn{}, owners: map[string]*OwnerTable{}}
	err := q.QueryRow(ctx, `SELECT n.nspname, c.relname, c.relkind::text, coalesce((
			SELECT d.relnamespace::regnamespace::text FROM pg_inherits i JOIN pg_class d ON d.oid = i.inhrelid
			WHERE i.inhparent = c.oid AND d.relname = 'logs_default' LIMIT 1), '')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1`, oid).Scan(&o.schema, &o.name, &o.kind, &o.keeper)
	if err != nil {
		return nil, wrap("inspect the table of executions", err)
	}
	o.columns, err = scanAll(ctx, q, scanOldColumn, `
		SELECT a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
			CASE WHEN t.typtype = 'e' THEN 'enum' WHEN e.oid IS NOT NULL THEN e.typname || '[]' ELSE t.typname END,
			a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
			coalesce(a.attgenerated <> '' OR a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false)
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
			LEFT JOIN pg_type e ON e.typarray = t.oid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, oid)
	if err != nil {
		return nil, wrapf(err, "inspect table %s", o.table())
	}
	o.match(names)
	for _, ours := range []string{"user_id", "strategy_id"} {
		if o.owners[ours], err = o.owner(ctx, q, ours); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func scanOldColumn(row pgx.CollectableRow) (c oldColumn, err error) {
	err = row.Scan(&c.number, &c.name, &c.typ, &c.kind, &c.notNull, &c.byDefault, &c.computed)
	return c, err
}

// match finds our columns among theirs: by the names given, by the reference's
// field names, by our own.
func (o *oldLogs) match(names map[string]string) {
	for _, ours := range logColumns {
		found := false
		for _, name := range []string{names[ours], modelFields[ours], ours} {
			i := slices.IndexFunc(o.columns, func(c oldColumn) bool { return c.name == name })
			if i >= 0 && !found {
				o.fields[ours], found = o.columns[i], true
			}
		}
		if !found {
			o.missing = append(o.missing, ours)
		}
	}
}

// extra are the columns that are none of ours.
func (o *oldLogs) extra() []oldColumn {
	return slices.DeleteFunc(slices.Clone(o.columns), func(c oldColumn) bool {
		for _, mine := range o.fields {
			if mine.number == c.number {
				return true
			}
		}
		return false
	})
}

// owner is the table that the foreign key of a column names, nil without one.
func (o *oldLogs) owner(ctx context.Context, q querier, ours string) (*OwnerTable, error) {
	found, err := scanAll(ctx, q, pgx.RowToStructByPos[struct{ Schema, Table, ID string }], `
		SELECT n.nspname, c.relname, a.attname FROM pg_constraint f
		JOIN pg_class c ON c.oid = f.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = f.confkey[1]
		WHERE f.conrelid = $1 AND f.contype = 'f' AND f.conkey = ARRAY[$2::smallint] LIMIT 1`, o.oid, o.fields[ours].number)
	if err != nil || len(found) == 0 {
		return nil, wrapf(err, "look at the foreign keys of %s", o.table())
	}
	return &OwnerTable{Table: found[0].Schema + "." + found[0].Table, ID: found[0].ID}, nil
}

// refusal tells what to do about the table.
func (o *oldLogs) refusal() error {
	if err := o.unfit(); err != nil {
		return err
	}
	options := []sandtrail.Option{{Name: "adopt"}}
	if o.name != logsTable {
		options = append(options, sandtrail.Option{Name: "log-table", Value: o.schema + "." + o.name})
	}
	return sandtrail.Errorf(sandtrail.CodeConflict,
		"table %s exists already, made by Prisma or another tool: migrate so that it is adopted, with the other options as before", o.table()).With(
		migrateWith("tells what would become of it", append(options, sandtrail.Option{Name: "dry-run"})...),
		migrateWith("takes over every row in one transaction and keeps the old table aside", options...))
}

// unfit is why the table cannot be adopted whatever it holds, nil if it can.
func (o *oldLogs) unfit() error {
	switch {
	case o.keeper != "":
		return sandtrail.Errorf(sandtrail.CodeConflict,
			"table %s is that of a Sandtrail whose schema is %s: open the store with the schema %s to work with it", o.table(), o.keeper, o.keeper)
	case !slices.Contains([]string{"r", "p"}, o.kind):
		return sandtrail.Errorf(sandtrail.CodeConflict, "%s is not a table: name the table that it reads as the one to adopt", o.table())
	case len(o.missing) == 0:
		return nil
	}
	return sandtrail.Errorf(sandtrail.CodeConflict,
		"table %s exists but is not an execution log (no column for %s): rename the columns to those names or the reference's; "+
			"where it is something else, rename the table with ALTER TABLE %s RENAME TO …, then migrate again",
		o.table(), strings.Join(o.missing, ", "), o.table())
}
