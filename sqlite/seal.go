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
		var next arrivals
		more := false
		err := s.read(ctx, "seal", func(tx *sql.Tx) (err error) {
			next, more, err = (&book{tx: tx}).next(ctx)
			return err
		})
		if err != nil || !more {
			return err
		}
		if err := s.write(ctx, "seal", func(tx *sql.Tx) error { return next.seal(ctx, tx, now) }); err != nil {
			return err
		}
	}
}

// arrivals are executions that came, read before the write lock is taken,
// because writers wait for that. What happens to them in between comes after
// their leaves: a removal has its own step, an update is one that the ledger
// does not take in.
type arrivals struct {
	after, until int64 // their numbers in the feed
	changes      []ledger.Change
	records      map[sandtrail.ID]sandtrail.Execution
}

// next reads what came after the last one sealed, as much as one step takes,
// and reports whether that, or a removal, is to be sealed.
func (b *book) next(ctx context.Context) (a arrivals, more bool, err error) {
	if err := b.tx.QueryRowContext(ctx, `SELECT seq, EXISTS (SELECT 1 FROM sandtrail_ledger_removed)
		FROM sandtrail_ledger_sealed`).Scan(&a.after, &more); err != nil {
		return a, false, err
	}
	rows, err := b.tx.QueryContext(ctx, `SELECT seq, execution_id FROM sandtrail_feed WHERE seq > ? ORDER BY seq LIMIT ?`, a.after, changesPerStep)
	if err != nil {
		return a, false, err
	}
	ids, err := collect(rows, func(scan func(...any) error) (sandtrail.ID, error) {
		var id executionID
		err := scan(&a.until, &id)
		return id.ID, err
	})
	if err != nil || len(ids) == 0 {
		return a, more, err
	}
	records, err := b.Records(ctx, ids, time.Time{}, time.Time{})
	a.records = make(map[sandtrail.ID]sandtrail.Execution, len(records))
	for _, e := range records {
		a.records[e.ID] = e
	}
	for _, id := range ids {
		a.changes = append(a.changes, ledger.Change{ID: id})
	}
	return a, true, err
}

// seal enters the executions that came; when nothing else has come, the next
// removals, and those of their executions that are stored all the same and
// have no leaf any more. So what is stored has its leaf in the end, in whatever
// order an execution came and went.
func (a arrivals) seal(ctx context.Context, tx *sql.Tx, now time.Time) error {
	var sealed int64
	var more bool
	if err := tx.QueryRowContext(ctx, `SELECT seq, EXISTS (SELECT 1 FROM sandtrail_feed f WHERE f.seq > s.seq)
		FROM sandtrail_ledger_sealed s`).Scan(&sealed, &more); err != nil {
		return err
	}
	b, changes := &book{tx: tx, ahead: a.records}, a.changes
	if sealed != a.after || len(changes) == 0 && more {
		return nil // somebody else has sealed meanwhile, or something came
	}
	if len(changes) == 0 {
		var err error
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
	_, err := tx.ExecContext(ctx, `UPDATE sandtrail_ledger_sealed SET seq = max(seq, ?)`, a.until)
	return err
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
