package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

// changesPerStep keeps a step of sealing so short that writers hardly notice
// it.
const changesPerStep = 2048

// seal takes what came and went since into the ledger, step by step.
func (s *Store) seal(ctx context.Context, now time.Time) error {
	for {
		unsealed, err := s.unsealed(ctx)
		if err != nil || !unsealed {
			return err
		}
		if err := s.write(ctx, "seal", func(tx *sql.Tx) error { return s.sealStep(ctx, tx, now) }); err != nil {
			return err
		}
	}
}

// unsealed looks without taking the write lock.
func (s *Store) unsealed(ctx context.Context) (any bool, err error) {
	err = s.read(ctx, "seal", func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sandtrail_ledger_removed)
			OR EXISTS (SELECT 1 FROM sandtrail_feed WHERE seq > (SELECT seq FROM sandtrail_ledger_sealed))`).Scan(&any)
	})
	return any, err
}

// sealStep enters the next executions that came; when nothing else has come,
// the next removals, and those of their executions that are stored all the
// same and have no leaf any more. So what is stored has its leaf in the end,
// in whatever order an execution came and went.
func (s *Store) sealStep(ctx context.Context, tx *sql.Tx, now time.Time) error {
	b := &book{tx: tx}
	came, seq, err := b.came(ctx, changesPerStep)
	if err != nil {
		return err
	}
	changes := came
	if seq == 0 {
		if changes, err = b.takeWent(ctx, changesPerStep); err != nil {
			return err
		}
		for _, c := range changes {
			changes = append(changes, ledger.Change{ID: c.ID})
		}
	}
	if _, err := ledger.SealChanges(ctx, b, changes, now, rand.Reader); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE sandtrail_ledger_sealed SET seq = max(seq, ?)`, seq)
	return err
}

// came lists executions that came after the last one sealed, up to a limit,
// and the number of the last of them, 0 when none came.
func (b *book) came(ctx context.Context, limit int) (changes []ledger.Change, last int64, err error) {
	rows, err := b.tx.QueryContext(ctx, `SELECT seq, execution_id FROM sandtrail_feed
		WHERE seq > (SELECT seq FROM sandtrail_ledger_sealed) ORDER BY seq LIMIT ?`, limit)
	if err != nil {
		return nil, 0, err
	}
	changes, err = collect(rows, func(scan func(...any) error) (ledger.Change, error) {
		var id executionID
		err := scan(&last, &id)
		return ledger.Change{ID: id.ID}, err
	})
	return changes, last, err
}

const removedColumns = `id, created_at, reason`

func scanRemoved(scan func(...any) error) (ledger.Change, error) {
	c := ledger.Change{Removed: true}
	var id executionID
	var at timestamp
	err := scan(&id, &at, &c.Reason)
	c.ID, c.CreatedAt = id.ID, at.Time
	return c, err
}

// takeWent takes up to limit removals out of the journal.
func (b *book) takeWent(ctx context.Context, limit int) ([]ledger.Change, error) {
	rows, err := b.tx.QueryContext(ctx, `DELETE FROM sandtrail_ledger_removed WHERE seq IN
		(SELECT seq FROM sandtrail_ledger_removed ORDER BY seq LIMIT ?) RETURNING `+removedColumns, limit)
	if err != nil {
		return nil, err
	}
	return collect(rows, scanRemoved)
}

// Pending is part of ledger.Source. What is stored while removals of it wait
// has come again.
func (b *book) Pending(ctx context.Context) (map[sandtrail.ID]ledger.Pending, error) {
	rows, err := b.tx.QueryContext(ctx, `
		SELECT execution_id FROM sandtrail_feed WHERE seq > (SELECT seq FROM sandtrail_ledger_sealed)
		UNION ALL SELECT id FROM sandbox_execution_logs WHERE id IN (SELECT id FROM sandtrail_ledger_removed)`)
	if err != nil {
		return nil, err
	}
	came, err := collect(rows, func(scan func(...any) error) (ledger.Change, error) {
		var id executionID
		err := scan(&id)
		return ledger.Change{ID: id.ID}, err
	})
	if err != nil {
		return nil, err
	}
	if rows, err = b.tx.QueryContext(ctx, `SELECT `+removedColumns+` FROM sandtrail_ledger_removed`); err != nil {
		return nil, err
	}
	went, err := collect(rows, scanRemoved)
	return ledger.PendingOf(append(came, went...)), err
}
