package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// adoption takes over a table of executions that another tool made. It looks
// at everything first and names every obstacle.
type adoption struct {
	l         *layout
	old       *oldLogs
	options   Options
	rows      int64
	columns   []string // to be added to ours, as SQL
	names     []string // of the columns of ours that are filled,
	values    []string // and with what
	carried   []definition
	view      string   // that the old client goes on with, as SQL; "" for none
	plan      []string // what is told
	obstacles []string
}

// definition is something that hangs on the table, as SQL that makes it anew.
type definition struct{ what, sql, drop string }

// errPlanned undoes what a plan has tried.
var errPlanned = errors.New("planned")

// PlanAdoption tells what Migrate with Options.Adopt would do, one thing a
// line, having tried all of it but the copying in a transaction that it undoes.
// What cannot be kept is an error of CodeConflict that names each obstacle and
// the way round it. It is empty where there is nothing to adopt.
func (s *Store) PlanAdoption(ctx context.Context) (plan []string, err error) {
	ctx = database.WithOwnLimits(ctx)
	o := s.options
	o.Report = nil
	err = s.withShortLocks(ctx, cleanupTries, func(tx pgx.Tx) error {
		l, remembered, err := o.destination(ctx, tx)
		if err != nil || remembered || l.old == nil {
			return err
		}
		first, err := embedded(l)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, l.sql(bootstrap)); err != nil {
			return err
		}
		a := &adoption{l: l, old: l.old, options: o}
		if err := a.run(ctx, tx, first[0].SQL, false); err != nil {
			return err
		}
		plan = a.plan
		return errPlanned
	})
	if errors.Is(err, errPlanned) {
		err = nil
	}
	return plan, wrap("plan the adoption", err)
}

// run does everything in a transaction; copying rows is what a plan leaves out.
func (a *adoption) run(ctx context.Context, tx pgx.Tx, first string, copying bool) error {
	if err := a.old.unfit(); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "LOCK TABLE "+a.old.table()+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		return err
	}
	for _, step := range []func(context.Context, pgx.Tx) error{a.mapColumns, a.dependents, a.refuse} {
		if err := step(ctx, tx); err != nil {
			return err
		}
	}
	if err := a.set(ctx, tx, a.rename("to")); err != nil {
		return err
	}
	if err := a.definitions(ctx, tx); err != nil {
		return err
	}
	if err := a.set(ctx, tx, append(a.aside(), first)); err != nil {
		return err
	}
	if err := a.fill(ctx, tx, copying); err != nil {
		return err
	}
	if err := a.carry(ctx, tx); err != nil {
		return err
	}
	if err := a.refuse(ctx, tx); err != nil {
		return err
	}
	return a.finish(ctx, tx)
}

func (a *adoption) set(ctx context.Context, tx pgx.Tx, statements []string) error {
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return wrapf(err, "adopt %s", a.old.table())
		}
	}
	return nil
}

func (a *adoption) tell(format string, args ...any) {
	a.plan = append(a.plan, fmt.Sprintf(format, args...))
}

func (a *adoption) obstacle(format string, args ...any) {
	a.obstacles = append(a.obstacles, fmt.Sprintf(format, args...))
}

// refuse ends an adoption that cannot keep everything.
func (a *adoption) refuse(context.Context, pgx.Tx) error {
	if len(a.obstacles) == 0 {
		return nil
	}
	return sandtrail.Errorf(sandtrail.CodeConflict, "table %s cannot be adopted as it is; nothing was changed:\n  - %s\nthen adopt it again",
		a.old.table(), strings.Join(a.obstacles, "\n  - ")).With(migrateWith("", sandtrail.Option{Name: "adopt"}))
}

// mapColumns decides what becomes of each column, and looks at every row.
func (a *adoption) mapColumns(ctx context.Context, tx pgx.Tx) error {
	var rules []rowRule
	for _, ours := range logColumns {
		c := a.old.fields[ours]
		v, ok := a.l.convert(ours, c)
		if !ok {
			a.obstacle("%s", a.l.mistyped(a.old, ours, c))
			continue
		}
		names := strings.NewReplacer("{c}", quote(c.name), "{t}", a.old.table())
		for _, r := range v.rules {
			rules = append(rules, rowRule{names.Replace(r.broken), r.want, names.Replace(r.fix)})
		}
		a.names, a.values = append(a.names, ours), append(a.values, v.expression)
		if note := v.note; c.name != ours || note != "" {
			if note != "" {
				note = ", " + note
			}
			a.tell("column %s (%s) becomes %s%s", quote(c.name), c.typ, ours, note)
		}
	}
	rules = append(rules, a.mapExtra()...)
	if len(a.obstacles) > 0 {
		return nil // the rules may not fit the types
	}
	return a.count(ctx, tx, rules)
}

