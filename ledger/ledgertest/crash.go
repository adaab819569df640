package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

// Stepped opens the database at a URL once more. Step is called before each
// step that the store takes in changing it, and again when that is applied. Its
// error is what the store gets.
type Stepped func(ctx context.Context, url string, step func(applied bool) error) (Database, error)

// Crash does what changes the ledger through a store of which one step fails,
// and then what is left to do. It tries so many steps of each: not applied, and
// applied and reported failed all the same. It expects no finding, and nothing
// lost.
func Crash(t *testing.T, open Opener, stepped Stepped, tries int) {
	crashes(t, open, tries, func(o *operator, c crashing, f fault) (steps int, stopped bool) {
		s := stepper{fault: f, stop: func() error { return errors.New("a fault") }}
		store, err := s.open(o.Context(), stepped, o.URL)
		check(o, err)
		defer store.Close()
		err = c.do(o.Context(), store, o.deed())
		if f.Step == 0 {
			check(o, err)
		}
		return int(s.taken.Load()), err != nil
	})
}

// crashes does each crashing as a whole, and then so that it stops at some of
// its steps: as many as are to be tried, or every one.
func crashes(t *testing.T, open Opener, tries int, do func(*operator, crashing, fault) (steps int, stopped bool)) {
	for _, c := range crashings {
		t.Run(c.name, func(t *testing.T) { c.stops(t, open, tries, do) })
	}
}

// faultsPerLife is at how many faults one target is used, for what it holds
// grows.
const faultsPerLife = 60

func (c crashing) stops(t *testing.T, open Opener, tries int, do func(*operator, crashing, fault) (steps int, stopped bool)) {
	var o *operator
	finish := func() (steps int) {
		steps, _ = do(o, c, fault{})
		c.finish(o)
		o.publish()
		o.clean()
		return steps
	}
	live := func() {
		o = newOperator(t, open(t), 1)
		o.begin()
		o.publish()
		finish() // what there is from the beginning
	}
	live()
	o.append(40)
	steps := finish()
	if steps < 3 {
		t.Fatalf("takes %d steps", steps)
	}
	faults, tried := 0, 0
	stop := func(f fault) bool {
		if faults++; faults%faultsPerLife == 0 {
			live()
		}
		o.append(40)
		_, stopped := do(o, c, f)
		if _, findings := o.verify(o.published...); len(findings) > 0 {
			t.Fatalf("after %+v: false alarm: %+v", f, findings)
		}
		finish()
		return stopped
	}
	both := func(step int) (stopped bool) {
		before, after := stop(fault{step, false}), stop(fault{step, true})
		if before || after {
			tried++
		}
		return before || after
	}
	if tries < steps {
		for i := range tries {
			both(1 + (2*i+1)*steps/(2*tries))
		}
	} else { // every one, until there is no more
		for step := 1; both(step) || step <= steps; step++ {
		}
	}
	t.Logf("%d steps, stopped at %d of them", steps, tried)
	if tried == 0 {
		t.Error("never stopped")
	}
}

// fault says at which step of a store something happens.
type fault struct {
	Step    int  // from 1; 0: none
	Applied bool // after it, not before
}

// stepper counts the steps of a store, and stops it at one.
type stepper struct {
	fault
	stop   func() error
	opened atomic.Bool // before it no step counts
	taken  atomic.Int64
}

func (s *stepper) open(ctx context.Context, open Stepped, url string) (Database, error) {
	store, err := open(ctx, url, s.step)
	s.opened.Store(true)
	return store, err
}

func (s *stepper) step(applied bool) error {
	if !s.opened.Load() {
		return nil
	}
	n := s.taken.Load()
	if !applied {
		n = s.taken.Add(1)
	}
	if int(n) == s.Step && applied == s.Applied {
		return s.stop()
	}
	return nil
}

// crashing is something that changes the ledger. It may be done again when it
// was done in part or as a whole.
type crashing struct {
	name   string
	do     func(ctx context.Context, s Database, d deed) error
	finish func(o *operator)
}

// deed is what doing it needs to know, in whatever process.
type deed struct {
	Now     time.Time
	User    string // to be deleted
	Keys    []byte // a key file
	publish func(checkpoint []byte)
}

func (o *operator) deed() deed {
	keys, err := o.service.Keys.MarshalText()
	check(o, err)
	return deed{o.now, o.lastUser(), keys, func(signed []byte) { o.published = append(o.published, signed) }}
}

var crashings = []crashing{
	{"sealing", func(ctx context.Context, s Database, d deed) error { return s.Maintain(ctx, d.Now) }, func(*operator) {}},
	{"a checkpoint", func(ctx context.Context, s Database, d deed) error {
		keys, err := ledger.ParseKeys(d.Keys)
		if err != nil {
			return err
		}
		signed, err := ledger.Service{Log: s, Keys: keys}.Checkpoint(ctx, d.Now)
		if err != nil {
			return err
		}
		d.publish(signed)
		return s.Maintain(ctx, d.Now)
	}, func(*operator) {}},
	{"a removal", func(ctx context.Context, s Database, d deed) error {
		if _, err := s.DeleteUser(ctx, d.User); err != nil && !errors.Is(err, sandtrail.CodeNotFound) {
			return err
		}
		return s.Maintain(ctx, d.Now)
	}, func(o *operator) { o.replaceUser(o.lastUser()) }},
	{"a cleanup", func(ctx context.Context, s Database, d deed) error {
		if _, err := s.Cleanup(ctx, d.old()); err != nil {
			return err
		}
		return s.Maintain(ctx, d.Now)
	}, (*operator).keepRecent},
	// Every second one first, so that it deletes some rows before it drops
	// the partitions of the others.
	{"a cleanup of what is archived", func(ctx context.Context, s Database, d deed) error {
		for _, archived := range []func(sandtrail.ID) bool{
			func(id sandtrail.ID) bool { return id[len(id)-1]%2 == 0 },
			func(sandtrail.ID) bool { return true },
		} {
			if _, err := s.CleanupArchived(ctx, time.Time{}, d.old(), archived); err != nil {
				return err
			}
		}
		return s.Maintain(ctx, d.Now)
	}, (*operator).keepRecent},
}

func (d deed) old() sandtrail.Cutoff { return sandtrail.Before(d.Now.Add(-crashKeep)) }

func (o *operator) keepRecent() {
	o.keep(func(e sandtrail.Execution) bool { return !e.CreatedAt.Before(o.now.Add(-crashKeep)) })
}

// crashKeep is how much a cleanup leaves of the sixty days of records.
const crashKeep = 30 * 24 * time.Hour

func (o *operator) lastUser() string { return fmt.Sprint("user-", o.users-1) }
