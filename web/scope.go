package web

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
)

// scope is the store as one reader may see it. Every page asks its questions
// here and nowhere else, so that a reader bound to one user gets no
// record of another user: those are CodeNotFound, as if they did not exist.
type scope struct {
	store Store
	user  string // "": sees everything
	now   time.Time
}

// restrict is the user to ask about when the reader asks about userID.
func (s scope) restrict(userID string) (string, error) {
	if s.user == "" || userID == s.user {
		return userID, nil
	}
	if userID != "" {
		return "", sandtrail.Errorf(sandtrail.CodeNotFound, "There is no user %q.", userID)
	}
	return s.user, nil
}

func (s scope) execution(ctx context.Context, id sandtrail.ID) (sandtrail.Execution, error) {
	e, err := s.store.Execution(ctx, id)
	if sandtrail.CodeOf(err) == sandtrail.CodeNotFound || err == nil && s.user != "" && e.UserID != s.user {
		return sandtrail.Execution{}, sandtrail.Errorf(sandtrail.CodeNotFound, "There is no execution %s.", id)
	}
	return e, err
}

func (s scope) executions(ctx context.Context, q sandtrail.Query) (sandtrail.Page, error) {
	var err error
	if q.Filter.UserID, err = s.restrict(q.Filter.UserID); err != nil {
		return sandtrail.Page{}, err
	}
	return s.store.Executions(ctx, q, s.now)
}

// sampled is how many of the newest executions stand for all where a store
// keeps no statistics.
const sampled = 300

// newest returns up to sampled executions.
func (s scope) newest(ctx context.Context, f sandtrail.Filter) ([]sandtrail.Execution, error) {
	page, err := s.executions(ctx, sandtrail.Query{Filter: f, Limit: sampled})
	return page.Items, err
}

func (s scope) trends(ctx context.Context, q sandtrail.TrendQuery) ([]sandtrail.TrendBucket, error) {
	var err error
	if q.UserID, err = s.restrict(q.UserID); err != nil {
		return nil, err
	}
	return s.store.Trends(ctx, q)
}

func (s scope) window(ctx context.Context, w sandtrail.Window) (sandtrail.WindowStats, error) {
	var err error
	if w.UserID, err = s.restrict(w.UserID); err != nil {
		return sandtrail.WindowStats{}, err
	}
	return s.store.WindowStats(ctx, w)
}

// ranking ranks strategies or users. A bound reader's strategies are ranked
// by their own newest executions in the window.
func (s scope) ranking(ctx context.Context, q sandtrail.RankQuery) ([]sandtrail.Rank, error) {
	if s.user == "" {
		return s.store.Ranking(ctx, q)
	}
	found, err := s.newest(ctx, sandtrail.Filter{Since: q.Since, Until: q.Until})
	if err != nil {
		return nil, err
	}
	return tally(found, q.Subject, q.Order, q.Limit), nil
}

// tally ranks the strategies or users of some executions.
func tally(found []sandtrail.Execution, subject sandtrail.Subject, order sandtrail.RankOrder, limit int) []sandtrail.Rank {
	byID := map[string]*sandtrail.Rank{}
	for _, e := range found {
		id, name := e.StrategyID, ""
		if subject == sandtrail.Users {
			id = e.UserID
			if e.User != nil {
				name = e.User.Email
			}
		} else if e.Strategy != nil {
			name = e.Strategy.Name
		}
		rank := byID[id]
		if rank == nil {
			rank = &sandtrail.Rank{ID: id, Name: name}
			byID[id] = rank
		}
		rank.Total++
		if !e.Success {
			rank.Failed++
		}
	}
	ranks := make([]sandtrail.Rank, 0, len(byID))
	for _, rank := range byID {
		if order != sandtrail.MostFailures || rank.Failed > 0 {
			ranks = append(ranks, *rank)
		}
	}
	slices.SortFunc(ranks, func(a, b sandtrail.Rank) int {
		if order == sandtrail.MostFailures && a.Failed != b.Failed {
			return cmp.Compare(b.Failed, a.Failed)
		}
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.ID, b.ID))
	})
	return ranks[:min(len(ranks), limit)]
}

