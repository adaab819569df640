package outbox_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/outbox"
)

const unknown = 10 // owners

// clogged is an outbox in which so many records wait whose owners nobody added.
func clogged(t *testing.T, records int, o outbox.Options) (*outbox.Outbox, *store) {
	t.Helper()
	b := open(t, o)
	var drafts []sandtrail.Draft
	for i := range records {
		d := draft(fmt.Sprintf("unknown-%d", i%unknown))
		d.ID, d.CreatedAt = sandtrail.NewID(now), now
		drafts = append(drafts, d)
	}
	check(t, b.Fill(drafts))
	return b, &store{known: map[string]bool{"ada": true, "bob": true}}
}

// order keeps the users of which a store has taken records, in their order.
type order struct {
	*store
	users []string
}

func (o *order) Append(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	done, err := o.store.Append(ctx, batch)
	for _, a := range batch {
		if err == nil {
			o.users = append(o.users, a.Execution.UserID)
		}
	}
	return done, err
}

// Records that no store takes cost the later runs a bounded number of open
// files, and hold up none of those that are taken.
func TestUndeliverableRecordsCostLittle(t *testing.T) {
	const many = 5000
	b, s := clogged(t, many, outbox.Options{Retries: 50})
	o := &order{store: s}
	deliver := func(at time.Time) (done outbox.Delivery) {
		t.Helper()
		done, err := b.Flush(t.Context(), o, sandtrail.Admission{Now: at})
		check(t, err)
		return done
	}
	put(t, b, draft("ada"))
	var done outbox.Delivery
	records, _ := opens(t, b.Dir(), func() { done = deliver(now) })
	if done.Delivered != 1 || done.Stayed != many || done.Why == nil || records != unknown+1 {
		t.Errorf("first: %+v, %d files of records opened, want %d", done, records, unknown+1)
	}
	for run := range 3 {
		s.calls, o.users = 0, nil
		records, others := opens(t, b.Dir(), func() {
			put(t, b, draft("ada"))
			done = deliver(now.Add(time.Second))
		})
		if done.Delivered != 1 || done.Stayed != many || s.calls != 1 || records != 1 || others > 20 {
			t.Errorf("run %d: %+v, %d calls, %d files of records and %d others opened", run, done, s.calls, records, others)
		}
	}
	records, others := opens(t, b.Dir(), func() {
		state, err := b.State()
		if err != nil || state.Waiting != many {
			t.Errorf("%+v, %v", state, err)
		}
	})
	if records != 0 || others > 10 {
		t.Errorf("State opened %d files of records, %d others", records, others)
	}

	// Once their time has come one of each owner is tried, behind what is new.
	put(t, b, draft("bob"))
	s.known["unknown-3"], o.users = true, nil
	records, _ = opens(t, b.Dir(), func() { done = deliver(now.Add(time.Hour)) })
	if done.Delivered != 1+many/unknown || done.Stayed != many-many/unknown || records != unknown+many/unknown {
		t.Errorf("an hour later: %+v, %d files of records opened", done, records)
	}
	if len(o.users) == 0 || o.users[0] != "bob" {
		t.Errorf("delivered first: %v", o.users[:min(3, len(o.users))])
	}
}

// Only so many owners are tried again at once, in turn; a record of an owner
// that was taken elsewhere brings the others along, and All tries everything.
func TestRetriesAreBounded(t *testing.T) {
	const many, each = 20 * unknown, 20
	b, s := clogged(t, many, outbox.Options{Retries: 3})
	flush(t, b, s)
	s.known = nil
	if done := flush(t, b, s); done.Delivered != 0 || done.Stayed != many {
		t.Errorf("at once: %+v", done)
	}
	if done := flushAt(t, b, s, now.Add(time.Minute)); done.Delivered != 3*each || done.Stayed != many-3*each {
		t.Errorf("a minute later: %+v", done)
	}
	left, _, err := b.Waiting(1)
	check(t, err)
	b.Taken(left[0])
	if done := flush(t, b, s); done.Delivered != each {
		t.Errorf("once one was taken: %+v", done)
	}
	all, err := outbox.Open(b.Dir(), outbox.Options{Retries: outbox.All})
	check(t, err)
	if done := flush(t, all, s); done.Delivered != many-4*each || done.Stayed != 0 {
		t.Errorf("all: %+v", done)
	}
	if bytes, _, err := b.Counted(); bytes != 0 || err != nil {
		t.Errorf("%d bytes are counted in an empty outbox, %v", bytes, err)
	}
}

