package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

// A step of sealing takes in executions up to a number, which bounds how long
// writers wait, and up to an amount of text, which bounds its memory.
const (
	recordsPerStep  = 8192
	textPerStep     = 16 << 20
	removalsPerStep = 2048
)

// seal takes what came and went into the ledger, step by step. What comes
// during the last one waits for the next time: many small steps cost more than
// a large one.
func (s *Store) seal(ctx context.Context, now time.Time) error {
	for {
		if err := s.sealRenames(ctx, now); err != nil {
			return err
		}
		var next step
		err := s.read(ctx, "seal", func(tx *sql.Tx) (err error) {
			next, err = newStep(ctx, tx, now)
			return err
		})
		if err != nil {
			return err
		}
		if next.renamed {
			continue // since; a record that took the former id must not come before the rename
		}
		if !next.came() && !next.went {
			return nil
		}
		done := false
		err = s.write(ctx, "seal", func(tx *sql.Tx) (err error) {
			done, err = next.seal(ctx, tx, now)
			return err
		})
		if err != nil || done && next.all {
			return err
		}
	}
}

// step is a step of sealing. It is made before the write lock is taken, because
// writers wait for that, and holds when nobody else has sealed meanwhile. What
// happens to its executions in between comes after their leaves: a removal has
// its own step, an update is one that the ledger does not take in.
type step struct {
	*book         // of the snapshot
	size    int64 // of the log
	sealed  int64 // up to where it has taken in the feed
	until   int64 // up to where this step does
	went    bool  // whether removals are to be sealed
	renamed bool  // whether renames are to be sealed first
	all     bool  // whether nothing is left after this step
	records map[sandtrail.ID]sandtrail.Execution
	written ledger.Written
}

func (s *step) came() bool { return s.until > s.sealed }

// newStep makes the next step of sealing.
func newStep(ctx context.Context, tx *sql.Tx, now time.Time) (step, error) {
	s := step{book: &book{tx: tx}, records: map[sandtrail.ID]sandtrail.Execution{}}
	var err error
	if s.size, err = s.Size(ctx); err != nil {
		return s, err
	}
	if err := tx.QueryRowContext(ctx, `SELECT seq, (SELECT coalesce(max(seq), 0) FROM sandtrail_feed),
		EXISTS (SELECT 1 FROM sandtrail_ledger_removed), EXISTS (SELECT 1 FROM sandtrail_ledger_renamed)
		FROM sandtrail_ledger_sealed`).Scan(&s.sealed, &s.until, &s.went, &s.renamed); err != nil || s.renamed {
		return s, err
	}
	s.all = !s.went
	if !s.came() {
		return s, nil
	}
	came, err := s.read(ctx)
	if err != nil {
		return s, err
	}
	_, err = ledger.SealChanges(ctx, &s, came, now, rand.Reader)
	return s, err
}

// read reads the executions that came, as many as one step takes.
func (s *step) read(ctx context.Context) (came []ledger.Change, err error) {
	rows, err := s.tx.QueryContext(ctx, `SELECT `+recordColumns+`, f.seq FROM sandtrail_feed f CROSS JOIN sandbox_execution_logs
		WHERE f.seq > ? AND id = f.execution_id ORDER BY f.seq`, s.sealed)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for text := 0; rows.Next(); {
		var e sandtrail.Execution
		var seq int64
		if err := scanRaw(rows.Scan, &e, &seq); err != nil {
			return nil, err
		}
		s.records[e.ID], came = e, append(came, ledger.Change{ID: e.ID})
		for _, class := range e.Classes {
			text += len(class)
		}
		if text += len(e.Metadata); len(came) == recordsPerStep || text >= textPerStep {
			s.until, s.all = seq, false
			break
		}
	}
	return came, rows.Err()
}

// Records is part of ledger.Book: what was read.
func (s *step) Records(_ context.Context, ids []sandtrail.ID, _, _ time.Time) (records []sandtrail.Execution, err error) {
	for _, id := range ids {
		if e, ok := s.records[id]; ok {
			records = append(records, e)
		}
	}
	return records, nil
}

// Put is part of ledger.Book: it is written later.
func (s *step) Put(_ context.Context, w ledger.Written) error {
	s.written = w
	return nil
}

// seal enters the executions that came; when none have, the next removals, and
// those of their executions that are stored all the same and have no leaf any
// more. So what is stored has its leaf in the end, in whatever order an
// execution came and went. It does nothing when something is to be sealed
// before.
func (s *step) seal(ctx context.Context, tx *sql.Tx, now time.Time) (done bool, err error) {
	b := &book{tx: tx}
	size, err := b.Size(ctx)
	if err != nil {
		return false, err
	}
	var sealed int64
	var more, renamed bool
	if err := tx.QueryRowContext(ctx, `SELECT seq, EXISTS (SELECT 1 FROM sandtrail_feed f WHERE f.seq > s.seq),
		EXISTS (SELECT 1 FROM sandtrail_ledger_renamed) FROM sandtrail_ledger_sealed s`).Scan(&sealed, &more, &renamed); err != nil {
		return false, err
	}
	switch {
	case size != s.size || sealed != s.sealed || (more || renamed) && !s.came():
		return false, nil
	case !s.came():
		return true, b.sealRemovals(ctx, now)
	}
	if err := b.Put(ctx, s.written); err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE sandtrail_ledger_sealed SET seq = ?`, s.until)
	return true, err
}

func (b *book) sealRemovals(ctx context.Context, now time.Time) error {
	changes, err := b.takeWent(ctx, removalsPerStep)
	if err != nil {
		return err
	}
	for _, c := range changes {
		changes = append(changes, ledger.Change{ID: c.ID})
	}
	_, err = ledger.SealChanges(ctx, b, changes, now, rand.Reader)
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
