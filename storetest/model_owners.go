package storetest

import (
	"context"
	"maps"
	"slices"

	"github.com/sandtrail/sandtrail"
)

// PutUser creates or replaces a user.
func (m *Model) PutUser(ctx context.Context, u sandtrail.User) error {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return err
	}
	if err := u.Validate(); err != nil {
		return err
	}
	for _, other := range m.users {
		if other.ID != u.ID && other.Email == u.Email {
			return &sandtrail.Error{Code: sandtrail.CodeConflict, Fields: []sandtrail.FieldError{{Path: "email"}}}
		}
	}
	m.users[u.ID] = u
	return nil
}

// PutStrategy creates or replaces a strategy.
func (m *Model) PutStrategy(ctx context.Context, s sandtrail.Strategy) error {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return err
	}
	if err := s.Validate(); err != nil {
		return err
	}
	m.strategies[s.ID] = s
	return nil
}

// User returns one user.
func (m *Model) User(ctx context.Context, id string) (sandtrail.User, error) {
	leave, err := m.enter(ctx)
	defer leave()
	return one(m.users, id, err)
}

// Strategy returns one strategy.
func (m *Model) Strategy(ctx context.Context, id string) (sandtrail.Strategy, error) {
	leave, err := m.enter(ctx)
	defer leave()
	return one(m.strategies, id, err)
}

func one[T any](all map[string]T, id string, err error) (item T, _ error) {
	if err != nil {
		return item, err
	}
	item, known := all[id]
	if !known {
		return item, sandtrail.CodeNotFound
	}
	return item, nil
}

// Users returns a page of users.
func (m *Model) Users(ctx context.Context, q sandtrail.OwnerQuery) (sandtrail.OwnerPage[sandtrail.User], error) {
	leave, err := m.enter(ctx)
	defer leave()
	return page(m.users, q, err)
}

// Strategies returns a page of strategies.
func (m *Model) Strategies(ctx context.Context, q sandtrail.OwnerQuery) (sandtrail.OwnerPage[sandtrail.Strategy], error) {
	leave, err := m.enter(ctx)
	defer leave()
	return page(m.strategies, q, err)
}

func page[T any](all map[string]T, q sandtrail.OwnerQuery, err error) (page sandtrail.OwnerPage[T], _ error) {
	if err != nil {
		return page, err
	}
	if q, err = q.Plan(); err != nil {
		return page, err
	}
	last, after := "", q.After()
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if after != nil && id <= *after {
			continue
		}
		if len(page.Items) == q.Limit {
			page.NextCursor = q.Next(last)
			break
		}
		page.Items, last = append(page.Items, all[id]), id
	}
	return page, nil
}

// DeleteUser deletes a user and their executions.
func (m *Model) DeleteUser(ctx context.Context, id string) (int64, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if _, err := one(m.users, id, err); err != nil {
		return 0, err
	}
	if m.keeps(sandtrail.Users, id) {
		return 0, sandtrail.CodeHeld
	}
	delete(m.users, id)
	return m.delete(func(e sandtrail.Execution) bool { return e.UserID == id }), nil
}

// DeleteStrategy deletes a strategy and its executions.
func (m *Model) DeleteStrategy(ctx context.Context, id string) (int64, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if _, err := one(m.strategies, id, err); err != nil {
		return 0, err
	}
	if m.keeps(sandtrail.Strategies, id) {
		return 0, sandtrail.CodeHeld
	}
	delete(m.strategies, id)
	return m.delete(func(e sandtrail.Execution) bool { return e.StrategyID == id }), nil
}
