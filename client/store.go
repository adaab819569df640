package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/bounded"
)

// Append stores a batch, all or nothing. It is repeated when the answer is
// lost: the ids make the repetition a duplicate.
func (c *Client) Append(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	drafts := make([]sandtrail.Draft, len(batch))
	for i, a := range batch {
		drafts[i] = draftOf(a)
	}
	return c.Record(ctx, drafts...)
}

// Record stores executions by the server's rules, all or nothing. When it returns
// without error they are durable. It is repeated when the answer is lost: drafts
// without an id get one, so that the repetition is a duplicate.
func (c *Client) Record(ctx context.Context, drafts ...sandtrail.Draft) (sandtrail.Appended, error) {
	if len(drafts) == 0 {
		return sandtrail.Appended{}, nil
	}
	if len(drafts) > sandtrail.MaxBatch {
		return sandtrail.Appended{}, sandtrail.Errorf(sandtrail.CodeTooLarge,
			"a batch may have %d records, got %d; send them in several", sandtrail.MaxBatch, len(drafts))
	}
	named := slices.Clone(drafts)
	for i := range named {
		if named[i].ID.IsZero() {
			named[i].ID = sandtrail.NewID(time.Now())
		}
	}
	request := call{method: http.MethodPost, path: []string{"v1", "executions"}, body: named}
	if len(named) == 1 {
		request.body = named[0] // so that the server's paths are those of a batch of one
	}
	done, err := do[api.Appended](ctx, c, request)
	return sandtrail.Appended{Accepted: int(done.Accepted), Duplicates: int(done.Duplicates), IDs: done.IDs}, err
}

// draftOf is the record as it is sent: without a time that was only filled
// in, so that the server matches a retry with whatever was stored first.
func draftOf(a sandtrail.Admitted) sandtrail.Draft {
	e := a.Execution
	d := sandtrail.Draft{
		ID: e.ID, UserID: e.UserID, StrategyID: e.StrategyID, Type: e.Type, Success: &e.Success,
		ExecutionTime: &e.ExecutionTime, MemoryUsed: e.MemoryUsed, CPUUsage: e.CPUUsage, TimedOut: e.TimedOut,
		ErrorCount: &e.ErrorCount, WarningCount: &e.WarningCount, Classes: e.Classes, Metadata: e.Metadata,
		CreatedAt: e.CreatedAt,
	}
	if a.TimeDefaulted {
		d.CreatedAt = time.Time{}
	}
	return d
}

// Execution returns one execution.
func (c *Client) Execution(ctx context.Context, id sandtrail.ID) (sandtrail.Execution, error) {
	return get[sandtrail.Execution](ctx, c, nil, "v1", "executions", id.String())
}

// ExecutionByPrefix returns the one execution whose id begins so.
func (c *Client) ExecutionByPrefix(ctx context.Context, p sandtrail.IDPrefix, userID string) (sandtrail.Execution, error) {
	values := url.Values{}
	if userID != "" {
		values.Set("userId", userID)
	}
	return get[sandtrail.Execution](ctx, c, values, "v1", "executions", p.String())
}

// Executions returns a page. Filter.Within counts from the server's clock.
func (c *Client) Executions(ctx context.Context, q sandtrail.Query, _ time.Time) (sandtrail.Page, error) {
	values := api.FilterValues(q.Filter)
	values.Limit(q.Limit)
	values.Text("cursor", q.Cursor)
	page, err := get[api.Page[sandtrail.Execution]](ctx, c, url.Values(values), "v1", "executions")
	return sandtrail.Page{Items: page.Items, NextCursor: page.Next()}, err
}

