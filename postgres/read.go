package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/rollup"
)

// Execution finds an execution in the partition of its time. Its id says the time,
// else the table of ids does.
func (s *Store) Execution(ctx context.Context, id sandtrail.ID) (sandtrail.Execution, error) {
	l, err := s.open(ctx)
	if err != nil {
		return sandtrail.Execution{}, err
	}
	var e sandtrail.Execution
	err = pgx.ErrNoRows
	if at, likely := s.likelyTime(l, id); likely {
		e, err = s.executionAt(ctx, l, id, at)
	}
	for tries := 0; tries < 2 && errors.Is(err, pgx.ErrNoRows); tries++ { // its time may be changed between the two looks
		e, err = s.executionOnce(ctx, l, id)
	}
	return e, wrap("read execution", notFound(err, "there is no execution %s", id))
}

// likelyTime is the time that an id carries, as those of recorders and of this
// store do. Ids from elsewhere may say any: the plans kept for weeks without
// partitions would push out those in use.
func (s *Store) likelyTime(l *layout, id sandtrail.ID) (at time.Time, likely bool) {
	at, likely = id.Time()
	oldest, newest := s.partitions.bounds()
	return at, likely && l.keepsPlans() && !at.Before(oldest) && at.Before(newest)
}

func (s *Store) executionOnce(ctx context.Context, l *layout, id sandtrail.ID) (sandtrail.Execution, error) {
	at, err := l.keeper().timeOf(ctx, s.ask, id)
	if err != nil {
		return sandtrail.Execution{}, err
	}
	return s.executionAt(ctx, l, id, at)
}

// executionAt reads a record of a time.
func (s *Store) executionAt(ctx context.Context, l *layout, id sandtrail.ID, at time.Time) (sandtrail.Execution, error) {
	var c conditions
	c.add("created_at = $", at)
	c.add("id = $", [16]byte(id))
	c.weeks(span{at, at.Add(time.Millisecond)})
	rows, err := s.ask(ctx, l.owned("SELECT * FROM {logs} "+c.where()), c.args...)
	if err != nil {
		return sandtrail.Execution{}, err
	}
	return pgx.CollectExactlyOneRow(rows, scanOwned)
}

