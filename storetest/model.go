package storetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// Model is a store in memory, written in the simplest way that can be right:
// slices and maps that every question walks from end to end. It is the oracle
// that real stores are compared with.
type Model struct {
	mu         sync.Mutex
	users      map[string]sandtrail.User
	strategies map[string]sandtrail.Strategy
	records    map[sandtrail.ID]sandtrail.Execution
	holds      map[held]sandtrail.Hold
}

var _ sandtrail.Store = (*Model)(nil)

// NewModel returns an empty model.
func NewModel() *Model {
	return &Model{
		users:      map[string]sandtrail.User{},
		strategies: map[string]sandtrail.Strategy{},
		records:    map[sandtrail.ID]sandtrail.Execution{},
		holds:      map[held]sandtrail.Hold{},
	}
}

// enter takes the lock, unless the context has ended.
func (m *Model) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return func() {}, fmt.Errorf("model: %w", err)
	}
	m.mu.Lock()
	return m.mu.Unlock, nil
}

// Append stores a batch, all or nothing.
func (m *Model) Append(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return sandtrail.Appended{}, err
	}
	if len(batch) > sandtrail.MaxBatch {
		return sandtrail.Appended{}, sandtrail.CodeTooLarge
	}
	fresh, _, err := database.Merge(batch, m.records)
	if err != nil {
		return sandtrail.Appended{}, err
	}
	noUser, noStrategy := map[string]bool{}, map[string]bool{}
	for _, e := range fresh {
		if _, known := m.users[e.UserID]; !known {
			noUser[e.UserID] = true
		}
		if _, known := m.strategies[e.StrategyID]; !known {
			noStrategy[e.StrategyID] = true
		}
	}
	if len(noUser)+len(noStrategy) > 0 {
		return sandtrail.Appended{}, database.UnknownOwners(batch, noUser, noStrategy, nil)
	}
	for _, e := range fresh {
		m.records[e.ID] = e
	}
	return database.NewAppended(batch, fresh), nil
}

// Execution returns one record with its owners.
func (m *Model) Execution(ctx context.Context, id sandtrail.ID) (sandtrail.Execution, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return sandtrail.Execution{}, err
	}
	e, known := m.records[id]
	if !known {
		return e, sandtrail.CodeNotFound
	}
	return m.withOwners(e), nil
}

// ExecutionByPrefix returns the one record whose id begins so.
func (m *Model) ExecutionByPrefix(ctx context.Context, p sandtrail.IDPrefix, userID string) (sandtrail.Execution, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return sandtrail.Execution{}, err
	}
	var found []sandtrail.Execution
	for id, e := range m.records {
		if strings.HasPrefix(id.String(), p.String()) && (userID == "" || e.UserID == userID) {
			found = append(found, m.withOwners(e))
		}
	}
	slices.SortFunc(found, func(a, b sandtrail.Execution) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return database.Only(p, found)
}

func (m *Model) withOwners(e sandtrail.Execution) sandtrail.Execution {
	user, strategy := m.users[e.UserID], m.strategies[e.StrategyID]
	e.User, e.Strategy = &user, &strategy
	return e
}

// Executions returns a page, newest first.
func (m *Model) Executions(ctx context.Context, q sandtrail.Query, now time.Time) (page sandtrail.Page, err error) {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return page, err
	}
	plan, err := q.Plan(now)
	if err != nil {
		return page, err
	}
	for _, e := range m.newest(func(e sandtrail.Execution) bool { return matches(plan.Filter, e) }) {
		if after := plan.After; after != nil && compare(e, sandtrail.Execution{ID: after.ID, CreatedAt: after.CreatedAt}) >= 0 {
			continue
		}
		if len(page.Items) == plan.Limit {
			page.NextCursor = plan.Cursor(page.Items[plan.Limit-1])
			break
		}
		page.Items = append(page.Items, m.withOwners(e))
	}
	return page, nil
}

// newest returns the records that satisfy a condition, newest first.
func (m *Model) newest(keep func(sandtrail.Execution) bool) []sandtrail.Execution {
	var found []sandtrail.Execution
	for _, e := range m.records {
		if keep(e) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b sandtrail.Execution) int { return compare(b, a) })
	return found
}

func compare(a, b sandtrail.Execution) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), bytes.Compare(a.ID[:], b.ID[:]))
}

func matches(f sandtrail.Filter, e sandtrail.Execution) bool {
	return (f.UserID == "" || f.UserID == e.UserID) &&
		(f.StrategyID == "" || f.StrategyID == e.StrategyID) &&
		(f.Type == "" || f.Type == e.Type) &&
		(f.Success == nil || *f.Success == e.Success) &&
		(f.TimedOut == nil || *f.TimedOut == e.TimedOut) &&
		within(e.CreatedAt, f.Since, f.Until) &&
		(f.MinTime == nil || e.ExecutionTime >= *f.MinTime) &&
		(f.MaxTime == nil || e.ExecutionTime <= *f.MaxTime) &&
		(f.MaxMemory == nil || e.MemoryUsed != nil && *e.MemoryUsed <= *f.MaxMemory) &&
		(f.MinMemory == nil || e.MemoryUsed != nil && *e.MemoryUsed >= *f.MinMemory) &&
		(f.Text == "" || e.Metadata != nil && strings.Contains(asciiLower(string(e.Metadata)), asciiLower(f.Text)))
}

// within reports whether t lies in [since, until); zero bounds are none.
func within(t, since, until time.Time) bool {
	return (since.IsZero() || !t.Before(since)) && (until.IsZero() || t.Before(until))
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// CountBefore counts the executions that Cleanup would delete.
func (m *Model) CountBefore(ctx context.Context, c sandtrail.Cutoff) (int64, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return 0, err
	}
	return int64(len(m.newest(m.old(c)))), nil
}

// old selects what is old and not held.
func (m *Model) old(c sandtrail.Cutoff) func(sandtrail.Execution) bool {
	return func(e sandtrail.Execution) bool { return isOld(c, e) && !m.keepsExecution(e) }
}

func isOld(c sandtrail.Cutoff, e sandtrail.Execution) bool {
	ofType, hasType := c.Types[e.Type]
	ofStrategy, hasStrategy := c.Strategies[e.StrategyID]
	return (!hasType || e.CreatedAt.Before(ofType)) && (!hasStrategy || e.CreatedAt.Before(ofStrategy)) &&
		(hasType || hasStrategy || e.CreatedAt.Before(c.Before))
}

// Cleanup deletes the executions that are old and not held.
func (m *Model) Cleanup(ctx context.Context, c sandtrail.Cutoff) (int64, error) {
	return m.CleanupArchived(ctx, time.Time{}, c, func(sandtrail.ID) bool { return true })
}

// CleanupArchived is Cleanup of what is archived.
func (m *Model) CleanupArchived(ctx context.Context, since time.Time, c sandtrail.Cutoff, archived func(sandtrail.ID) bool) (int64, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return 0, err
	}
	old := m.old(c)
	return m.delete(func(e sandtrail.Execution) bool { return old(e) && !e.CreatedAt.Before(since) && archived(e.ID) }), nil
}

func (m *Model) delete(gone func(sandtrail.Execution) bool) int64 {
	found := m.newest(gone)
	for _, e := range found {
		delete(m.records, e.ID)
	}
	return int64(len(found))
}

// Ping says that the model is there.
func (m *Model) Ping(ctx context.Context) error { return ctx.Err() }

// Close does nothing.
func (m *Model) Close() error { return nil }
