package ledgertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

// Fault says which step of a store fails, and how.
type Fault struct {
	Step    int  // from 1
	Applied bool // it is applied, and reported failed all the same
}

// Faulty opens the database of a target once more. Taken tells how many steps
// the store took; with the zero Fault none fails.
type Faulty func(t testing.TB, f Fault) (store Database, taken func() int)

// Crash does, rounds times each, what changes the ledger through a store that
// fails in one of its steps, the steps in turn, and then what is left to do.
// It expects no finding, and nothing lost.
func Crash(t *testing.T, target Target, faulty Faulty, rounds int) {
	o := newOperator(t, target, 1)
	o.begin()
	o.publish()
	for _, w := range crashes {
		o.append(40)
		whole, taken := faulty(t, Fault{})
		check(t, w.do(o, whole))
		w.finish(o)
		o.clean()
		steps := taken()
		if steps < 3 {
			t.Fatalf("%s takes %d steps", w.name, steps)
		}
		failed := 0
		for i := range rounds {
			o.append(40)
			f := Fault{Step: 1 + i/2*steps/max(1, (rounds+1)/2), Applied: i%2 == 1}
			broken, _ := faulty(t, f)
			if err := w.do(o, broken); err != nil {
				failed++
			}
			_, findings := o.verify(o.published...)
			if len(findings) > 0 {
				t.Fatalf("%s, after %+v: false alarm: %+v", w.name, f, findings)
			}
			check(t, w.do(o, o.Store))
			w.finish(o)
			o.publish()
			o.clean()
		}
		if failed == 0 {
			t.Errorf("%s: no step failed in %d rounds", w.name, rounds)
		}
	}
}

// crashing is something that changes the ledger. It may be done again when it
// was done in part or as a whole.
type crashing struct {
	name   string
	do     func(o *operator, s Database) error
	finish func(o *operator)
}

var crashes = []crashing{
	{"sealing", func(o *operator, s Database) error { return s.Maintain(o.Context(), o.now) }, func(*operator) {}},
	{"a checkpoint", func(o *operator, s Database) error {
		_, err := ledger.Service{Log: s, Keys: o.service.Keys}.Checkpoint(o.Context(), o.now)
		return errors.Join(err, s.Maintain(o.Context(), o.now))
	}, func(*operator) {}},
	{"a removal", func(o *operator, s Database) error {
		_, err := s.DeleteUser(o.Context(), fmt.Sprint("user-", o.users-1))
		if errors.Is(err, sandtrail.ErrNotFound) {
			err = nil
		}
		return errors.Join(err, s.Maintain(o.Context(), o.now))
	}, func(o *operator) {
		id := fmt.Sprint("user-", o.users-1)
		o.users--
		o.keep(func(e sandtrail.Execution) bool { return e.UserID != id })
		o.addUser()
	}},
	{"a cleanup", func(o *operator, s Database) error {
		_, err := s.Cleanup(o.Context(), sandtrail.Before(o.now.Add(-crashKeep)))
		return errors.Join(err, s.Maintain(o.Context(), o.now))
	}, func(o *operator) {
		o.keep(func(e sandtrail.Execution) bool { return !e.CreatedAt.Before(o.now.Add(-crashKeep)) })
	}},
}

// crashKeep is how much a cleanup leaves of the sixty days of records.
const crashKeep = 30 * 24 * time.Hour
