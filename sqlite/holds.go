package sqlite

import (
	"context"
	"database/sql"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/sqlstore"
)

var _ sandtrail.Holds = (*Store)(nil)

// unheld is true of executions that no hold keeps: neither their owners nor
// those that they had when these were held.
const unheld = `user_id NOT IN (SELECT user_id FROM sandtrail_holds WHERE user_id IS NOT NULL)
	AND strategy_id NOT IN (SELECT strategy_id FROM sandtrail_holds WHERE strategy_id IS NOT NULL)
	AND id NOT IN (SELECT execution_id FROM sandtrail_held_executions)`

// HeldBefore counts the old executions that holds keep.
func (s *Store) HeldBefore(ctx context.Context, c sandtrail.Cutoff) (n int64, err error) {
	return s.countOld(ctx, "count held executions", c, "NOT ("+unheld+")")
}

// mayDelete fails with ErrHeld when the owner is held or has executions that
// are, so that a removal in steps does not begin.
func (o owner[T]) mayDelete(ctx context.Context, t *sql.Tx, id string) error {
	var held bool
	err := t.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sandtrail_holds WHERE `+o.column+` = ?1)
		OR EXISTS (SELECT 1 FROM sandbox_execution_logs WHERE `+o.column+` = ?1 AND NOT (`+unheld+`))`, id).Scan(&held)
	if err != nil || !held {
		return err
	}
	return sqlstore.Held(ctx, tx{t}, o.noun, id)
}
