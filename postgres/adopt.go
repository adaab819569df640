package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
)

// foreignLogs is a table sandbox_execution_logs that another tool made.
type foreignLogs struct {
	table   string            // as SQL
	columns map[string]string // our column → theirs, as an SQL expression of our type
	missing []string
	keeper  string // schema of the Sandtrail whose table it is; "": another tool's
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

// inspectLogs describes the table that stands where ours will be, nil when
// there is none.
func inspectLogs(ctx context.Context, q querier, l *layout) (*foreignLogs, error) {
	table := l.sql("{logs}")
	_, columns, err := columnsOf(ctx, q, table)
	if err != nil || columns == nil {
		return nil, err
	}
	found := &foreignLogs{table: table, columns: map[string]string{}}
	if found.keeper, err = keeperOf(ctx, q, table); err != nil {
		return nil, err
	}
	for _, ours := range logColumns {
		theirs, ok := columns[modelFields[ours]]
		if !ok {
			theirs, ok = columns[ours]
		}
		if !ok {
			found.missing = append(found.missing, ours)
			continue
		}
		found.columns[ours] = converted(ours, theirs)
	}
	return found, nil
}

// keeperOf finds the schema of the Sandtrail that keeps a table by its default
// partition, "" when none does.
func keeperOf(ctx context.Context, q querier, table string) (schema string, err error) {
	err = q.QueryRow(ctx, `SELECT c.relnamespace::regnamespace::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = to_regclass($1) AND c.relname = 'logs_default'`, table).Scan(&schema)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return schema, wrapf(err, "look at %s", table)
}

// converted is the expression that reads a column of theirs as ours.
func converted(ours string, theirs column) string {
	name := quote(theirs.name)
	switch {
	case ours == "id" && theirs.typ != "uuid":
		return name + "::uuid"
	case ours == "created_at" && strings.Contains(theirs.typ, "without time zone"):
		return "(" + name + " AT TIME ZONE 'UTC')"
	}
	return name
}

// refusal tells what to do about the table.
func (f *foreignLogs) refusal() error {
	if err := f.unfit(); err != nil {
		return err
	}
	return sandtrail.Errorf(sandtrail.CodeConflict,
		"table %s exists already, made by Prisma or another tool: run sandtrail migrate --adopt, which converts it in one transaction and keeps every row",
		f.table)
}

// unfit is why the table cannot be adopted whatever its rows, nil if it can.
func (f *foreignLogs) unfit() error {
	switch {
	case f.keeper != "":
		return sandtrail.Errorf(sandtrail.CodeConflict,
			"table %s is that of a Sandtrail whose schema is %s: give --schema %s to work with it", f.table, f.keeper, f.keeper)
	case len(f.missing) == 0:
		return nil
	}
	return sandtrail.Errorf(sandtrail.CodeConflict,
		"table %s exists but is not an execution log (no column for %s): rename it with ALTER TABLE %s RENAME TO …, then run sandtrail migrate again",
		f.table, strings.Join(f.missing, ", "), f.table)
}

// adoptionRules are what rows must fulfil; {column} stands for theirs.
var adoptionRules = []struct{ broken, want, fix string }{
	{
		"{id}::text !~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'", "an id that is a UUID",
		"SET {id} = gen_random_uuid()",
	},
	{"{execution_type} NOT IN ('VALIDATION', 'TERMINAL')", "an execution type of VALIDATION or TERMINAL", "SET {execution_type} = 'VALIDATION'"},
	{"{execution_time} < 0", "an execution time of at least 0", "SET {execution_time} = 0"},
	{"{memory_used} < 0", "a memory use of at least 0", "SET {memory_used} = NULL"},
	{"NOT ({cpu_usage} >= 0 AND {cpu_usage} < 'Infinity')", "a finite CPU use of at least 0", "SET {cpu_usage} = NULL"},
	{"{error_count} < 0", "an error count of at least 0", "SET {error_count} = 0"},
	{"{warning_count} < 0", "a warning count of at least 0", "SET {warning_count} = 0"},
	{"NOT isfinite({created_at})", "a finite time", "SET {created_at} = now()"},
}

// check refuses the adoption when rows would be lost by it, with their count
// and the statement that mends them.
func (f *foreignLogs) check(ctx context.Context, tx pgx.Tx) error {
	if err := f.unfit(); err != nil {
		return err
	}
	var pairs []string
	for ours, theirs := range f.columns {
		pairs = append(pairs, "{"+ours+"}", strings.TrimSuffix(theirs, "::uuid"))
	}
	names := strings.NewReplacer(pairs...)
	for _, rule := range adoptionRules {
		broken := names.Replace(rule.broken)
		var n int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM "+f.table+" WHERE "+broken).Scan(&n); err != nil {
			return wrapf(err, "adopt %s", f.table)
		}
		if n > 0 {
			return sandtrail.Errorf(sandtrail.CodeConflict,
				"table %s: %d rows lack %s; nothing was changed; mend them, for example with UPDATE %s %s WHERE %s, then run sandtrail migrate --adopt again",
				f.table, n, rule.want, f.table, names.Replace(rule.fix), broken)
		}
	}
	return nil
}

// aside is the statement that moves the table out of the way.
func (f *foreignLogs) aside(l *layout) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("ALTER TABLE %s SET SCHEMA %s", f.table, quote(l.Schema))
}

// adopt moves every row of the table set aside into ours and drops it.
func (f *foreignLogs) adopt(ctx context.Context, tx pgx.Tx, l *layout) error {
	old := pgx.Identifier{l.Schema, logsTable}.Sanitize()
	rows, err := tx.Query(ctx, fmt.Sprintf("SELECT DISTINCT date_trunc('week', %s AT TIME ZONE 'UTC') FROM %s ORDER BY 1", f.columns["created_at"], old))
	if err != nil {
		return wrapf(err, "adopt %s", f.table)
	}
	weeks, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return wrapf(err, "adopt %s", f.table)
	}
	for _, week := range slices.DeleteFunc(weeks, isOutlandish) {
		if err := createPartition(ctx, tx, l, byWeek.around(week)); err != nil {
			return err
		}
	}
	theirs := make([]string, len(logColumns))
	for i, ours := range logColumns {
		theirs[i] = f.columns[ours]
	}
	for _, statement := range []string{
		fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s", l.sql("{logs}"), strings.Join(logColumns, ", "), strings.Join(theirs, ", "), old),
		"DROP TABLE " + old,
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return wrapf(err, "adopt %s", f.table)
		}
	}
	return nil
}
