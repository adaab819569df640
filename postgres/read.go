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

// Execution finds a record's time by its id, then the record in the partition
// of that time.
func (s *Store) Execution(ctx context.Context, id sandtrail.ID) (sandtrail.Execution, error) {
	l, err := s.open(ctx)
	if err != nil {
		return sandtrail.Execution{}, err
	}
	var e sandtrail.Execution
	for range 2 { // its time may be changed between the two looks
		if e, err = s.executionOnce(ctx, l, id); !errors.Is(err, pgx.ErrNoRows) {
			break
		}
	}
	return e, wrap("read execution", notFound(err, "there is no execution %s", id))
}

func (s *Store) executionOnce(ctx context.Context, l *layout, id sandtrail.ID) (sandtrail.Execution, error) {
	at, err := s.keeper(l).timeOf(ctx, id)
	if err != nil {
		return sandtrail.Execution{}, err
	}
	rows, err := s.pool.Query(ctx, l.owned("SELECT * FROM {logs} WHERE created_at = $1 AND id = $2"), at, [16]byte(id))
	if err != nil {
		return sandtrail.Execution{}, err
	}
	return pgx.CollectExactlyOneRow(rows, scanOwned)
}

// owned reads the executions that a query selects with their users and
// strategies, newest first.
func (l *layout) owned(query string) string {
	return l.sql(`SELECT ` + selectLogs + `, coalesce(u.{users.email}, ''), {u.name}, s.{strategies.name}
		FROM (` + query + `) e
		JOIN {users} u ON u.{users.id} = e.user_id
		JOIN {strategies} s ON s.{strategies.id} = e.strategy_id
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
	var c conditions
	c.filter(plan.Filter)
	w := span{plan.Filter.Since, plan.Filter.Until}
	if after := plan.After; after != nil {
		c.add("(created_at, id) < ($, $)", after.CreatedAt, [16]byte(after.ID))
		if next := after.CreatedAt.Add(time.Millisecond); w.until.IsZero() || next.Before(w.until) {
			w.until = next
		}
	}
	items, err := newest(ctx, s, c, w, plan.Limit+1, "SELECT * FROM {logs}", l.owned, scanOwned)
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

// newest reads up to limit rows of the executions that fulfil conditions
// within a span, newest first. It walks back in time in windows that grow, so
// that recent rows are found in a few partitions however many there are.
func newest[T any](ctx context.Context, s *Store, c conditions, w span, limit int, selected string,
	finish func(string) string, scan pgx.RowToFunc[T],
) ([]T, error) {
	var found []T
	for window := range s.windows(w) {
		in := conditions{slices.Clone(c.parts), slices.Clone(c.args)}
		in.span(window)
		query := fmt.Sprintf("%s %s ORDER BY created_at DESC, id DESC LIMIT %d", selected, in.where(), limit-len(found))
		rows, err := s.pool.Query(ctx, finish(query), in.args...)
		if err != nil {
			return nil, err
		}
		stretch, err := pgx.CollectRows(rows, scan)
		if err != nil {
			return nil, err
		}
		if found = append(found, stretch...); len(found) == limit {
			break
		}
	}
	return found, nil
}

// span is a half-open stretch of time; zero ends are open.
type span struct{ since, until time.Time }

// firstWindow reaches over the partitions made ahead and the recent past.
const firstWindow = (weeksAhead + 4) * week

// windows divides a span into windows, newest first. The last one has no
// lower end but that of the span itself: strays may be of any time.
func (s *Store) windows(w span) func(yield func(span) bool) {
	return func(yield func(span) bool) {
		floor, from := s.weeks.bounds()
		if w.since.After(floor) {
			floor = w.since
		}
		if !w.until.IsZero() && w.until.Before(from) {
			from = w.until
		}
		until := w.until
		for width := firstWindow; width <= 64*firstWindow; width *= 4 {
			since := weekOf(from.Add(-width))
			if !since.After(floor) {
				break
			}
			if !yield(span{since, until}) {
				return
			}
			until, from = since, since
		}
		yield(span{w.since, until})
	}
}

// notFoundIsEmpty forgives a filter by something that cannot be a key.
func notFoundIsEmpty(err error) error {
	if state(err) == invalidText {
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
	if !w.since.IsZero() {
		c.add("created_at >= $", ceilMillisecond(w.since))
	}
	if !w.until.IsZero() {
		c.add("created_at < $", ceilMillisecond(w.until))
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

// filter adds all of a filter but its times.
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
	if f.MinMemory != nil {
		c.add("memory_used >= $::bigint", *f.MinMemory)
	}
	if f.Text != "" { // the C collation knows no case but ASCII's
		c.add(`strpos(lower(metadata COLLATE "C"), lower($::text COLLATE "C")) > 0`, f.Text)
	}
}

func (c *conditions) where() string {
	if len(c.parts) == 0 {
		return ""
	}
	return "WHERE " + strings.Join(c.parts, " AND ")
}
