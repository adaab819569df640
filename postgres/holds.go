package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/sqlstore"
)

var _ sandtrail.Holds = (*Store)(nil)

// heldState is the SQLSTATE by which the trigger on the executions refuses.
const heldState = "SHELD"

// unheld is true of executions that no hold keeps: neither their owners nor
// those that they had when these were held.
const unheld = `user_id NOT IN (SELECT user_id FROM {schema}.holds WHERE user_id IS NOT NULL)
	AND strategy_id NOT IN (SELECT strategy_id FROM {schema}.holds WHERE strategy_id IS NOT NULL)
	AND id NOT IN (SELECT execution_id FROM {schema}.held_executions)`

// HeldBefore counts the old executions that holds keep.
func (s *Store) HeldBefore(ctx context.Context, c sandtrail.Cutoff) (n int64, err error) {
	n, err = s.countOld(ctx, c, "NOT ("+unheld+")")
	return n, wrap("count held executions", err)
}

// holdStill keeps holds as they are until the transaction ends.
func holdStill(ctx context.Context, tx pgx.Tx, l *layout) error {
	_, err := tx.Exec(ctx, l.sql("SELECT FROM {schema}.settings WHERE name = 'holds' FOR SHARE"))
	return err
}

// holdsAnyOf reports whether a table has executions e that fulfil a condition
// and are held.
func holdsAnyOf(ctx context.Context, q querier, l *layout, table string, c conditions) (held bool, err error) {
	for _, owner := range []string{"user", "strategy"} {
		subjects, err := scanAll(ctx, q, pgx.RowTo[string],
			l.sql(fmt.Sprintf("SELECT %[1]s_id::text FROM {schema}.holds WHERE %[1]s_id IS NOT NULL", owner)))
		if err != nil {
			return false, err
		}
		if held, err := hasAnyOf(ctx, q, l, table, owner, subjects, c); err != nil || held {
			return held, err
		}
	}
	of := conditions{slices.Clone(c.parts), slices.Clone(c.args)}
	of.add("e.id IN (SELECT execution_id FROM {schema}.held_executions)")
	return of.fulfilledIn(ctx, q, l, table)
}

// fulfilledIn reports whether a table has executions e that fulfil conditions.
func (c *conditions) fulfilledIn(ctx context.Context, q querier, l *layout, table string) (found bool, err error) {
	err = q.QueryRow(ctx, l.sql("SELECT true FROM "+table+" e "+c.where()+" LIMIT 1"), c.args...).Scan(&found)
	return found, noRows(err)
}

// hasAnyOf reports whether a table has executions e of some users or
// strategies that fulfil a condition. Each is looked up in the table's indexes.
func hasAnyOf(ctx context.Context, q querier, l *layout, table, owner string, ids []string, c conditions) (found bool, err error) {
	if len(ids) == 0 {
		return false, nil
	}
	of := conditions{slices.Clone(c.parts), slices.Clone(c.args)}
	of.add("e."+owner+"_id = ANY ($::text[]::{"+owner+".key}[])", ids)
	return of.fulfilledIn(ctx, q, l, table)
}

// mayDelete fails with ErrHeld when an owner, a "user" or a "strategy", is
// held or has executions that are, so that a removal in steps does not begin.
func mayDelete(ctx context.Context, q querier, l *layout, owner, id string) error {
	var held bool
	err := q.QueryRow(ctx, l.sql("SELECT EXISTS (SELECT FROM {schema}.holds WHERE "+owner+"_id = $1)"), id).Scan(&held)
	if err == nil && !held {
		var c conditions
		c.add("e."+owner+"_id = $", id)
		held, err = holdsAnyOf(ctx, q, l, "{logs}", c)
	}
	if err != nil || !held {
		return err
	}
	return sqlstore.Held(ctx, tx{q, l}, owner, id)
}