// count counts the rows, and those that break a rule.
func (a *adoption) count(ctx context.Context, tx pgx.Tx, rules []rowRule) error {
	if _, err := tx.Exec(ctx, isObject); err != nil {
		return err
	}
	counts := []string{"count(*)"}
	for _, r := range rules {
		counts = append(counts, "count(*) FILTER (WHERE "+r.broken+")")
	}
	found := make([]int64, len(counts))
	into := make([]any, len(counts))
	for i := range found {
		into[i] = &found[i]
	}
	if err := tx.QueryRow(ctx, "SELECT "+strings.Join(counts, ", ")+" FROM "+a.old.table()).Scan(into...); err != nil {
		return wrapf(err, "look at the rows of %s", a.old.table())
	}
	a.rows = found[0]
	for i, r := range rules {
		if n := found[i+1]; n > 0 {
			a.obstacle("%d rows lack %s; mend them, for example with %s WHERE %s", n, r.want, r.fix, r.broken)
		}
	}
	return nil
}

// isObject makes a function that tells JSON objects from other texts.
const isObject = `CREATE OR REPLACE FUNCTION pg_temp.sandtrail_is_object(t text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN RETURN jsonb_typeof(t::jsonb) = 'object'; EXCEPTION WHEN others THEN RETURN false; END $$`

// mapExtra decides about the columns that are none of ours.
func (a *adoption) mapExtra() (rules []rowRule) {
	extra := a.old.extra()
	if a.options.ExtraColumns == "metadata" && len(extra) > 0 {
		return a.intoMetadata(extra)
	}
	for _, c := range extra {
		name := quote(c.name)
		switch {
		case slices.Contains(logColumns, c.name):
			a.obstacle("column %s has the name of one of Sandtrail's; ALTER TABLE %s RENAME COLUMN %s TO …, or --extra-columns metadata", name, a.old.table(), name)
		case c.computed:
			a.obstacle("column %s computes its values, which a column of the log cannot; --extra-columns metadata keeps them as they are, "+
				"or ALTER TABLE %s ALTER COLUMN %s DROP EXPRESSION, ALTER COLUMN %s DROP DEFAULT", name, a.old.table(), name, name)
		case c.notNull && c.byDefault == nil:
			a.obstacle("column %s is NOT NULL without a default, which every other writer's records lack; --extra-columns metadata keeps its values there, "+
				"or ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", name, a.old.table(), name)
		default:
			a.keep(c)
		}
	}
	return nil
}

// keep makes a column of theirs one of the log's.
func (a *adoption) keep(c oldColumn) {
	column := quote(c.name) + " " + c.typ
	if c.byDefault != nil {
		column += " DEFAULT " + *c.byDefault
	}
	if c.notNull {
		column += " NOT NULL"
	}
	a.columns = append(a.columns, column)
	a.names, a.values = append(a.names, quote(c.name)), append(a.values, quote(c.name))
	a.tell("column %s (%s) is kept as a column of the log", quote(c.name), c.typ)
}

