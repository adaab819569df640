package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sandtrail/sandtrail/rollup"
)

// A question is answered from roll-ups, from changes that are not in
// them yet, and from the records around edges that cut through a slot. One
// statement reads all three, so that they are of one snapshot.
type question struct {
	branches []string
	args     []any
	anew     bool // the best plan depends on whom it is about
}

// What a row of a question's statement is.
const (
	isDay     = 0
	isEntry   = 1
	isRecord  = 2
	isSubject = 3
)

const (
	noDay    = `''::text, 0, NULL::bytea, NULL::bytea`
	noChange = `0::smallint, false, '', '', 'epoch'::timestamptz, false, false, 0, NULL::integer, NULL::float8, 0, 0`
	// changeOf selects a change after its sign and reason, and a
	// record as well.
	changeOf = `user_id::text, strategy_id::text, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
		error_count, warning_count`
	entryColumns  = `sign, reason IS NOT DISTINCT FROM 'retention', ` + changeOf
	recordColumns = `1::smallint, false, ` + changeOf
)

// read adds a branch with the conditions that f adds.
func (q *question) read(kind int, selected, table string, f func(c *conditions)) {
	c := conditions{args: q.args}
	f(&c)
	q.args = c.args
	q.branches = append(q.branches, fmt.Sprintf("SELECT %d::smallint, %s FROM %s %s", kind, selected, table, c.where()))
}

// total asks for the total of a user or a strategy, and whether it exists.
func (q *question) total(subject rollup.Subject) {
	q.read(isDay, "key, 0, cell, NULL::bytea, "+noChange, "{schema}.totals", func(c *conditions) {
		c.add("scope = $", int16(subject.Scope))
		c.add("key = $", subject.ID)
	})
	q.read(isEntry, noDay+", "+entryColumns, pendingChanges, func(c *conditions) { c.subject(subject) })
	table, id := "{users}", "{users.id}"
	if subject.Scope == rollup.Strategy {
		table, id = "{strategies}", "{strategies.id}"
	}
	q.read(isSubject, noDay+", "+noChange, table, func(c *conditions) { c.add(id+" = $", subject.ID) })
}

// plan asks for what a plan needs of a user and a strategy, of either, or of
// all.
func (q *question) plan(plan rollup.Plan, userID, strategyID string) {
	q.anew = userID != "" && strategyID != "" // long stretches of records, by either index
	subject := rollup.SubjectOf(userID, strategyID)
	q.days(plan, subject.Scope, &subject.ID)
	q.read(isEntry, noDay+", "+entryColumns, pendingChanges, func(c *conditions) {
		c.owners(userID, strategyID)
		c.span(days(plan))
	})
	q.records(plan, userID, strategyID)
}

// planAll asks for what a plan needs of every user or every strategy.
func (q *question) planAll(plan rollup.Plan, scope rollup.Scope) {
	q.days(plan, scope, nil)
	q.read(isEntry, noDay+", "+entryColumns, pendingChanges, func(c *conditions) { c.span(days(plan)) })
	q.records(plan, "", "")
}

// days is the span of the days that a plan reads.
func days(plan rollup.Plan) span { return span{plan.First.Time(), (plan.Last + 1).Time()} }

func (q *question) days(plan rollup.Plan, scope rollup.Scope, key *string) {
	slots := "NULL::bytea"
	if len(plan.SlotDays) > 0 {
		list := make([]string, len(plan.SlotDays))
		for i, day := range plan.SlotDays {
			list[i] = fmt.Sprint(int32(day))
		}
		slots = "CASE WHEN day IN (" + strings.Join(list, ", ") + ") THEN slots END"
	}
	q.read(isDay, "key, day, summary, "+slots+", "+noChange, "{schema}.rollups", func(c *conditions) {
		c.add("scope = $", int16(scope))
		if key != nil {
			c.add("key = $", *key)
		}
		c.add("day BETWEEN $ AND $", int32(plan.First), int32(plan.Last))
	})
}

// fewRanges is how many ranges of records are read by a branch each, which
// the planner meets with an index scan each. More come only from zones whose
// days begin within a quarter of an hour, long ago.
const fewRanges = 4

func (q *question) records(plan rollup.Plan, userID, strategyID string) {
	if len(plan.Raw) <= fewRanges {
		for _, r := range plan.Raw {
			q.read(isRecord, noDay+", "+recordColumns, "{logs}", func(c *conditions) {
				c.owners(userID, strategyID)
				c.span(span{r.From, r.To})
				c.weeks(span{r.From, r.To})
			})
		}
		return
	}
	q.read(isRecord, noDay+", "+recordColumns, "{logs}", func(c *conditions) {
		c.owners(userID, strategyID)
		all := span{plan.Raw[0].From, plan.Raw[len(plan.Raw)-1].To}
		c.span(all)
		c.weeks(all)
		from, to := make([]time.Time, len(plan.Raw)), make([]time.Time, len(plan.Raw))
		for i, r := range plan.Raw {
			from[i], to[i] = r.From, r.To
		}
		c.add(`EXISTS (SELECT FROM unnest($::timestamptz[], $::timestamptz[]) raw (since, until)
			WHERE created_at >= since AND created_at < until)`, from, to)
	})
}

// subject restricts to the executions that count for a subject.
func (c *conditions) subject(subject rollup.Subject) {
	switch subject.Scope {
	case rollup.User:
		c.owners(subject.ID, "")
	case rollup.Strategy:
		c.owners("", subject.ID)
	}
}

// answerer takes what a question's statement yields.
type answerer struct {
	day     func(key string, day rollup.Date, summary, slots []byte) error
	entry   func(rollup.Change)
	record  func(rollup.Change)
	subject func()
}

// ask runs the question's statement.
func (q *question) ask(ctx context.Context, s *Store, l *layout, to answerer) error {
	read := s.ask
	if q.anew {
		read = s.pool.Query
	}
	rows, err := read(ctx, l.sql(strings.Join(q.branches, " UNION ALL ")), q.args...)
	if err != nil {
		return err
	}
	var kind int16
	var key string
	var day int32
	var summary, slots pgtype.DriverBytes
	var c rollup.Change
	fields := append([]any{&kind, &key, &day, &summary, &slots}, changeFields(&c)...)
	_, err = pgx.ForEachRow(rows, fields, func() error {
		switch kind {
		case isDay:
			return to.day(key, rollup.Date(day), summary, slots)
		case isEntry:
			to.entry(c)
		case isRecord:
			to.record(c)
		case isSubject:
			to.subject()
		}
		return nil
	})
	return err
}

// changeFields are where entryColumns and recordColumns are scanned to. Pointers in the
// change are new for every row.
func changeFields(c *rollup.Change) []any {
	return []any{
		&c.Sign, &c.Retired, &c.UserID, &c.StrategyID, &c.CreatedAt, &c.Success, &c.TimedOut, &c.ExecutionTime,
		&c.MemoryUsed, &c.CPUUsage, &c.ErrorCount, &c.WarningCount,
	}
}
