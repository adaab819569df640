package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// PutUser creates or replaces a user.
func (s *Store) PutUser(ctx context.Context, u sandtrail.User) error {
	if err := u.Validate(); err != nil {
		return err
	}
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	if err := l.Users.checkKey(u.ID); err != nil {
		return err
	}
	columns, values, set := "{users.id}, {users.email}, {users.name}", "$1, $2, $3", ", {users.name} = $3"
	args := []any{u.ID, u.Email, u.Name}
	if l.Users.Name == "" {
		columns, values, set, args = "{users.id}, {users.email}", "$1, $2", "", args[:2]
	}
	err = s.putOwner(ctx, l.sql(fmt.Sprintf(
		"INSERT INTO {users} (%s) VALUES (%s) ON CONFLICT ({users.id}) DO UPDATE SET {users.email} = $2%s", columns, values, set)), args...)
	if state(err) == uniqueViolation {
		return &sandtrail.Error{
			Code: sandtrail.CodeConflict, Message: "conflicting user", Err: err,
			Fields: []sandtrail.FieldError{{Path: "email", Message: fmt.Sprintf("%q belongs to another user", u.Email)}},
		}
	}
	return wrapf(err, "put user %q", u.ID)
}

// putOwner inserts an owner or replaces the one of the same key. Where the same
// owner is stored at the same moment, PostgreSQL can report a violation of
// another unique index (that of the email) before it meets the row of that key.
func (s *Store) putOwner(ctx context.Context, statement string, args ...any) (err error) {
	for range 3 {
		if _, err = s.pool.Exec(ctx, statement, args...); state(err) != uniqueViolation {
			return err
		}
	}
	return err
}

// PutStrategy creates or replaces a strategy.
func (s *Store) PutStrategy(ctx context.Context, st sandtrail.Strategy) error {
	if err := st.Validate(); err != nil {
		return err
	}
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	if err := l.Strategies.checkKey(st.ID); err != nil {
		return err
	}
	err = s.putOwner(ctx, l.sql(`INSERT INTO {strategies} ({strategies.id}, {strategies.name}) VALUES ($1, $2)
		ON CONFLICT ({strategies.id}) DO UPDATE SET {strategies.name} = $2`), st.ID, st.Name)
	return wrapf(err, "put strategy %q", st.ID)
}

// purgeBatch is how many executions one transaction of a purge deletes.
const purgeBatch = 5000

// DeleteUser deletes the user's executions in short transactions, then the
// user. Interrupted, it can be called again.
func (s *Store) DeleteUser(ctx context.Context, id string) (int64, error) {
	ctx = database.WithOwnLimits(ctx)
	id, err := engine{s}.Spell(ctx, sandtrail.Users, id)
	if err != nil {
		return 0, err
	}
	deleted, err := s.purge(ctx, "{users}", "{users.id}", "user", id)
	return deleted, wrapf(err, "delete user %q", id)
}

// DeleteStrategy is DeleteUser for strategies.
func (s *Store) DeleteStrategy(ctx context.Context, id string) (int64, error) {
	ctx = database.WithOwnLimits(ctx)
	id, err := engine{s}.Spell(ctx, sandtrail.Strategies, id)
	if err != nil {
		return 0, err
	}
	deleted, err := s.purge(ctx, "{strategies}", "{strategies.id}", "strategy", id)
	return deleted, wrapf(err, "delete strategy %q", id)
}

// purge deletes an owner, a "user" or a "strategy", and their executions,
// oldest first.
func (s *Store) purge(ctx context.Context, table, key, owner, id string) (deleted int64, err error) {
	l, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	if err := mayDelete(ctx, s.pool, l, owner, id); err != nil {
		return 0, err
	}
	for {
		n, err := s.purgeSome(ctx, l, owner, id)
		deleted += n
		database.ReportDeleted(ctx, n)
		if err != nil {
			return deleted, err
		}
		if n == 0 {
			break
		}
	}
	var last int64
	k := l.keeper()
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		if err := k.enter(ctx, tx, true, nil); err != nil {
			return err
		}
		// The lock keeps new executions out until the owner is gone.
		if _, err := tx.Exec(ctx, l.sql("SELECT FROM "+table+" WHERE "+key+" = $1 FOR UPDATE"), id); err != nil {
			return err
		}
		if err := holdStill(ctx, tx, l); err != nil {
			return err
		}
		if err := mayDelete(ctx, tx, l, owner, id); err != nil {
			return err
		}
		if last, _, err = k.remove(ctx, tx, owner, "DELETE FROM {logs} e WHERE e."+owner+"_id = $1", id); err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, l.sql("DELETE FROM "+table+" WHERE "+key+" = $1"), id); err != nil {
			return err
		}
		return forgetSoon(ctx, tx, l)
	})
	if err != nil {
		return deleted, err
	}
	database.ReportDeleted(ctx, last)
	return deleted + last, nil
}

// purgeSome deletes the oldest purgeBatch executions of an owner, none when
// fewer are left.
func (s *Store) purgeSome(ctx context.Context, l *layout, owner, id string) (n int64, err error) {
	k := l.keeper()
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		if err := k.enter(ctx, tx, false, nil); err != nil {
			return err
		}
		n, _, err = k.remove(ctx, tx, owner, fmt.Sprintf(`
			WITH boundary AS (
				SELECT created_at, id FROM {logs} WHERE %[1]s_id = $1 ORDER BY created_at, id OFFSET %[2]d LIMIT 1)
			DELETE FROM {logs} e USING boundary b
			WHERE e.%[1]s_id = $1 AND (e.created_at, e.id) < (b.created_at, b.id)`, owner, purgeBatch), id)
		return err
	})
	return n, err
}
