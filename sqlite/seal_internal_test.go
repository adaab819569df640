package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

// interrupted is a store whose sealing is stopped between reading what came and
// taking the write lock.
type interrupted struct {
	*testing.T
	*Store
	now time.Time
}

func newInterrupted(t *testing.T) interrupted {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "sandtrail.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := interrupted{t, s, time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	_, err = s.Migrate(t.Context(), b.now)
	b.check(err)
	b.check(s.PutUser(t.Context(), sandtrail.User{ID: "ada", Email: "ada@example.com"}))
	b.check(s.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "Momentum"}))
	return b
}

func (b interrupted) check(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// append stores an execution under an id, which tells how often that was.
func (b interrupted) append(id sandtrail.ID, elapsed int) {
	b.Helper()
	_, err := b.Append(b.Context(), []sandtrail.Admitted{{Execution: sandtrail.Execution{
		ID: id, UserID: "ada", StrategyID: "s", Type: sandtrail.Validation, Success: true, ExecutionTime: elapsed, CreatedAt: b.now,
	}}})
	b.check(err)
}

func (b interrupted) delete(id sandtrail.ID) {
	b.Helper()
	_, err := b.writer.ExecContext(b.Context(), `DELETE FROM sandbox_execution_logs WHERE id = ?`, id.String())
	b.check(err)
}

func (b interrupted) read() (next step) {
	b.Helper()
	b.check(b.Store.read(b.Context(), "read", func(tx *sql.Tx) (err error) {
		next, err = newStep(b.Context(), tx, b.now)
		return err
	}))
	return next
}

func (b interrupted) sealed(next step) {
	b.Helper()
	b.check(b.write(b.Context(), "seal", func(tx *sql.Tx) error {
		_, err := next.seal(b.Context(), tx)
		return err
	}))
}

// TestBetweenReadingAndSealing has things happen where writers are not kept
// out: what is stored has its leaf in the end, and what went its removal.
func TestBetweenReadingAndSealing(t *testing.T) {
	for _, test := range []struct {
		name    string
		meet    func(b interrupted, id sandtrail.ID)
		intact  int64
		removed int64
	}{
		{"nothing", func(b interrupted, id sandtrail.ID) { b.sealed(b.read()) }, 1, 0},
		{"another comes", func(b interrupted, id sandtrail.ID) {
			a := b.read()
			b.append(sandtrail.NewID(b.now), 2)
			b.sealed(a)
		}, 2, 0},
		{"it goes", func(b interrupted, id sandtrail.ID) {
			a := b.read()
			b.delete(id)
			b.sealed(a)
		}, 0, 1},
		{"it goes and comes again", func(b interrupted, id sandtrail.ID) {
			a := b.read()
			b.delete(id)
			b.append(id, 2)
			b.sealed(a)
		}, 1, 1},
		{"another seals it", func(b interrupted, id sandtrail.ID) {
			a := b.read()
			b.sealed(b.read())
			b.sealed(a)
		}, 1, 0},
		{"another seals it, and it goes", func(b interrupted, id sandtrail.ID) {
			a := b.read()
			b.sealed(b.read())
			b.delete(id)
			b.sealed(b.read())
			b.sealed(a)
		}, 0, 1},
		{"one comes and goes where another saw removals alone", func(b interrupted, id sandtrail.ID) {
			b.sealed(b.read())
			b.delete(id)
			removals := b.read()
			next := sandtrail.NewID(b.now)
			b.append(next, 2)
			a := b.read()
			b.delete(next)
			b.sealed(removals)
			b.sealed(a) // too late: the other one went before its entry
		}, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newInterrupted(t)
			id := sandtrail.NewID(b.now)
			b.append(id, 1)
			test.meet(b, id)
			b.check(b.Maintain(t.Context(), b.now))
			sum, err := ledger.VerifyLog(t.Context(), b.Store, ledger.Verification{
				Report: func(f ledger.Finding) { t.Errorf("false alarm: %+v", f) },
			})
			b.check(err)
			if sum.Intact != test.intact || sum.Removed != test.removed || sum.Unsealed != 0 {
				t.Errorf("%+v; want %d intact and %d removed", sum, test.intact, test.removed)
			}
		})
	}
}
