package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
)

// A listing is the executions of a span that fulfil conditions, newest first.
type listing struct {
	conditions
	span

	// Lists that are asked for all the time are read with a plan that is kept,
	// whatever the parameters. So the plan must be right for all of them, which
	// it is for those of one owner when it reads the index that begins with the
	// owner; where others have rows and this one has not, by time is far worse.
	kept      bool
	owner, id string // a column, "" for none, and its value
}

// keepsPlans reports whether plans may be kept at all: distributed executions
// are planned for the shards of the actual user, whom "user_id =" must name.
func (l *layout) keepsPlans() bool { return l.Distributed == nil }

// listing is what a filter asks for.
func (l *layout) listing(f sandtrail.Filter) listing {
	f.UserID, f.StrategyID = l.spell(f.UserID, f.StrategyID)
	in := listing{span: span{f.Since, f.Until}}
	rest := f
	rest.Since, rest.Until, rest.Within = time.Time{}, time.Time{}, 0
	if l.keepsPlans() {
		switch rest {
		case sandtrail.Filter{Success: f.Success}:
			in.kept = f.Success == nil || !*f.Success
		case sandtrail.Filter{UserID: f.UserID}:
			in.kept, in.owner, in.id = true, "user_id", f.UserID
		case sandtrail.Filter{StrategyID: f.StrategyID}:
			in.kept, in.owner, in.id = true, "strategy_id", f.StrategyID
		}
	}
	if in.owner == "" {
		in.filter(f)
	}
	return in
}

// after continues behind a place in the list.
func (in *listing) after(p sandtrail.Position) {
	if in.owner == "" {
		in.add("(created_at, id) < ($, $)", p.CreatedAt, [16]byte(p.ID))
	} else {
		in.add("("+in.owner+", created_at, id) < ($, $, $)", in.id, p.CreatedAt, [16]byte(p.ID))
	}
	if next := p.CreatedAt.Add(time.Millisecond); isStorable(next) && (in.until.IsZero() || next.Before(in.until)) {
		in.until = next
	}
}

// within is the conditions of the part of the list that lies in a window.
func (in listing) within(w span) conditions {
	c := conditions{slices.Clone(in.parts), slices.Clone(in.args)}
	if in.kept {
		c.weeks(w)
	}
	if in.owner == "" {
		c.span(w)
		return c
	}
	// Not "owner = id", which would make any index on the time do.
	if w.since.IsZero() {
		c.add(in.owner+" >= $", in.id)
	} else {
		c.add("("+in.owner+", created_at) >= ($, $)", in.id, ceilMillisecond(w.since))
	}
	if w.until.IsZero() {
		c.add(in.owner+" <= $", in.id)
	} else {
		c.add("("+in.owner+", created_at) < ($, $)", in.id, ceilMillisecond(w.until))
	}
	return c
}

// order is the list's, and that of the index to read.
func (in listing) order() string {
	if in.owner == "" {
		return "created_at DESC, id DESC"
	}
	return in.owner + " DESC, created_at DESC, id DESC"
}

// newest reads up to limit rows of a list. It walks back in time in windows
// that grow, so that recent rows are found in a few partitions however many
// there are.
func newest[T any](ctx context.Context, s *Store, in listing, limit int, selected string,
	finish func(string) string, scan pgx.RowToFunc[T],
) ([]T, error) {
	read := s.pool.Query
	if in.kept {
		read = s.ask
	}
	var found []T
	for window := range s.windows(in.span) {
		c := in.within(window)
		rows, err := read(ctx, finish(fmt.Sprintf("%s %s ORDER BY %s LIMIT %d", selected, c.where(), in.order(), limit)), c.args...)
		if err != nil {
			return nil, err
		}
		stretch, err := pgx.CollectRows(rows, scan)
		if err != nil {
			return nil, err
		}
		if found = append(found, stretch...); len(found) >= limit {
			return found[:limit], nil
		}
	}
	return found, nil
}

// firstWindow reaches over the partitions made ahead and the recent past.
const firstWindow = ahead + 4*week

// windows divides a span into windows, newest first. The last one has no
// lower end but that of the span itself: strays may be of any time.
func (s *Store) windows(w span) func(yield func(span) bool) {
	return func(yield func(span) bool) {
		floor, from := s.partitions.bounds()
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
