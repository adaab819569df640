package sqlite

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

const (
	byUser     = "sandbox_execution_logs_user_id_created_at_id_idx"
	byStrategy = "sandbox_execution_logs_strategy_id_created_at_id_idx"
	byTime     = "sandbox_execution_logs_created_at_id_idx"
	failures   = "sandbox_execution_logs_failures_idx"
	byID       = "sqlite_autoindex_sandbox_execution_logs_1"
)

// Execution returns one execution with its user and strategy.
func (s *Store) Execution(ctx context.Context, id sandtrail.ID) (sandtrail.Execution, error) {
	found, err := s.executions(ctx, "read execution", withOwners("")+" WHERE e.id = ?", id.String())
	if err != nil {
		return sandtrail.Execution{}, err
	}
	if len(found) == 0 {
		return sandtrail.Execution{}, errNoExecution(id)
	}
	return found[0], nil
}

// ExecutionByPrefix returns the one execution whose id begins so.
func (s *Store) ExecutionByPrefix(ctx context.Context, p sandtrail.IDPrefix, userID string) (sandtrail.Execution, error) {
	userID, _, err := s.spell(ctx, userID, "")
	if err != nil {
		return sandtrail.Execution{}, err
	}
	text, args := prefixQuery(p, userID)
	found, err := s.executions(ctx, "find execution", text, args...)
	if err != nil {
		return sandtrail.Execution{}, err
	}
	return database.Only(p, found)
}

// prefixQuery is the statement of the first executions whose ids begin so.
func prefixQuery(p sandtrail.IDPrefix, userID string) (text string, args []any) {
	var where conditions
	where.add("e.id BETWEEN ? AND ?", p.Low.String(), p.High.String())
	where.addIf(userID != "", "e.user_id = ?", userID)
	return withOwners(byID) + where.text() + " ORDER BY e.id LIMIT ?", append(where.args, database.MaxNamed)
}

func errNoExecution(id sandtrail.ID) error {
	return sandtrail.Errorf(sandtrail.CodeNotFound, "there is no execution %s", id)
}

// Executions returns a page, newest first.
func (s *Store) Executions(ctx context.Context, q sandtrail.Query, now time.Time) (sandtrail.Page, error) {
	plan, err := q.Plan(now)
	if err != nil {
		return sandtrail.Page{}, err
	}
	f := &plan.Filter
	if f.UserID, f.StrategyID, err = s.spell(ctx, f.UserID, f.StrategyID); err != nil {
		return sandtrail.Page{}, err
	}
	if f.Text != "" {
		return s.search(ctx, plan)
	}
	text, args := listQuery(plan)
	items, err := s.executions(ctx, "list executions", text, args...)
	if err != nil {
		return sandtrail.Page{}, err
	}
	return pageOf(plan, items), nil
}

// pageOf is the page that begins a list, whose end it is where the list is no
// longer than the page.
func pageOf(plan sandtrail.Plan, items []sandtrail.Execution) sandtrail.Page {
	page := sandtrail.Page{Items: items}
	if len(items) > plan.Limit {
		page.Items = items[:plan.Limit]
		page.NextCursor = plan.Cursor(page.Items[plan.Limit-1])
	}
	return page
}

// listQuery is the statement of a page, with one row more than the page to
// see whether another follows.
func listQuery(plan sandtrail.Plan) (text string, args []any) {
	where := listed(plan)
	return withOwners(listIndex(plan.Filter)) + where.text() + newestFirst + " LIMIT ?", append(where.args, plan.Limit+1)
}

const newestFirst = " ORDER BY e.created_at DESC, e.id DESC"

// listed selects what belongs to a plan, whatever its text.
func listed(plan sandtrail.Plan) conditions {
	where := filtered(plan.Filter)
	until := plan.Filter.Until
	if after := plan.After; after != nil {
		where.add("(e.created_at, e.id) < (?, ?)", bound(after.CreatedAt), after.ID.String())
		if after.CreatedAt.Before(until) {
			until = time.Time{} // implied; the planner would search by it instead
		}
	}
	where.window("e.", plan.Filter.Since, until)
	return where
}

