package sqlstore

import (
	"context"
	"strconv"

	"github.com/sandtrail/sandtrail"
)

// owner describes a table of the application: what the methods for users and for
// strategies differ in.
type owner[T any] struct {
	noun, plural string // in messages
	fields, from string
	key, order   string // the id, and the expression that sorts by it
	scan         func(scan func(...any) error, item *T) error
	id           func(T) string
}

var users = owner[sandtrail.User]{
	noun: "user", plural: "users", fields: "u.{users.id}::text, coalesce(u.{users.email}, ''), {u.name}",
	from: "{users} u", key: "u.{users.id}", order: "{users.order}",
	scan: func(scan func(...any) error, u *sandtrail.User) error { return scan(&u.ID, &u.Email, &u.Name) },
	id:   func(u sandtrail.User) string { return u.ID },
}

var strategies = owner[sandtrail.Strategy]{
	noun: "strategy", plural: "strategies", fields: "{strategies.id}::text, coalesce({strategies.name}, '')",
	from: "{strategies}", key: "{strategies.id}", order: "{strategies.order}",
	scan: func(scan func(...any) error, s *sandtrail.Strategy) error { return scan(&s.ID, &s.Name) },
	id:   func(s sandtrail.Strategy) string { return s.ID },
}

// User returns one user, or sandtrail.CodeNotFound.
func (t Tables) User(ctx context.Context, id string) (sandtrail.User, error) {
	return one(ctx, t.engine, users, id)
}

// Strategy returns one strategy, or sandtrail.CodeNotFound.
func (t Tables) Strategy(ctx context.Context, id string) (sandtrail.Strategy, error) {
	return one(ctx, t.engine, strategies, id)
}

// Users returns a page of users.
func (t Tables) Users(ctx context.Context, q sandtrail.OwnerQuery) (sandtrail.OwnerPage[sandtrail.User], error) {
	return page(ctx, t.engine, users, q)
}

// Strategies returns a page of strategies.
func (t Tables) Strategies(ctx context.Context, q sandtrail.OwnerQuery) (sandtrail.OwnerPage[sandtrail.Strategy], error) {
	return page(ctx, t.engine, strategies, q)
}

func one[T any](ctx context.Context, e Engine, o owner[T], id string) (item T, err error) {
	var found []T
	err = e.Query(ctx, "read "+o.noun, "SELECT "+o.fields+" FROM "+o.from+" WHERE "+o.key+" = $1", []any{id}, each(&found, o.scan))
	switch {
	case e.Dialect().IsNoKey(err), err == nil && len(found) == 0:
		return item, sandtrail.Errorf(sandtrail.CodeNotFound, "there is no %s %q", o.noun, id)
	case err != nil:
		return item, err
	}
	return found[0], nil
}

func page[T any](ctx context.Context, e Engine, o owner[T], q sandtrail.OwnerQuery) (page sandtrail.OwnerPage[T], err error) {
	q, err = q.Plan()
	if err != nil {
		return page, err
	}
	var c conditions
	if after := q.After(); after != nil {
		c.add(o.order+" > ", *after)
	}
	err = e.Query(ctx, "list "+o.plural, "SELECT "+o.fields+" FROM "+o.from+c.text+" ORDER BY "+o.order+" LIMIT "+strconv.Itoa(q.Limit+1),
		c.args, each(&page.Items, o.scan))
	if e.Dialect().IsNoKey(err) {
		err = sandtrail.Errorf(sandtrail.CodeInvalid, "cursor: not a cursor of this service; start again without one")
	}
	if err == nil && len(page.Items) > q.Limit {
		page.Items = page.Items[:q.Limit]
		page.NextCursor = q.Next(o.id(page.Items[q.Limit-1]))
	}
	return page, err
}
