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

// seal enters pending changes into the ledger, step by step. Changes that are
// written during the last step wait for the next time: many small steps cost more
// than a large one.
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
			continue // since; an execution that took the former id must not come before the rename
		}
		if next.until <= next.from {
			return nil
		}
		done := false
		err = s.write(ctx, "seal", func(tx *sql.Tx) (err error) {
			done, err = next.seal(ctx, tx)
			return err
		})
		if err != nil || done && next.all {
			return err
		}
	}
}

// step is a step of sealing. It is made before the write lock is taken, because
// writers wait for that, and holds when no other process has sealed meanwhile.
// What happens to its executions in between comes behind their entries, except
// for updates, which the ledger does not take in.
type step struct {
	*book         // of the snapshot
	size    int64 // of the log
	from    int64 // the ledger's position in the changes
	until   int64 // after this step
	renamed bool  // whether renames are to be sealed first
	all     bool  // whether nothing is left after this step
	records map[sandtrail.ID]sandtrail.Execution
	written ledger.Written
}

// newStep makes the next step of sealing.
func newStep(ctx context.Context, tx *sql.Tx, now time.Time) (step, error) {
	s := step{book: &book{tx: tx}, all: true, records: map[sandtrail.ID]sandtrail.Execution{}}
	var err error
	if s.size, err = s.Size(ctx); err != nil {
		return s, err
	}
	if err := tx.QueryRowContext(ctx, `SELECT seq, coalesce((SELECT seq FROM sandtrail_history ORDER BY seq DESC LIMIT 1), 0),
		EXISTS (SELECT 1 FROM sandtrail_ledger_renamed) FROM sandtrail_cursors WHERE name = ?`, ledgerCursor).
		Scan(&s.from, &s.until, &s.renamed); err != nil || s.renamed || s.until <= s.from {
		return s, err
	}
	changes, err := s.read(ctx)
	if err != nil || len(changes) == 0 {
		return s, err
	}
	_, err = ledger.SealChanges(ctx, &s, ledger.InOrder(changes), now, rand.Reader)
	return s, err
}

// read reads as many changes as one step takes, and the executions that are
// stored of these.
func (s *step) read(ctx context.Context) (changes []ledger.Change, err error) {
	if err := s.bound(ctx); err != nil {
		return nil, err
	}
	if err := s.readRecords(ctx); err != nil {
		return nil, err
	}
	rows, err := s.tx.QueryContext(ctx, "SELECT "+pendingColumns+" FROM sandtrail_history WHERE seq > ? AND seq <= ? ORDER BY seq", s.from, s.until)
	if err != nil {
		return nil, err
	}
	return collect(rows, scanPending)
}

// bound ends the step before the first insertion or deletion that is too many.
func (s *step) bound(ctx context.Context) error {
	for _, limit := range []struct {
		of string
		n  int
	}{{"sign > 0", recordsPerStep}, {"sign < 0", removalsPerStep}} {
		var beyond int64
		err := s.tx.QueryRowContext(ctx, "SELECT seq FROM sandtrail_history WHERE seq > ? AND seq <= ? AND "+limit.of+" ORDER BY seq LIMIT 1 OFFSET ?",
			s.from, s.until, limit.n).Scan(&beyond)
		if err == nil {
			s.until, s.all = beyond-1, false
		} else if noRows(err) != nil {
			return err
		}
	}
	return nil
}

// readRecords reads the executions that were inserted, and ends the step where
// they have much text.
func (s *step) readRecords(ctx context.Context) error {
	rows, err := s.tx.QueryContext(ctx, `SELECT `+ofExecution+`, c.seq FROM sandtrail_history c CROSS JOIN sandbox_execution_logs e
		WHERE c.seq > ? AND c.seq <= ? AND c.sign > 0 AND e.id = c.execution_id ORDER BY c.seq`, s.from, s.until)
	if err != nil {
		return err
	}
	defer rows.Close()
	for text := 0; rows.Next(); {
		var e sandtrail.Execution
		var seq int64
		if err := scanRaw(rows.Scan, &e, &seq); err != nil {
			return err
		}
		s.records[e.ID] = e
		for _, class := range e.Classes {
			text += len(class)
		}
		if text += len(e.Metadata); text >= textPerStep && seq < s.until {
			s.until, s.all = seq, false
			break
		}
	}
	return rows.Err()
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

// seal writes the step, unless the ledger is further than it was.
func (s *step) seal(ctx context.Context, tx *sql.Tx) (done bool, err error) {
	b := &book{tx: tx}
	size, err := b.Size(ctx)
	if err != nil {
		return false, err
	}
	var from int64
	if err := tx.QueryRowContext(ctx, "SELECT seq FROM sandtrail_cursors WHERE name = ?", ledgerCursor).Scan(&from); err != nil {
		return false, err
	}
	if size != s.size || from != s.from {
		return false, nil
	}
	if err := b.Put(ctx, s.written); err != nil {
		return false, err
	}
	return true, sealedTo(ctx, tx, s.from, s.until)
}

// pendingColumns are a change for the ledger. The time of an insertion is that of
// its execution.
const pendingColumns = `sign < 0, execution_id, iif(sign < 0, created_at, '0001-01-01 00:00:00.000'), coalesce(reason, '')`

func scanPending(scan func(...any) error) (c ledger.Change, err error) {
	var id executionID
	var at timestamp
	err = scan(&c.Removed, &id, &at, &c.Reason)
	c.ID, c.CreatedAt = id.ID, at.Time
	return c, err
}

// Pending is part of ledger.Source. What is stored while deletions of it are
// pending has come again.
func (b *book) Pending(ctx context.Context) (map[sandtrail.ID]ledger.Pending, error) {
	rows, err := b.tx.QueryContext(ctx, `WITH pending AS (SELECT `+pendingColumns+` FROM sandtrail_history WHERE `+unsealed+`)
		SELECT * FROM pending UNION ALL SELECT false, id, '0001-01-01 00:00:00.000', '' FROM sandbox_execution_logs
		WHERE id IN (SELECT execution_id FROM sandtrail_history WHERE `+unsealed+` AND sign < 0)`)
	if err != nil {
		return nil, err
	}
	changes, err := collect(rows, scanPending)
	return ledger.PendingOf(changes), err
}
