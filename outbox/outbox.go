// Package outbox keeps records on disk until a store has taken them.
//
// It is a directory that any number of processes may use at once:
//
//	<id>-<owner>-<records>x<bytes>.records
//	                       a batch that waits; <id> is its first record's
//	~<time>.<n>-….records  a batch that a store would not take yet, and when
//	lock                   held while the directory's size changes; it says what
//	                       the size is
//	flush                  held by the process that delivers
//	refused/               records that a store has refused for good, with the reason
//	damaged/               batches whose bytes are not those that were written
//	started/               traces of runs that have begun and not ended
//	dropped/               counts of records that were given up
//	….tmp                  in each of these: what is being written
//
// Directories are private to their owner (0700), files too (0600).
package outbox

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
)

// Options of an outbox.
type Options struct {
	MaxBytes int64            // what waits may take up; 0: DefaultMaxBytes
	Now      func() time.Time // nil: time.Now; gives records their time
	// Retries is how many batches that a store would not take before a Flush tries
	// again, of those whose time has come; 0: all of them; All: the others too.
	Retries int
}

// All has a Flush try everything, whenever it was tried before.
const All = -1

// DefaultMaxBytes is room for some 50,000 records.
const DefaultMaxBytes = 64 << 20

// Outbox is a directory of records that wait for delivery.
type Outbox struct {
	dir string
	max int64
	now func() time.Time

	retries     int
	lockTimeout time.Duration
	taken       sync.Map // owners, by ownerOf, of whom a store has taken a record: see Taken
}

// The files and directories inside.
const (
	suffix     = ".records"
	lockName   = "lock"
	flushName  = "flush"
	refusedDir = "refused"
	damagedDir = "damaged"
	startedDir = "started"
	droppedDir = "dropped"
)

var folders = []string{"", refusedDir, damagedDir, startedDir, droppedDir}

// Open makes the directory if need be. One that belongs to another user, or
// that others may write to, is refused with durable.ErrNotPrivate: what they
// put there would be delivered in this user's name.
func Open(dir string, o Options) (*Outbox, error) {
	b := &Outbox{dir: dir, max: o.MaxBytes, now: o.Now, retries: o.Retries, lockTimeout: defaultLockTimeout}
	if b.max == 0 {
		b.max = DefaultMaxBytes
	}
	if b.now == nil {
		b.now = time.Now
	}
	for _, sub := range folders {
		err := durable.MakePrivate(filepath.Join(dir, sub))
		if errors.Is(err, durable.ErrNotPrivate) {
			return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "open outbox: %w", err)
		}
		if err != nil {
			return nil, fmt.Errorf("open outbox: %w", err)
		}
	}
	return b, nil
}

// Dir is the directory.
func (b *Outbox) Dir() string { return b.dir }

// Put keeps a batch. Records without an id or a time get them now, so that
// every delivery of them is known as the same one; the batch is returned as it
// was kept. When Put returns without error the batch is durable. When it would
// exceed the outbox's bound, all of it is refused with ErrTooLarge.
func (b *Outbox) Put(drafts ...sandtrail.Draft) ([]sandtrail.Draft, error) {
	if len(drafts) == 0 {
		return nil, nil
	}
	kept := slices.Clone(drafts)
	for i := range kept {
		if kept[i].CreatedAt.IsZero() {
			kept[i].CreatedAt = sandtrail.Millisecond(b.now())
		}
		if kept[i].ID.IsZero() {
			kept[i].ID = sandtrail.NewID(b.now())
		}
	}
	raw, err := encode(kept)
	if err != nil {
		return nil, fmt.Errorf("put into outbox: %w", err)
	}
	if err := b.admit(int64(len(raw)), newBatch(kept, raw).name(), raw); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			err = fmt.Errorf("%w; make room there", err)
		}
		return nil, fmt.Errorf("put into outbox: %w", err)
	}
	return kept, nil
}