// The pause doubles up to an hour, and a clock that was set back does not
// prolong it.
func TestTriesComeFartherApart(t *testing.T) {
	b, s := open(t, outbox.Options{}), &store{known: map[string]bool{}}
	put(t, b, draft("eve"))
	flush(t, b, s)
	var pauses []time.Duration
	last := now
	for at := now; len(pauses) < 12; at = at.Add(10 * time.Second) {
		s.calls = 0
		flushAt(t, b, s, at)
		if s.calls > 0 {
			pauses, last = append(pauses, at.Sub(last)), at
		}
	}
	if pauses[0] != 20*time.Second || !slices.IsSorted(pauses) || pauses[11] != time.Hour {
		t.Errorf("pauses %v", pauses)
	}
	s.calls = 0
	if flushAt(t, b, s, now); s.calls != 1 {
		t.Error("after the clock was set back nothing is tried")
	}
}

// A batch of several owners is divided by the first delivery: none of them waits
// for another.
func TestMixedBatchesAreDivided(t *testing.T) {
	b, s := open(t, outbox.Options{}), &store{known: map[string]bool{"ada": true}}
	future := draft("ada")
	future.CreatedAt = now.Add(6 * time.Minute)
	put(t, b, draft("eve"), future, draft("fay"), draft("eve"))
	put(t, b, draft("eve"), draft("ada"))
	long := now.Add(-time.Hour)
	for _, file := range must(filepath.Glob(filepath.Join(b.Dir(), "*.records"))) {
		check(t, os.Chtimes(file, long, long))
	}
	if done := flush(t, b, s); done.Delivered != 1 || done.Stayed != 5 {
		t.Errorf("got %+v", done)
	}
	s.known["fay"] = true
	if done := flushAt(t, b, s, now.Add(time.Minute)); done.Delivered != 2 || done.Stayed != 3 {
		t.Errorf("a minute later: %+v", done)
	}
	state, err := b.State()
	if err != nil || state.Oldest == nil || !state.Oldest.Equal(long) {
		t.Errorf("waits since %v, %v; want %v", state.Oldest, err, long)
	}
}

// Whatever is done, the outbox knows what it holds; after a file was taken away
// it learns it again before it refuses anything.
func TestTallyIsWhatTheFilesAre(t *testing.T) {
	dir, at := filepath.Join(t.TempDir(), "outbox"), now
	clock := func() time.Time { return at }
	b, err := outbox.Open(dir, outbox.Options{MaxBytes: 3000, Now: clock})
	check(t, err)
	s := &store{known: map[string]bool{"ada": true}}
	agrees := func(step string) {
		t.Helper()
		bytes, dropped, err := b.Counted()
		check(t, err)
		_, state, err := b.Waiting(0)
		if err != nil || state.Bytes != bytes || state.Dropped != dropped {
			t.Errorf("%s: %d bytes and %d drops are counted, %+v there are, %v", step, bytes, dropped, state, err)
		}
	}
	bad := draft("ada")
	bad.Success = nil
	put(t, b, draft("ada"), draft("eve"), draft("fay"), bad)
	agrees("put")
	flush(t, b, s)
	agrees("flushed")
	check(t, b.Drop(outbox.Full, draft("ada"), draft("ada"), draft("eve")))
	agrees("dropped")
	must(b.AccountForDrops())
	agrees("accounted")
	must(b.Retry())
	agrees("put back")
	must(b.Expire(now.Add(1000 * time.Hour)))
	agrees("expired")

	for err == nil {
		_, err = b.Put(draft("ada"))
	}
	for _, file := range must(filepath.Glob(filepath.Join(dir, "*.records"))) {
		check(t, os.Remove(file))
	}
	at = at.Add(2 * time.Minute)
	put(t, b, draft("ada"))
	agrees("files were taken away")
}

// What earlier versions left is delivered, whatever its names tell.
func TestNamesOfEarlierVersions(t *testing.T) {
	b, s := open(t, outbox.Options{}), &store{known: map[string]bool{"ada": true}}
	for i, user := range []string{"ada", "ada", "eve", "ada"} {
		put(t, b, draft(user))
		file := must(filepath.Glob(filepath.Join(b.Dir(), "*-*-*-*-*-*-1x*.records")))[0]
		id := filepath.Base(file)[:36]
		check(t, os.Rename(file, filepath.Join(b.Dir(), []string{id, "~0192f0c1a2b3-" + id + "-1x300", id + "-300", "any"}[i]+".records")))
	}
	check(t, os.Truncate(filepath.Join(b.Dir(), "lock"), 0))
	if done := flush(t, b, s); done.Delivered != 3 || done.Stayed != 1 {
		t.Errorf("got %+v", done)
	}
	s.known = nil
	if done := flushAt(t, b, s, now.Add(time.Minute)); done.Delivered != 1 {
		t.Errorf("a minute later: %+v", done)
	}
	holds(t, b, outbox.State{})
}
