package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
)

var _ sandtrail.Holds = (*Store)(nil)

// heldState is the SQLSTATE by which the trigger on the executions refuses.
const heldState = "SHELD"

// unheld is true of executions that no hold keeps.
const unheld = `user_id::text NOT IN (SELECT subject_id FROM {schema}.holds WHERE subject = 'user')
	AND strategy_id::text NOT IN (SELECT subject_id FROM {schema}.holds WHERE subject = 'strategy')`

// PutHold creates or replaces a hold. Its lock waits for the removals under
// way, which share another, and keeps new ones waiting until it is visible.
func (s *Store) PutHold(ctx context.Context, h sandtrail.Hold) error {
	if err := h.Validate(); err != nil {
		return err
	}
	var err error
	if h.Subject == sandtrail.Users {
		_, err = s.User(ctx, h.SubjectID)
	} else {
		_, err = s.Strategy(ctx, h.SubjectID)
	}
	if err != nil {
		return err
	}
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, l.sql("LOCK TABLE {schema}.holds IN EXCLUSIVE MODE")); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, l.sql(`INSERT INTO {schema}.holds (subject, subject_id, reason, created_by, created_at)
			VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (subject, subject_id) DO UPDATE SET reason = $3, created_by = $4, created_at = $5`),
			string(h.Subject), h.SubjectID, h.Reason, h.CreatedBy, h.CreatedAt)
		return err
	})
	return wrap("put hold", err)
}

// Holds returns all holds.
func (s *Store) Holds(ctx context.Context) ([]sandtrail.Hold, error) {
	const text = "SELECT subject, subject_id, reason, created_by, created_at FROM {schema}.holds ORDER BY subject, subject_id"
	return collect(ctx, s, "read holds", text, nil, func(row pgx.CollectableRow) (h sandtrail.Hold, err error) {
		err = row.Scan(&h.Subject, &h.SubjectID, &h.Reason, &h.CreatedBy, &h.CreatedAt)
		h.CreatedAt = h.CreatedAt.UTC()
		return h, err
	})
}

// RemoveHold ends a hold.
func (s *Store) RemoveHold(ctx context.Context, subject sandtrail.Subject, id string) error {
	n, err := s.execute(ctx, "DELETE FROM {schema}.holds WHERE subject = $1 AND subject_id = $2", string(subject), id)
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
	_, err := tx.Exec(ctx, l.sql("LOCK TABLE {schema}.holds IN ROW SHARE MODE"))
	return err
}

// holdsAnyOf reports whether a table has executions e that fulfil a condition
// and are held.
func holdsAnyOf(ctx context.Context, q querier, l *layout, table string, c conditions) (held bool, err error) {
	for _, owner := range []string{"user", "strategy"} {
		subjects, err := scanAll(ctx, q, pgx.RowTo[string], l.sql("SELECT subject_id FROM {schema}.holds WHERE subject = $1"), owner)
		if err != nil {
			return false, err
		}
		if held, err := hasAnyOf(ctx, q, l, table, owner, subjects, c); err != nil || held {
			return held, err
		}
	}
	return false, nil
}

// hasAnyOf reports whether a table has executions e of some users or
// strategies that fulfil a condition. Each is looked up in the table's indexes.
func hasAnyOf(ctx context.Context, q querier, l *layout, table, owner string, ids []string, c conditions) (found bool, err error) {
	if len(ids) == 0 {
		return false, nil
	}
	of := conditions{slices.Clone(c.parts), slices.Clone(c.args)}
	of.add("e."+owner+"_id = ANY ($)", ids)
	err = q.QueryRow(ctx, l.sql("SELECT true FROM "+table+" e "+of.where()+" LIMIT 1"), of.args...).Scan(&found)
	return found, noRows(err)
}

// mayDelete fails with ErrHeld when an owner, a "user" or a "strategy", is
// held or has executions that are, so that a removal in steps does not begin.
func mayDelete(ctx context.Context, q querier, l *layout, owner, id string) error {
	var held bool
	err := q.QueryRow(ctx, l.sql("SELECT EXISTS (SELECT FROM {schema}.holds WHERE subject = $1 AND subject_id = $2)"), owner, id).Scan(&held)
	if err == nil && !held {
		var c conditions
		c.add("e."+owner+"_id = $", id)
		held, err = holdsAnyOf(ctx, q, l, "{logs}", c)
	}
	if err == nil && held {
		err = sandtrail.Held(nil)
	}
	return err
}
