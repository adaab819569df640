package sqlstore

import (
	"context"
	"errors"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// PutHold creates or replaces a hold. It waits for the removals under way, and
// keeps new ones waiting until it is visible.
func (t Tables) PutHold(ctx context.Context, h sandtrail.Hold) error {
	if err := h.Validate(); err != nil {
		return err
	}
	id, err := t.engine.Spell(ctx, h.Subject, h.SubjectID)
	if err != nil {
		return err
	}
	dialect, column := t.engine.Dialect(), string(h.Subject)+"_id"
	err = t.engine.InTx(ctx, "put hold", func(tx Tx) error {
		if dialect.AwaitRemovals != "" {
			if _, err := tx.Exec(ctx, dialect.AwaitRemovals); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "INSERT INTO {schema}.holds (subject, subject_id, "+column+`, reason, created_by, created_at)
			VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (`+column+`) DO UPDATE SET reason = $4, created_by = $5, created_at = $6`,
			string(h.Subject), id, id, h.Reason, h.CreatedBy, h.CreatedAt)
		return err
	})
	if dialect.IsOrphan(err) {
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no %s %q", h.Subject, h.SubjectID)
	}
	return err
}

// heldSubject is what the subject of a hold is called now; of one that is gone,
// what it was called.
const heldSubject = `coalesce(user_id::text, strategy_id::text, subject_id) COLLATE "C"`

const selectHolds = "SELECT subject, " + heldSubject + ", reason, created_by, created_at FROM {schema}.holds h "

func scanHold(scan func(...any) error, h *sandtrail.Hold) error {
	return scan(&h.Subject, &h.SubjectID, &h.Reason, &h.CreatedBy, &h.CreatedAt)
}

// Holds returns all holds.
func (t Tables) Holds(ctx context.Context) (holds []sandtrail.Hold, err error) {
	err = t.engine.Query(ctx, "read holds", selectHolds+"ORDER BY subject, 2", nil, each(&holds, scanHold))
	return holds, err
}

// RemoveHold ends a hold. That of an owner who is gone has the name it was placed under.
func (t Tables) RemoveHold(ctx context.Context, subject sandtrail.Subject, id string) error {
	spelled, err := t.engine.Spell(ctx, subject, id)
	if errors.Is(err, sandtrail.CodeNotFound) {
		spelled, err = id, nil
	}
	if err != nil {
		return err
	}
	n, err := t.engine.Exec(ctx, "remove hold", "DELETE FROM {schema}.holds WHERE subject = $1 AND "+heldSubject+" = $2", string(subject), spelled)
	if err == nil && n == 0 {
		err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no hold on the %s %q", subject, id)
	}
	return err
}

// Held is the error that names the holds that keep an owner, a "user" or a
// "strategy", or executions of it.
func Held(ctx context.Context, tx Tx, owner, id string) error {
	var holds []sandtrail.Hold
	err := tx.Query(ctx, selectHolds+"WHERE h."+owner+`_id = $1
		OR EXISTS (SELECT 1 FROM {logs} e WHERE e.`+owner+`_id = $1 AND (e.user_id = h.user_id OR e.strategy_id = h.strategy_id
			OR e.id IN (SELECT execution_id FROM {schema}.held_executions WHERE hold = h.id)))
		ORDER BY subject, 2`, []any{id}, each(&holds, scanHold))
	if err == nil {
		err = database.Held(nil, holds...)
	}
	return err
}
