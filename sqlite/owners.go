package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sandtrail/sandtrail"
)

// PutUser creates or replaces a user; it is on disk when PutUser returns.
func (s *Store) PutUser(ctx context.Context, u sandtrail.User) error {
	if err := u.Validate(); err != nil {
		return err
	}
	id, err := users.checkKey(ctx, s, u.ID)
	if err != nil {
		return err
	}
	err = s.write(ctx, "put user", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO users (id, email, name) VALUES (?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET email = excluded.email, name = excluded.name`, id, u.Email, value(u.Name))
		return err
	})
	if resultCode(err) == sqlite3.SQLITE_CONSTRAINT_UNIQUE {
		return &sandtrail.Error{
			Code: sandtrail.CodeConflict, Message: "conflicting user", Err: err,
			Fields: []sandtrail.FieldError{{Path: "email", Message: fmt.Sprintf("%q belongs to another user", u.Email)}},
		}
	}
	return err
}

// PutStrategy creates or replaces a strategy; it is on disk when PutStrategy
// returns.
func (s *Store) PutStrategy(ctx context.Context, strategy sandtrail.Strategy) error {
	if err := strategy.Validate(); err != nil {
		return err
	}
	id, err := strategies.checkKey(ctx, s, strategy.ID)
	if err != nil {
		return err
	}
	return s.write(ctx, "put strategy", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO strategies (id, name) VALUES (?, ?)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name`, id, strategy.Name)
		return err
	})
}

// User returns one user, or ErrNotFound.
func (s *Store) User(ctx context.Context, id string) (sandtrail.User, error) {
	return one(ctx, s, users, id)
}

// Strategy returns one strategy, or ErrNotFound.
func (s *Store) Strategy(ctx context.Context, id string) (sandtrail.Strategy, error) {
	return one(ctx, s, strategies, id)
}

// Users returns a page of users.
func (s *Store) Users(ctx context.Context, q sandtrail.OwnerQuery) (sandtrail.OwnerPage[sandtrail.User], error) {
	return page(ctx, s, users, q)
}

// Strategies returns a page of strategies.
func (s *Store) Strategies(ctx context.Context, q sandtrail.OwnerQuery) (sandtrail.OwnerPage[sandtrail.Strategy], error) {
	return page(ctx, s, strategies, q)
}

// owner describes a table of owners: what the methods for users and for
// strategies differ in.
type owner[T any] struct {
	noun   string // in messages
	table  string
	column string // of executions
	fields string // the table's columns
	scan   func(*sql.Rows, *T) error
	id     func(T) string
}

var users = owner[sandtrail.User]{
	noun: "user", table: "users", column: "user_id", fields: "id, coalesce(email, ''), name",
	scan: func(rows *sql.Rows, u *sandtrail.User) error { return rows.Scan(&u.ID, &u.Email, &u.Name) },
	id:   func(u sandtrail.User) string { return u.ID },
}

var strategies = owner[sandtrail.Strategy]{
	noun: "strategy", table: "strategies", column: "strategy_id", fields: "id, coalesce(name, '')",
	scan: func(rows *sql.Rows, s *sandtrail.Strategy) error { return rows.Scan(&s.ID, &s.Name) },
	id:   func(s sandtrail.Strategy) string { return s.ID },
}

func (o owner[T]) notFound(id string) error {
	return sandtrail.Errorf(sandtrail.CodeNotFound, "there is no %s %q", o.noun, id)
}

func (o owner[T]) query(ctx context.Context, s *Store, what, rest string, args ...any) (found []T, err error) {
	err = s.query(ctx, what, "SELECT "+o.fields+" FROM "+o.table+rest, args, func(rows *sql.Rows) error {
		found = []T{}
		for rows.Next() {
			var item T
			if err := o.scan(rows, &item); err != nil {
				return err
			}
			found = append(found, item)
		}
		return rows.Err()
	})
	return found, err
}

// exists fails with ErrNotFound when there is no owner with that id.
func (o owner[T]) exists(ctx context.Context, tx *sql.Tx, id string) error {
	var known bool
	err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+o.table+" WHERE id = ?)", id).Scan(&known)
	if err == nil && !known {
		err = o.notFound(id)
	}
	return err
}

func one[T any](ctx context.Context, s *Store, o owner[T], id string) (item T, err error) {
	if id, err = o.spellOf(ctx, s, id); err != nil {
		return item, err
	}
	found, err := o.query(ctx, s, "read "+o.noun, " WHERE id = ?", id)
	if err != nil {
		return item, err
	}
	if len(found) == 0 {
		return item, o.notFound(id)
	}
	return found[0], nil
}

func page[T any](ctx context.Context, s *Store, o owner[T], q sandtrail.OwnerQuery) (page sandtrail.OwnerPage[T], err error) {
	q, err = q.Plan()
	if err != nil {
		return page, err
	}
	var behind conditions
	if after := q.After(); after != nil {
		behind.add("id > ?", *after)
	}
	page.Items, err = o.query(ctx, s, "list "+o.table, behind.text()+" ORDER BY id LIMIT ?", append(behind.args, q.Limit+1)...)
	if err == nil && len(page.Items) > q.Limit {
		page.Items = page.Items[:q.Limit]
		page.NextCursor = q.Next(o.id(page.Items[q.Limit-1]))
	}
	return page, err
}