// filtered is all of a filter but its times and its text.
func filtered(f sandtrail.Filter) (where conditions) {
	where.addIf(f.UserID != "", "e.user_id = ?", f.UserID)
	where.addIf(f.StrategyID != "", "e.strategy_id = ?", f.StrategyID)
	where.addIf(f.Type != "", "e.execution_type = ?", string(f.Type))
	if f.Success != nil {
		// Literals: the planner must see that the partial index applies.
		where.add(map[bool]string{true: "e.success = 1", false: "e.success = 0"}[*f.Success])
	}
	if f.TimedOut != nil {
		where.add("e.timed_out = ?", *f.TimedOut)
	}
	if f.MinTime != nil {
		where.add("e.execution_time >= ?", *f.MinTime)
	}
	if f.MaxTime != nil {
		where.add("e.execution_time <= ?", *f.MaxTime)
	}
	if f.MinMemory != nil {
		where.add("e.memory_used >= ?", *f.MinMemory)
	}
	if f.MaxMemory != nil {
		where.add("e.memory_used <= ?", *f.MaxMemory)
	}
	return where
}

// listIndex is the index that has a filter's records in order. It is named in
// the statement, so that no statistics can talk the planner out of it.
func listIndex(f sandtrail.Filter) string {
	switch {
	case f.UserID != "":
		return byUser
	case f.StrategyID != "":
		return byStrategy
	case f.Success != nil && !*f.Success:
		return failures
	}
	return byTime
}

// withOwners selects executions with their users and strategies. LEFT JOIN
// keeps the planner from starting with the owners, and an execution in the list
// whose owner another client has deleted with foreign keys off.
func withOwners(index string) string {
	if index != "" {
		index = " INDEXED BY " + index
	}
	return "SELECT " + ofExecution + ofOwners + " FROM sandbox_execution_logs AS e" + index + joinOwners
}

const (
	ofOwners   = ", coalesce(u.email, ''), u.name, coalesce(s.name, '')"
	joinOwners = " LEFT JOIN users AS u ON u.id = e.user_id LEFT JOIN strategies AS s ON s.id = e.strategy_id"
)

var ofExecution = "e." + strings.Join(strings.Fields(recordColumns), " e.")

// executions runs a statement that starts with withOwners. One statement
// reads one snapshot.
func (s *Store) executions(ctx context.Context, what, text string, args ...any) (found []sandtrail.Execution, err error) {
	err = s.query(ctx, what, text, args, func(rows *sql.Rows) (err error) {
		found, err = owned(rows)
		return err
	})
	return found, err
}

// owned reads the rows of a statement that starts with withOwners.
func owned(rows *sql.Rows) ([]sandtrail.Execution, error) {
	found := []sandtrail.Execution{}
	for rows.Next() {
		var e sandtrail.Execution
		var user sandtrail.User
		var strategy sandtrail.Strategy
		if err := scanRecord(rows.Scan, &e, &user.Email, &user.Name, &strategy.Name); err != nil {
			return nil, err
		}
		user.ID, strategy.ID = e.UserID, e.StrategyID
		e.User, e.Strategy = &user, &strategy
		found = append(found, e)
	}
	return found, rows.Err()
}

// query runs one prepared statement on a reader and hands its rows to scan.
func (s *Store) query(ctx context.Context, what, text string, args []any, scan func(*sql.Rows) error) error {
	return s.retry(ctx, what, func() error {
		if err := s.present(); err != nil {
			return err
		}
		stmt, err := s.readers.prepare(ctx, text)
		if err != nil {
			return err
		}
		rows, err := stmt.QueryContext(ctx, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		return scan(rows)
	})
}

// conditions collects the parts of a WHERE clause and their arguments.
type conditions struct {
	parts []string
	args  []any
}

func (c *conditions) add(part string, args ...any) {
	c.parts, c.args = append(c.parts, part), append(c.args, args...)
}

func (c *conditions) addIf(given bool, part string, arg any) {
	if given {
		c.add(part, arg)
	}
}

// window adds the bounds of a stretch of time; zero times are none. The last
// millisecond is of the same year as what lies before it, see bound.
func (c *conditions) window(prefix string, since, until time.Time) {
	c.addIf(!since.IsZero(), prefix+"created_at >= ?", bound(since))
	c.addIf(!until.IsZero(), prefix+"created_at <= ?", bound(sandtrail.CeilMillisecond(until).Add(-time.Millisecond)))
}

func (c *conditions) text() string {
	if len(c.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.parts, " AND ")
}