// intoMetadata puts the values of columns into the metadata, under their names.
func (a *adoption) intoMetadata(extra []oldColumn) (rules []rowRule) {
	at := slices.Index(a.names, "metadata")
	if at < 0 {
		return nil
	}
	metadata := a.values[at]
	var names, pairs []string
	for _, c := range extra {
		names, pairs = append(names, quote(c.name)), append(pairs, literal(c.name)+", "+quote(c.name))
		rules = append(rules, rowRule{
			quote(c.name) + " IS NOT NULL AND CASE WHEN pg_temp.sandtrail_is_object(" + metadata + ") THEN (" + metadata + ")::jsonb ? " + literal(c.name) + " ELSE false END",
			"room for " + quote(c.name) + " in their metadata, which has that key", "ALTER TABLE " + a.old.table() + " RENAME COLUMN " + quote(c.name) + " TO …; the rows are those",
		})
		a.tell("column %s (%s) goes into the metadata", quote(c.name), c.typ)
	}
	a.values[at] = fmt.Sprintf(`CASE WHEN num_nonnulls(%s) = 0 THEN %[2]s ELSE (
		CASE WHEN %[2]s IS NULL OR %[2]s = '' THEN '{}' WHEN pg_temp.sandtrail_is_object(%[2]s) THEN (%[2]s)::jsonb ELSE jsonb_build_object('text', %[2]s) END
		|| jsonb_strip_nulls(jsonb_build_object(%[3]s)))::text END`, strings.Join(names, ", "), metadata, strings.Join(pairs, ", "))
	return rules
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// rename gives the old table and its columns our names ("to"), so that the
// server spells what hangs on it in them, or their own again ("from").
func (a *adoption) rename(direction string) (statements []string) {
	table := a.old.table()
	if direction == "from" {
		table = a.kept()
	} else if a.old.name != logsTable {
		statements = append(statements, "ALTER TABLE "+table+" RENAME TO "+quote(logsTable))
		table = a.l.sql("{logs}")
	}
	for _, ours := range logColumns {
		from, to := a.old.fields[ours].name, ours
		if direction == "from" {
			from, to = to, from
		}
		if from != to {
			statements = append(statements, fmt.Sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", table, quote(from), quote(to)))
		}
	}
	return statements
}

// kept is the table's place until it is dropped.
func (a *adoption) kept() string {
	return pgx.Identifier{a.l.Schema, keptName(a.old.name)}.Sanitize()
}

func keptName(name string) string { return "adopted_" + name[:min(len(name), 55)] }

// aside are the statements that move the table out of the way. Its triggers
// rest: what they do is done by those of the new table.
func (a *adoption) aside() []string {
	moved := pgx.Identifier{a.l.Schema, logsTable}.Sanitize()
	return append(
		[]string{
			fmt.Sprintf("ALTER TABLE %s SET SCHEMA %s", a.l.sql("{logs}"), quote(a.l.Schema)),
			fmt.Sprintf("ALTER TABLE %s RENAME TO %s", moved, quote(keptName(a.old.name))),
			fmt.Sprintf("ALTER TABLE %s DISABLE TRIGGER USER", a.kept()),
		}, a.rename("from")...)
}

// fill adds the columns that are kept, makes partitions and copies the rows.
func (a *adoption) fill(ctx context.Context, tx pgx.Tx, copying bool) error {
	a.tell("%d rows are copied", a.rows)
	for _, column := range a.columns {
		if _, err := tx.Exec(ctx, a.l.sql("ALTER TABLE {logs} ADD COLUMN "+column)); err != nil {
			return wrapf(err, "keep column %s", column)
		}
	}
	if !copying {
		return nil
	}
	at := quote(a.old.fields["created_at"].name)
	if a.old.fields["created_at"].kind == "timestamptz" {
		at += " AT TIME ZONE 'UTC'"
	}
	weeks, err := scanAll(ctx, tx, pgx.RowTo[time.Time], fmt.Sprintf("SELECT DISTINCT date_trunc('week', %s) FROM %s ORDER BY 1", at, a.kept()))
	if err != nil {
		return wrapf(err, "adopt %s", a.old.table())
	}
	for _, week := range slices.DeleteFunc(weeks, isOutlandish) {
		if err := createPartition(ctx, tx, a.l, byWeek.around(week)); err != nil {
			return err
		}
	}
	return a.set(ctx, tx, []string{a.l.sql("INSERT INTO {logs} (") + strings.Join(a.names, ", ") + ") SELECT " + strings.Join(a.values, ", ") + " FROM " + a.kept()})
}

// finish remembers where the old table is.
func (a *adoption) finish(ctx context.Context, tx pgx.Tx) error {
	a.tell("the old table is kept as %s until you drop it", a.kept())
	value, err := json.Marshal(adopted{Table: a.kept(), View: a.view, Columns: a.keptColumns()})
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, a.l.sql("INSERT INTO {schema}.settings (name, value) VALUES ('adopted', $1)"), value); err != nil {
		return wrapf(err, "adopt %s", a.old.table())
	}
	if a.options.Report != nil {
		for _, line := range a.plan {
			a.options.Report(line)
		}
	}
	return nil
}