// admit writes a batch's file if there is room for it.
func (b *Outbox) admit(size int64, name string, raw []byte) error {
	f, err := durable.Begin(b.dir)
	if err != nil {
		return err
	}
	if _, err = f.Write(raw); err == nil {
		err = f.Sync() // before the lock, which others wait for
	}
	if err != nil {
		return errors.Join(err, f.Discard())
	}
	h, err := b.hold(b.lockTimeout)
	if err != nil {
		return errors.Join(err, f.Discard())
	}
	defer h.release()
	if err := h.reserve(size); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Replace(name)
}

// State counts what an outbox holds.
type State struct {
	Waiting int        `json:"waiting"` // records
	Bytes   int64      `json:"bytes"`   // that they take up
	Oldest  *time.Time `json:"oldest"`  // since when the one waits that has waited longest; nil: none waits
	Refused int        `json:"refused"` // records that a store refused for good
	Damaged int        `json:"damaged"` // files that cannot be read
	Dropped int        `json:"dropped"` // records that were given up, of which no record tells yet
	Running int        `json:"running"` // runs that have begun and whose recorder lives
	Lost    int        `json:"lost"`    // runs whose recorder has died; the next Sweep makes records of them
}

// Clear reports whether the outbox holds nothing, and has lost nothing.
func (s State) Clear() bool { return s.Waiting+s.Refused+s.Damaged+s.Dropped+s.Lost == 0 }

// State tells what the outbox holds without reading a record: from the names of
// the files. A damaged file counts as the records that its name tells of.
func (b *Outbox) State() (State, error) {
	_, state, err := b.look(0)
	if err != nil {
		return State{}, fmt.Errorf("read outbox: %w", err)
	}
	return state, nil
}

// Waiting returns the records that wait, at most limit of them (0: all), and the
// state of the whole. Those come first that no store was asked to take, oldest
// first. No more is read than is returned: a damaged file behind that counts as
// what its name says.
func (b *Outbox) Waiting(limit int) ([]sandtrail.Draft, State, error) {
	if limit == 0 {
		limit = math.MaxInt
	}
	drafts, state, err := b.look(limit)
	if err != nil {
		return nil, State{}, fmt.Errorf("read outbox: %w", err)
	}
	return drafts, state, nil
}

// look reads at most so many records, and tells the state of the whole.
func (b *Outbox) look(limit int) (drafts []sandtrail.Draft, state State, err error) {
	found, err := b.batches()
	if err != nil {
		return nil, State{}, err
	}
	for _, w := range found {
		var batch []sandtrail.Draft
		var err error
		if len(drafts) < limit {
			batch, err = b.read(w)
			w.records = len(batch)
		}
		if err == nil {
			err = state.noteAge(filepath.Join(b.dir, w.file))
		}
		switch {
		case errors.Is(err, errDamaged):
			state.Damaged++
			continue
		case errors.Is(err, fs.ErrNotExist): // delivered meanwhile
			continue
		case err != nil:
			return nil, State{}, err
		}
		state.Waiting += w.records
		state.Bytes += w.bytes
		drafts = append(drafts, batch[:min(limit-len(drafts), len(batch))]...)
	}
	state.Refused = b.count(refusedDir)
	state.Damaged += b.count(damagedDir)
	state.Running, state.Lost = b.countStarted()
	state.Dropped, err = b.dropped()
	return drafts, state, err
}

// noteAge takes into account since when a batch waits.
func (s *State) noteAge(path string) error {
	info, err := os.Stat(path)
	if err == nil && (s.Oldest == nil || info.ModTime().Before(*s.Oldest)) {
		since := sandtrail.Millisecond(info.ModTime())
		s.Oldest = &since
	}
	return err
}

func (b *Outbox) count(dir string) int {
	paths, _ := b.files(dir, false)
	return len(paths)
}

func (b *Outbox) read(w batch) ([]sandtrail.Draft, error) {
	raw, err := durable.ReadFile(filepath.Join(b.dir, w.file), max(b.max, DefaultMaxBytes))
	if errors.Is(err, durable.ErrNotRegular) || errors.Is(err, durable.ErrTooLarge) {
		return nil, errDamaged
	}
	if err != nil {
		return nil, err
	}
	return decode(raw)
}
