package sqlite

import (
	"context"
	"database/sql"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

var _ sandtrail.Holds = (*Store)(nil)

// unheld is true of executions that no hold keeps: neither their owners nor
// those that they had when these were held.
const unheld = `user_id NOT IN (SELECT user_id FROM sandtrail_holds WHERE user_id IS NOT NULL)
	AND strategy_id NOT IN (SELECT strategy_id FROM sandtrail_holds WHERE strategy_id IS NOT NULL)
	AND id NOT IN (SELECT execution_id FROM sandtrail_held_executions)`

// heldSubject is what the subject of a hold is called now; of one that is gone,
// what it was called.
const heldSubject = "coalesce(user_id, strategy_id, subject_id)"

// PutHold creates or replaces a hold.
func (s *Store) PutHold(ctx context.Context, h sandtrail.Hold) error {
	if err := h.Validate(); err != nil {
		return err
	}
	exists := users.exists
	if h.Subject == sandtrail.Strategies {
		exists = strategies.exists
	}
	id, err := s.spellSubject(ctx, h.Subject, h.SubjectID)
	if err != nil {
		return err
	}
	return s.write(ctx, "put hold", func(tx *sql.Tx) error {
		if err := exists(ctx, tx, id); err != nil {
			return err
		}
		column := string(h.Subject) + "_id"
		_, err := tx.ExecContext(ctx, `INSERT INTO sandtrail_holds (subject, subject_id, `+column+`, reason, created_by, created_at)
			VALUES (?1, ?2, ?2, ?3, ?4, ?5)
			ON CONFLICT (`+column+`) DO UPDATE SET reason = ?3, created_by = ?4, created_at = ?5`,
			string(h.Subject), id, h.Reason, h.CreatedBy, formatTime(h.CreatedAt))
		return err
	})
}

func (s *Store) spellSubject(ctx context.Context, subject sandtrail.Subject, id string) (string, error) {
	if subject == sandtrail.Users {
		return users.spellOf(ctx, s, id)
	}
	return strategies.spellOf(ctx, s, id)
}

// Holds returns all holds.
func (s *Store) Holds(ctx context.Context) ([]sandtrail.Hold, error) {
	text := "SELECT " + holdColumns + " FROM sandtrail_holds ORDER BY subject, 2"
	return selectAll(ctx, s, "read holds", text, nil, scanHold)
}

// RemoveHold ends a hold.
func (s *Store) RemoveHold(ctx context.Context, subject sandtrail.Subject, id string) error {
	id, err := s.spellSubject(ctx, subject, id)
	if err != nil {
		return err
	}
	return s.write(ctx, "remove hold", func(tx *sql.Tx) error {
		n, err := execCount(ctx, tx, "DELETE FROM sandtrail_holds WHERE subject = ? AND "+heldSubject+" = ?", string(subject), id)
		if err == nil && n == 0 {
			err = sandtrail.Errorf(sandtrail.CodeNotFound, "there is no hold on the %s %q", subject, id)
		}
		return err
	})
}

// HeldBefore counts the old executions that holds keep.
func (s *Store) HeldBefore(ctx context.Context, c sandtrail.Cutoff) (n int64, err error) {
	return s.countOld(ctx, "count held executions", c, "NOT ("+unheld+")")
}

// mayDelete fails with ErrHeld when the owner is held or has executions that
// are, so that a removal in steps does not begin.
func (o owner[T]) mayDelete(ctx context.Context, tx *sql.Tx, id string) error {
	var held bool
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sandtrail_holds WHERE `+o.column+` = ?1)
		OR EXISTS (SELECT 1 FROM sandbox_execution_logs WHERE `+o.column+` = ?1 AND NOT (`+unheld+`))`, id).Scan(&held)
	if err != nil || !held {
		return err
	}
	holds, err := o.holdsOn(ctx, tx, id)
	if err == nil {
		err = database.Held(nil, holds...)
	}
	return err
}

const holdColumns = "subject, " + heldSubject + " AS id, reason, created_by, created_at"

// holdsOn are the holds that keep an owner or executions of it.
func (o owner[T]) holdsOn(ctx context.Context, tx *sql.Tx, id string) ([]sandtrail.Hold, error) {
	rows, err := tx.QueryContext(ctx, "SELECT "+holdColumns+` FROM sandtrail_holds h WHERE h.`+o.column+` = ?1
		OR EXISTS (SELECT 1 FROM sandbox_execution_logs e WHERE e.`+o.column+` = ?1 AND (e.user_id = h.user_id OR e.strategy_id = h.strategy_id
			OR e.id IN (SELECT execution_id FROM sandtrail_held_executions WHERE hold = h.id)))
		ORDER BY subject, 2`, id)
	if err != nil {
		return nil, err
	}
	return collect(rows, scanHold)
}

func scanHold(scan func(...any) error) (h sandtrail.Hold, err error) {
	var at timestamp
	err = scan(&h.Subject, &h.SubjectID, &h.Reason, &h.CreatedBy, &at)
	h.CreatedAt = at.Time
	return h, err
}