// strategy finds a strategy that the reader may see: for a bound one, those
// that they have run.
func (s scope) strategy(ctx context.Context, id string) (sandtrail.Strategy, error) {
	missing := sandtrail.Errorf(sandtrail.CodeNotFound, "There is no strategy %q.", id)
	if s.user != "" {
		own, err := s.executions(ctx, sandtrail.Query{Filter: sandtrail.Filter{StrategyID: id}, Limit: 1})
		if err != nil {
			return sandtrail.Strategy{}, err
		}
		if len(own.Items) == 0 {
			return sandtrail.Strategy{}, missing
		}
	}
	found, err := s.store.Strategy(ctx, id)
	if sandtrail.CodeOf(err) == sandtrail.CodeNotFound {
		err = missing
	}
	return found, err
}

// strategyStats are the statistics of all of a strategy's executions; for a
// bound reader those of their own newest ones.
func (s scope) strategyStats(ctx context.Context, id string) (sandtrail.StrategyStats, error) {
	if s.user == "" {
		return s.store.StrategyStats(ctx, id)
	}
	own, err := s.newest(ctx, sandtrail.Filter{StrategyID: id})
	return summarise(id, own), err
}

// userStats are the statistics of a user, who must be visible.
func (s scope) userStats(ctx context.Context, id string) (sandtrail.UserStats, error) {
	if _, err := s.restrict(id); err != nil {
		return sandtrail.UserStats{}, err
	}
	return s.store.UserStats(ctx, id)
}

func (s scope) userByID(ctx context.Context, id string) (sandtrail.User, error) {
	if _, err := s.restrict(id); err != nil {
		return sandtrail.User{}, err
	}
	u, err := s.store.User(ctx, id)
	if sandtrail.CodeOf(err) == sandtrail.CodeNotFound {
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "There is no user %q.", id)
	}
	return u, err
}

// neighbours finds the executions right before and right after one, among
// those of the same strategy; nil where there is none.
func (s scope) neighbours(ctx context.Context, e sandtrail.Execution) (older, newer *sandtrail.Execution, err error) {
	f := sandtrail.Filter{StrategyID: e.StrategyID, Until: e.CreatedAt.Add(time.Millisecond)}
	page, err := s.executions(ctx, sandtrail.Query{Filter: f, Limit: 20})
	if err != nil {
		return nil, nil, err
	}
	if i := slices.IndexFunc(page.Items, func(o sandtrail.Execution) bool { return before(o, e) }); i >= 0 {
		older = &page.Items[i]
	}
	newer, err = s.following(ctx, sandtrail.Filter{StrategyID: e.StrategyID}, e)
	return older, newer, err
}

// following finds the oldest execution of the filter that is newer than e.
// Stores list the newest first, so it looks for a stretch of time behind e
// that holds some, but not more than fit on a page: from lo, up to which there
// is none, to hi, below over, up to which there are too many. They are in
// milliseconds, since other clients write times of any year.
func (s scope) following(ctx context.Context, f sandtrail.Filter, e sandtrail.Execution) (*sandtrail.Execution, error) {
	f.Since = e.CreatedAt
	start, end := e.CreatedAt.UnixMilli(), s.now.Add(sandtrail.MaxClockSkew).UnixMilli()
	lo, hi, over := int64(0), time.Minute.Milliseconds(), int64(math.MaxInt64)
	for {
		f.Until = time.UnixMilli(start + hi)
		whole := over == math.MaxInt64 && start+hi > end
		if whole { // up to the newest of all, though it be of the future
			f.Until = time.Time{}
		}
		page, err := s.executions(ctx, sandtrail.Query{Filter: f, Limit: sampled})
		if err != nil {
			return nil, err
		}
		var first *sandtrail.Execution
		for i, o := range page.Items {
			if before(e, o) {
				first = &page.Items[i]
			}
		}
		switch {
		case first == nil && whole:
			return nil, nil
		case first != nil && (page.NextCursor == "" || hi-lo <= 1):
			return first, nil
		case whole:
			over = first.CreatedAt.UnixMilli() + 1 - start
			hi = between(lo, over)
		case first == nil:
			lo, hi = hi, min(12*hi, between(hi, over))
		default:
			hi, over = between(lo, hi), hi
		}
	}
}

// between is behind lo and, where there is room, before over.
func between(lo, over int64) int64 { return lo + max(1, (over-lo)/2) }

// before orders executions by time, then id.
func before(a, b sandtrail.Execution) bool {
	if !a.CreatedAt.Equal(b.CreatedAt) {
		return a.CreatedAt.Before(b.CreatedAt)
	}
	return slices.Compare(a.ID[:], b.ID[:]) < 0
}