// Export uses every execution that a filter selects, newest first, in pages.
// The server notes it in its access log, and it is not repeated: what was used
// when it fails stays used.
func (c *Client) Export(ctx context.Context, f sandtrail.Filter, use func([]sandtrail.Execution) error) error {
	request := call{method: http.MethodGet, path: []string{"v1", "export"}, query: url.Values(api.FilterValues(f))}
	response, err := c.send(ctx, request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bounded.NewLines(response.Body, request.answer(), maxLine)
	for {
		page := make([]sandtrail.Execution, 0, sandtrail.MaxLimit)
		for held := 0; len(page) < sandtrail.MaxLimit && held < maxAnswer/2 && err == nil; {
			var line []byte
			var e sandtrail.Execution
			if line, err = lines.Next(); len(line) == 0 {
				continue
			}
			if torn := json.Unmarshal(line, &e); torn != nil {
				err = errors.Join(torn, err)
				continue
			}
			page, held = append(page, e), held+len(line)
		}
		if len(page) > 0 {
			if err := use(page); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF: // and nothing torn with it
			return nil
		case err != nil:
			return cutShort(ctx, request, err)
		}
	}
}

// StrategyStats returns the statistics of a strategy.
func (c *Client) StrategyStats(ctx context.Context, id string) (sandtrail.StrategyStats, error) {
	return get[sandtrail.StrategyStats](ctx, c, nil, "v1", "strategies", id, "stats")
}

// StrategyHealth looks at the last executions of a strategy.
func (c *Client) StrategyHealth(ctx context.Context, id string, last int) (sandtrail.StrategyHealth, error) {
	values := url.Values{"last": {strconv.Itoa(last)}}
	return get[sandtrail.StrategyHealth](ctx, c, values, "v1", "strategies", id, "health")
}

// UserStats returns the statistics of a user.
func (c *Client) UserStats(ctx context.Context, id string) (sandtrail.UserStats, error) {
	return get[sandtrail.UserStats](ctx, c, nil, "v1", "users", id, "stats")
}

// Trends returns executions by day or hour.
func (c *Client) Trends(ctx context.Context, q sandtrail.TrendQuery) ([]sandtrail.TrendBucket, error) {
	if _, err := q.Edges(); err != nil {
		return nil, err
	}
	values := api.Values{}
	values.Times(q.Since, q.Until)
	values.Text("bucket", string(q.Bucket))
	values.Owners(q.UserID, q.StrategyID)
	if q.Location != nil {
		values.Text("tz", q.Location.String())
	}
	return get[[]sandtrail.TrendBucket](ctx, c, url.Values(values), "v1", "trends")
}

// WindowStats summarises a window.
func (c *Client) WindowStats(ctx context.Context, w sandtrail.Window) (sandtrail.WindowStats, error) {
	values := api.Values{}
	values.Times(w.Since, w.Until)
	values.Owners(w.UserID, w.StrategyID)
	return get[sandtrail.WindowStats](ctx, c, url.Values(values), "v1", "window")
}

// Ranking returns the users or strategies that stand out in a window.
func (c *Client) Ranking(ctx context.Context, q sandtrail.RankQuery) ([]sandtrail.Rank, error) {
	values := api.Values{}
	values.Times(q.Since, q.Until)
	values.Text("subject", string(q.Subject))
	values.Text("order", string(q.Order))
	values.Limit(q.Limit)
	page, err := get[api.Page[sandtrail.Rank]](ctx, c, url.Values(values), "v1", "ranking")
	return page.Items, err
}

// PutUser creates or replaces a user.
func (c *Client) PutUser(ctx context.Context, u sandtrail.User) error {
	if err := u.Validate(); err != nil {
		return err
	}
	_, err := do[sandtrail.User](ctx, c, call{
		method: http.MethodPut, path: []string{"v1", "users", u.ID}, body: api.OwnerUser{Email: u.Email, Name: u.Name},
	})
	return err
}

// User returns one user.
func (c *Client) User(ctx context.Context, id string) (sandtrail.User, error) {
	return get[sandtrail.User](ctx, c, nil, "v1", "users", id)
}

// Users returns a page of users.
func (c *Client) Users(ctx context.Context, q sandtrail.OwnerQuery) (sandtrail.OwnerPage[sandtrail.User], error) {
	return owners[sandtrail.User](ctx, c, q, "users")
}

// DeleteUser deletes a user and their executions.
func (c *Client) DeleteUser(ctx context.Context, id string) (int64, error) {
	return c.delete(ctx, "users", id)
}

// PutStrategy creates or replaces a strategy.
func (c *Client) PutStrategy(ctx context.Context, s sandtrail.Strategy) error {
	if err := s.Validate(); err != nil {
		return err
	}
	_, err := do[sandtrail.Strategy](ctx, c, call{
		method: http.MethodPut, path: []string{"v1", "strategies", s.ID}, body: api.OwnerStrategy{Name: s.Name},
	})
	return err
}

// Strategy returns one strategy.
func (c *Client) Strategy(ctx context.Context, id string) (sandtrail.Strategy, error) {
	return get[sandtrail.Strategy](ctx, c, nil, "v1", "strategies", id)
}

// Strategies returns a page of strategies.
func (c *Client) Strategies(ctx context.Context, q sandtrail.OwnerQuery) (sandtrail.OwnerPage[sandtrail.Strategy], error) {
	return owners[sandtrail.Strategy](ctx, c, q, "strategies")
}

// DeleteStrategy deletes a strategy and its executions.
func (c *Client) DeleteStrategy(ctx context.Context, id string) (int64, error) {
	return c.delete(ctx, "strategies", id)
}

func owners[T any](ctx context.Context, c *Client, q sandtrail.OwnerQuery, kind string) (sandtrail.OwnerPage[T], error) {
	values := api.Values{}
	values.Limit(q.Limit)
	values.Text("cursor", q.Cursor)
	page, err := get[api.Page[T]](ctx, c, url.Values(values), "v1", kind)
	return sandtrail.OwnerPage[T]{Items: page.Items, NextCursor: page.Next()}, err
}

// delete is not repeated when the answer is lost: the second one would not
// find what the first has deleted.
func (c *Client) delete(ctx context.Context, kind, id string) (int64, error) {
	done, err := do[api.Deleted](ctx, c, call{method: http.MethodDelete, path: []string{"v1", kind, id}, once: true})
	return done.Deleted, err
}

// CountBefore counts old executions.
func (c *Client) CountBefore(ctx context.Context, old sandtrail.Cutoff) (int64, error) {
	count, err := c.countOld(ctx, old)
	return count.Count, err
}

func (c *Client) countOld(ctx context.Context, old sandtrail.Cutoff) (api.Count, error) {
	ask := api.NewCleanup(old.Map(api.Bound))
	q := url.Values{"before": {api.FormatTime(*ask.Before)}}
	for t, age := range ask.Types {
		q.Set("types["+t+"]", age)
	}
	for id, age := range ask.Strategies {
		q.Set("strategies["+id+"]", age)
	}
	return get[api.Count](ctx, c, q, "v1", "cleanup")
}

// Cleanup deletes old executions. Interrupted on the server, it says how many
// were deleted beside the error.
func (c *Client) Cleanup(ctx context.Context, old sandtrail.Cutoff) (int64, error) {
	done, err := do[api.CleanedUp](ctx, c, call{
		method: http.MethodPost, path: []string{"v1", "cleanup"}, body: api.NewCleanup(old.Map(api.Bound)), once: true,
	})
	var a *answered
	if errors.As(err, &a) && a.problem.Deleted != nil {
		return *a.problem.Deleted, err
	}
	return done.Deleted, err
}

// PutHold creates or replaces a hold. The server says who placed it, and when.
func (c *Client) PutHold(ctx context.Context, h sandtrail.Hold) error {
	if err := h.Validate(); err != nil {
		return err
	}
	_, err := do[sandtrail.Hold](ctx, c, call{
		method: http.MethodPut, path: []string{"v1", "holds", string(h.Subject), h.SubjectID}, body: api.NewHold{Reason: h.Reason},
	})
	return err
}

// Holds returns all holds.
func (c *Client) Holds(ctx context.Context) ([]sandtrail.Hold, error) {
	page, err := get[api.Page[sandtrail.Hold]](ctx, c, nil, "v1", "holds")
	return page.Items, err
}

// RemoveHold ends a hold. It is not repeated when the answer is lost.
func (c *Client) RemoveHold(ctx context.Context, subject sandtrail.Subject, id string) error {
	_, err := do[struct{}](ctx, c, call{method: http.MethodDelete, path: []string{"v1", "holds", string(subject), id}, once: true})
	return err
}

// HeldBefore counts the old executions that holds keep.
func (c *Client) HeldBefore(ctx context.Context, old sandtrail.Cutoff) (int64, error) {
	count, err := c.countOld(ctx, old)
	return count.Held, err
}