// ExecutionByPrefix finds the one execution whose id begins so. Each partition has
// an index of its ids.
func (s *Store) ExecutionByPrefix(ctx context.Context, p sandtrail.IDPrefix, userID string) (sandtrail.Execution, error) {
	l, err := s.open(ctx)
	if err != nil {
		return sandtrail.Execution{}, err
	}
	text, args := prefixQuery(p, l.Users.key().Spell(userID))
	rows, err := s.ask(ctx, l.owned(text), args...)
	if err != nil {
		return sandtrail.Execution{}, wrap("find execution", err)
	}
	found, err := pgx.CollectRows(rows, scanOwned)
	if err = notFoundIsEmpty(err); err != nil {
		return sandtrail.Execution{}, wrap("find execution", err)
	}
	slices.SortFunc(found, func(a, b sandtrail.Execution) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return database.Only(p, found)
}

// prefixQuery selects the first executions whose ids begin so.
func prefixQuery(p sandtrail.IDPrefix, userID string) (text string, args []any) {
	var c conditions
	c.add("id BETWEEN $ AND $", [16]byte(p.Low), [16]byte(p.High))
	c.owners(userID, "")
	return fmt.Sprintf("SELECT * FROM {logs} %s ORDER BY id LIMIT %d", c.where(), database.MaxNamed), c.args
}

// owned reads the executions that a query selects with their users and
// strategies, newest first.
func (l *layout) owned(query string) string {
	return l.sql(`SELECT ` + selectLogs + `, coalesce(u.{users.email}, ''), {u.name}, coalesce(s.{strategies.name}, '')
		FROM (` + query + `) e
		LEFT JOIN {users} u ON u.{users.id} = e.user_id
		LEFT JOIN {strategies} s ON s.{strategies.id} = e.strategy_id
		ORDER BY e.created_at DESC, e.id DESC`)
}

// Executions returns a page.
func (s *Store) Executions(ctx context.Context, q sandtrail.Query, now time.Time) (sandtrail.Page, error) {
	plan, err := q.Plan(now)
	if err != nil {
		return sandtrail.Page{}, err
	}
	l, err := s.open(ctx)
	if err != nil {
		return sandtrail.Page{}, err
	}
	if plan.Filter.Text != "" {
		return s.search(ctx, l, plan)
	}
	in := l.listing(plan.Filter)
	if plan.After != nil {
		in.after(*plan.After)
	}
	items, err := newest(ctx, s, in, plan.Limit+1, "SELECT * FROM {logs}", l.owned, scanOwned)
	if err != nil {
		return sandtrail.Page{}, wrap("list executions", notFoundIsEmpty(err))
	}
	page := sandtrail.Page{Items: items}
	if len(items) > plan.Limit {
		page.Items = items[:plan.Limit]
		page.NextCursor = plan.Cursor(page.Items[plan.Limit-1])
	}
	return page, nil
}

// notFoundIsEmpty forgives a filter by something that cannot be a key.
func notFoundIsEmpty(err error) error {
	if isNoKey(err) {
		return nil
	}
	return err
}

// conditions collects the parts of a WHERE clause and their arguments.
type conditions struct {
	parts []string
	args  []any
}

// add appends a condition in which each $ stands for the next argument.
func (c *conditions) add(condition string, args ...any) {
	for _, arg := range args {
		c.args = append(c.args, arg)
		condition = strings.Replace(condition, "$", fmt.Sprintf("\x00%d", len(c.args)), 1)
	}
	c.parts = append(c.parts, strings.ReplaceAll(condition, "\x00", "$"))
}

func (c *conditions) span(w span) {
	if !w.since.IsZero() && isStorable(w.since) {
		c.add("created_at >= $", ceilMillisecond(w.since))
	}
	if !w.until.IsZero() && isStorable(w.until) {
		c.add("created_at < $", ceilMillisecond(w.until))
	}
}

// isStorable reports whether a time can be in a column, or be compared with one.
func isStorable(t time.Time) bool { return -4713 < t.Year() && t.Year() <= 294276 }

// day adds the bounds of a UTC day, be it the one that begins with the zero
// time, which is no bound to span.
func (c *conditions) day(date rollup.Date) {
	c.add("created_at >= $", date.Time())
	if end := (date + 1).Time(); isStorable(end) {
		c.add("created_at < $", end)
	}
}

// weeks repeats a span as constants, rounded to whole weeks: a plan that is
// kept for all parameters then opens the partitions of these weeks only.
func (c *conditions) weeks(w span) {
	if since := weekOf(w.since); !isOutlandish(since) {
		c.add("created_at >= '" + since.Format(time.RFC3339) + "'")
	}
	if until := weekOf(w.until.Add(-time.Millisecond)).Add(week); !isOutlandish(until) {
		c.add("created_at < '" + until.Format(time.RFC3339) + "'")
	}
}

// owners restricts to a user and a strategy, "" meaning all.
func (c *conditions) owners(userID, strategyID string) {
	if userID != "" {
		c.add("user_id = $", userID)
	}
	if strategyID != "" {
		c.add("strategy_id = $", strategyID)
	}
}

// filter adds all of a filter but its times and its text.
func (c *conditions) filter(f sandtrail.Filter) {
	c.owners(f.UserID, f.StrategyID)
	if f.Type != "" {
		c.add("execution_type = $", string(f.Type))
	}
	if f.Success != nil { // literal, so that the partial index is found
		c.add(map[bool]string{true: "success", false: "NOT success"}[*f.Success])
	}
	if f.TimedOut != nil {
		c.add("timed_out = $", *f.TimedOut)
	}
	if f.MinTime != nil {
		c.add("execution_time >= $::bigint", *f.MinTime)
	}
	if f.MaxTime != nil {
		c.add("execution_time <= $::bigint", *f.MaxTime)
	}
	if f.MinMemory != nil {
		c.add("memory_used >= $::bigint", *f.MinMemory)
	}
	if f.MaxMemory != nil {
		c.add("memory_used <= $::bigint", *f.MaxMemory)
	}
}

func (c *conditions) where() string {
	if len(c.parts) == 0 {
		return ""
	}
	return "WHERE " + strings.Join(c.parts, " AND ")
}
