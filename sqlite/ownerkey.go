package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/ownerkey"
)

// keyTypes are the types of the keys that the application gave its users and
// strategies: integers where its columns are, else texts.
type keyTypes struct{ users, strategies ownerkey.Type }

// keys returns them, reading them when they are not known yet.
func (s *Store) keys(ctx context.Context) (k keyTypes, err error) {
	if known := s.keyTypes.Load(); known != nil {
		return *known, nil
	}
	err = s.query(ctx, "look at the keys of users and strategies", `SELECT u.type LIKE '%INT%', s.type LIKE '%INT%'
		FROM pragma_table_info('users') u, pragma_table_info('strategies') s WHERE u.name = 'id' AND s.name = 'id'`, nil,
		func(rows *sql.Rows) error {
			var user, strategy bool
			for rows.Next() {
				if err := rows.Scan(&user, &strategy); err != nil {
					return err
				}
				k = keyTypes{keyType(user), keyType(strategy)}
				s.keyTypes.Store(&k)
			}
			return rows.Err()
		})
	return k, err
}

func keyType(integer bool) ownerkey.Type {
	if integer {
		return ownerkey.Int64
	}
	return ownerkey.Text
}

// spell spells a user's and a strategy's id as their columns do.
func (s *Store) spell(ctx context.Context, userID, strategyID string) (user, strategy string, err error) {
	k, err := s.keys(ctx)
	return k.users.Spell(userID), k.strategies.Spell(strategyID), err
}

// spellOf spells an id of the owners' table.
func (o owner[T]) spellOf(ctx context.Context, s *Store, id string) (string, error) {
	user, strategy, err := s.spell(ctx, id, id)
	if o.table == users.table {
		return user, err
	}
	return strategy, err
}

// checkKey spells an id that is stored, and refuses one that the column cannot
// hold.
func (o owner[T]) checkKey(ctx context.Context, s *Store, id string) (string, error) {
	k, err := s.keys(ctx)
	if err != nil {
		return id, err
	}
	key := k.strategies
	if o.table == users.table {
		key = k.users
	}
	spelled, ok := key.Canonical(id)
	if ok {
		return spelled, nil
	}
	return id, &sandtrail.Error{
		Code: sandtrail.CodeInvalid, Message: "invalid id",
		Fields: []sandtrail.FieldError{{Path: "id", Message: fmt.Sprintf("keys of %s are integers, got %q", o.table, id)}},
	}
}

func (s *Store) spellBatch(ctx context.Context, batch []sandtrail.Admitted) ([]sandtrail.Admitted, error) {
	k, err := s.keys(ctx)
	if err != nil || k == (keyTypes{}) {
		return batch, err
	}
	batch = slices.Clone(batch)
	for i := range batch {
		e := &batch[i].Execution
		e.UserID, e.StrategyID = k.users.Spell(e.UserID), k.strategies.Spell(e.StrategyID)
	}
	return batch, nil
}

func (s *Store) spellCutoff(ctx context.Context, c sandtrail.Cutoff) (sandtrail.Cutoff, error) {
	k, err := s.keys(ctx)
	return c.Spell(k.strategies.Spell), err
}
