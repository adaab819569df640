package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

var _ sandtrail.Holds = (*Store)(nil)

// heldState is the SQLSTATE by which the trigger on the executions refuses.
const heldState = "SHELD"

// unheld is true of executions that no hold keeps: neither their owners nor
// those that they had when these were held.
const unheld = `user_id NOT IN (SELECT user_id FROM {schema}.holds WHERE user_id IS NOT NULL)
	AND strategy_id NOT IN (SELECT strategy_id FROM {schema}.holds WHERE strategy_id IS NOT NULL)
	AND id NOT IN (SELECT execution_id FROM {schema}.held_executions)`

// PutHold creates or replaces a hold. It waits for the removals under way, and
// keeps new ones waiting until it is visible.
func (s *Store) PutHold(ctx context.Context, h sandtrail.Hold) error {
	if err := h.Validate(); err != nil {
		return err
	}
	id, err := s.spelled(ctx, h.Subject, h.SubjectID)
	if err != nil {
		return err
	}
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, l.sql("UPDATE {schema}.settings SET value = to_jsonb(value::bigint + 1) WHERE name = 'holds'")); err != nil {
			return err
		}
		column := string(h.Subject) + "_id"
		_, err := tx.Exec(ctx, l.sql("INSERT INTO {schema}.holds (subject, subject_id, "+column+`, reason, created_by, created_at)
			VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (`+column+`) DO UPDATE SET reason = $4, created_by = $5, created_at = $6`),
			string(h.Subject), id, id, h.Reason, h.CreatedBy, h.CreatedAt)
		return err
	})
	if state(err) == foreignKeyViolation { // it went meanwhile
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no %s %q", h.Subject, h.SubjectID)
	}
	return wrap("put hold", err)
}

// spelled is the id of a user or a strategy as the database spells it.
func (s *Store) spelled(ctx context.Context, subject sandtrail.Subject, id string) (string, error) {
	if subject == sandtrail.Users {
		u, err := s.User(ctx, id)
		return u.ID, err
	}
	st, err := s.Strategy(ctx, id)
	return st.ID, err
}

// Holds returns all holds.
func (s *Store) Holds(ctx context.Context) ([]sandtrail.Hold, error) {
	const text = "SELECT " + holdColumns + " FROM {schema}.holds ORDER BY subject, id"
	return collect(ctx, s, "read holds", text, nil, scanHold)
}

// heldSubject is what the subject of a hold is called now; of one that is gone,
// what it was called.
const heldSubject = `coalesce(user_id::text, strategy_id::text, subject_id) COLLATE "C"`

// RemoveHold ends a hold.
func (s *Store) RemoveHold(ctx context.Context, subject sandtrail.Subject, id string) error {
	now, err := s.spelled(ctx, subject, id)
	if errors.Is(err, sandtrail.CodeNotFound) {
		now, err = id, nil
	}
	if err != nil {
		return err
	}
	n, err := s.execute(ctx, "DELETE FROM {schema}.holds WHERE subject = $1 AND "+heldSubject+" = $2", string(subject), now)
	if err == nil && n == 0 {
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no hold on the %s %q", subject, id)
	}
	return wrap("remove hold", err)
}

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
	holds, err := scanAll(ctx, q, scanHold, l.sql("SELECT "+holdColumns+" FROM {schema}.holds h WHERE h."+owner+`_id = $1
		OR EXISTS (SELECT FROM {logs} e WHERE e.`+owner+`_id = $1 AND (e.user_id = h.user_id OR e.strategy_id = h.strategy_id
			OR e.id IN (SELECT execution_id FROM {schema}.held_executions WHERE hold = h.id)))
		ORDER BY subject, id`), id)
	if err == nil {
		err = database.Held(nil, holds...)
	}
	return err
}

const holdColumns = "subject, " + heldSubject + " AS id, reason, created_by, created_at"

func scanHold(row pgx.CollectableRow) (h sandtrail.Hold, err error) {
	err = row.Scan(&h.Subject, &h.SubjectID, &h.Reason, &h.CreatedBy, &h.CreatedAt)
	h.CreatedAt = h.CreatedAt.UTC()
	return h, err
}
