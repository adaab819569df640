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

// owner describes a table of owners: what the methods for users and for
// strategies differ in.
type owner[T any] struct {
	noun   string // in messages
	table  string
	column string // of executions
}

var users = owner[sandtrail.User]{noun: "user", table: "users", column: "user_id"}

var strategies = owner[sandtrail.Strategy]{noun: "strategy", table: "strategies", column: "strategy_id"}

func (o owner[T]) notFound(id string) error {
	return sandtrail.Errorf(sandtrail.CodeNotFound, "there is no %s %q", o.noun, id)
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
