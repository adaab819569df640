package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/sandtrail/sandtrail/derive"
	"github.com/sandtrail/sandtrail/rollup"
)

// countedColumns are what counts of an execution, in the order of scanCounted.
const countedColumns = `user_id, strategy_id, created_at, success, timed_out, execution_time, memory_used, cpu_usage,
	error_count, warning_count`

// scanCounted reads columns that come before countedColumns, and those.
func scanCounted(rows *sql.Rows, c *rollup.Change, before ...any) error {
	var at timestamp
	c.MemoryUsed = nil // not shared with the row before
	err := rows.Scan(append(before, &c.UserID, &c.StrategyID, &at, &c.Success, &c.TimedOut, &c.ExecutionTime,
		&c.MemoryUsed, measured{&c.CPUUsage}, &c.ErrorCount, &c.WarningCount)...)
	c.CreatedAt = at.Time
	return err
}

// eachRecord hands out stored executions.
func eachRecord(ctx context.Context, tx *sql.Tx, where conditions, f func(rollup.Change)) error {
	rows, err := tx.QueryContext(ctx, "SELECT "+countedColumns+" FROM sandbox_execution_logs"+where.text(), where.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		c := rollup.Change{Sign: 1}
		if err := scanCounted(rows, &c); err != nil {
			return err
		}
		f(c)
	}
	return rows.Err()
}

// totalOf counts all stored executions of a subject.
func totalOf(ctx context.Context, tx *sql.Tx, subject rollup.Subject) (total rollup.Cell, err error) {
	if err := (rollups{tx}).Totals(ctx, []rollup.Subject{subject}, func(stored derive.StoredTotal) (err error) {
		total, err = stored.Decode()
		return err
	}); err != nil {
		return total, err
	}
	var where conditions
	where.subject(subject)
	_, err = eachPending(ctx, tx, where, "", func(c rollup.Change) {
		if c.Sign > 0 {
			total.Add(c)
		} else {
			total.Sub(c)
		}
	})
	return total, err
}

func (c *conditions) owners(userID, strategyID string) {
	c.addIf(userID != "", "user_id = ?", userID)
	c.addIf(strategyID != "", "strategy_id = ?", strategyID)
}

// subject restricts to the executions that count for a subject.
func (c *conditions) subject(s rollup.Subject) {
	switch s.Scope {
	case rollup.User:
		c.add("user_id = ?", s.ID)
	case rollup.Strategy:
		c.add("strategy_id = ?", s.ID)
	}
}

// answerer takes what a plan asks for.
type answerer struct {
	day             func(key string, day rollup.Date, summary, slots []byte) error
	pending, record func(rollup.Change)
}

// gather reads what a plan asks for, of a user and a strategy, of either, or
// of all: stored days, changes that are not in them yet, and the records
// around edges that cut through a slot.
func gather(ctx context.Context, tx *sql.Tx, plan rollup.Plan, userID, strategyID string, to answerer) error {
	subject := rollup.SubjectOf(userID, strategyID)
	var days, owned conditions
	days.add("scope = ? AND key = ?", subject.Scope, subject.ID)
	owned.owners(userID, strategyID)
	return gatherWhere(ctx, tx, plan, days, owned, to)
}

// gatherAll reads what a plan asks for of every user or every strategy.
func gatherAll(ctx context.Context, tx *sql.Tx, plan rollup.Plan, scope rollup.Scope, to answerer) error {
	var days conditions
	days.add("scope = ?", scope)
	return gatherWhere(ctx, tx, plan, days, conditions{}, to)
}

func gatherWhere(ctx context.Context, tx *sql.Tx, plan rollup.Plan, days, owned conditions, to answerer) error {
	if plan.First <= plan.Last {
		if err := eachDay(ctx, tx, plan, days, to.day); err != nil {
			return err
		}
		pending := owned.clone()
		pending.window("", plan.First.Time(), (plan.Last + 1).Time())
		if _, err := eachPending(ctx, tx, pending, "", to.pending); err != nil {
			return err
		}
	}
	for _, raw := range plan.Raw {
		records := owned.clone()
		records.window("", raw.From, raw.To)
		if err := eachRecord(ctx, tx, records, to.record); err != nil {
			return err
		}
	}
	return nil
}

func (c conditions) clone() conditions {
	return conditions{parts: slices.Clone(c.parts), args: slices.Clone(c.args)}
}

// eachDay hands out the stored days of a plan, with their slots where the
// plan needs them.
func eachDay(ctx context.Context, tx *sql.Tx, plan rollup.Plan, where conditions, f func(string, rollup.Date, []byte, []byte) error) error {
	slots := "NULL"
	var args []any
	if n := len(plan.SlotDays); n > 0 {
		slots = "CASE WHEN day IN (?" + strings.Repeat(", ?", n-1) + ") THEN slots END"
		for _, day := range plan.SlotDays {
			args = append(args, day)
		}
	}
	where.add("day BETWEEN ? AND ?", plan.First, plan.Last)
	rows, err := tx.QueryContext(ctx, "SELECT key, day, summary, "+slots+" FROM sandtrail_rollups"+where.text(), append(args, where.args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var key string
	var day rollup.Date
	var summary, encoded sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&key, &day, &summary, &encoded); err != nil {
			return err
		}
		if err := f(key, day, summary, encoded); err != nil {
			return err
		}
	}
	return rows.Err()
}
