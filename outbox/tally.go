package outbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/filelock"
	"github.com/sandtrail/sandtrail/remedy"
)

// tally is the content of the file lock: how much the outbox holds. It is
// written under the lock, before a file is added and after one is removed, so
// that a process that dies in between leaves a figure too high, not too low.
//
// It is not synced, and files can come and go by other hands. It is therefore
// counted anew, from the names of the files: once an hour, and before a batch is
// refused for it.
type tally struct {
	bytes   int64 // of the batches that wait
	dropped int   // records that no record tells of yet
	counted time.Time
}

const (
	countEvery    = time.Hour
	countWhenFull = time.Minute
	tallyForm     = "%020d %020d %020d\n"
	tallyBytes    = 3*20 + 3

	defaultLockTimeout = 10 * time.Second // its holders need milliseconds
	uncountedAfter     = 100 * time.Millisecond
	longestNap         = 50 * time.Millisecond
)

// held is an outbox whose lock is held.
type held struct {
	*Outbox
	file *os.File
	tally
}

// hold takes the lock, and waits for it as long as the timeout: one that is
// held longer is held by a process that was stopped, or that means harm.
func (b *Outbox) hold(timeout time.Duration) (*held, error) {
	f, err := b.lock(lockName, timeout)
	if err != nil {
		return nil, err
	}
	h := &held{Outbox: b, file: f}
	known := false
	if h.tally, known = readTally(f); !known || h.isOlder(countEvery) {
		err = h.recount()
	}
	if err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

func (h *held) release() { h.file.Close() }

// readTally reads what the file lock says; that of an earlier version is empty.
func readTally(f *os.File) (t tally, known bool) {
	raw := make([]byte, tallyBytes)
	if _, err := f.ReadAt(raw, 0); err != nil {
		return t, false
	}
	words := strings.Fields(string(raw))
	if len(words) != 3 {
		return t, false
	}
	bytes, notBytes := strconv.ParseInt(words[0], 10, 64)
	dropped, notDropped := strconv.Atoi(words[1])
	counted, notCounted := strconv.ParseInt(words[2], 10, 64)
	return tally{bytes, dropped, time.UnixMilli(counted)}, errors.Join(notBytes, notDropped, notCounted) == nil
}

func (h *held) isOlder(age time.Duration) bool {
	since := h.now().Sub(h.counted)
	return since < 0 || since > age
}

func (h *held) recount() error {
	waiting, err := h.batches()
	if err != nil {
		return err
	}
	h.tally = tally{counted: h.now()}
	for _, w := range waiting {
		h.bytes += w.bytes
	}
	if h.tally.dropped, err = h.countDropped(); err != nil {
		return err
	}
	return h.add(0, 0)
}

// add changes the tally.
func (h *held) add(bytes int64, dropped int) error {
	h.bytes = max(0, h.bytes+bytes)
	h.tally.dropped = max(0, h.tally.dropped+dropped)
	_, err := h.file.WriteAt(fmt.Appendf(nil, tallyForm, h.bytes, h.tally.dropped, h.counted.UnixMilli()), 0)
	return err
}

// reserve counts a batch in if there is room for it.
func (h *held) reserve(size int64) error {
	if h.bytes+size > h.max && h.isOlder(countWhenFull) {
		if err := h.recount(); err != nil {
			return err
		}
	}
	if h.bytes+size > h.max {
		return sandtrail.Errorf(sandtrail.CodeTooLarge,
			"%s is full: %d of %d bytes are waiting; deliver them first", h.dir, h.bytes, h.max).
			With(sandtrail.Remedy{Act: remedy.Deliver})
	}
	return h.add(size, 0)
}

// counting does something that adds so many bytes of batches, or removes them.
func (h *held) counting(bytes int64, do func() error) error {
	if bytes > 0 {
		if err := h.add(bytes, 0); err != nil {
			return err
		}
	}
	err := do()
	if err == nil && bytes < 0 {
		err = h.add(bytes, 0)
	}
	return err
}

// counting is held.counting for what is done whatever the bound. Where the lock
// is not to be had it is done uncounted.
func (b *Outbox) counting(bytes int64, do func() error) error {
	h, err := b.hold(min(b.lockTimeout, uncountedAfter))
	if errors.Is(err, filelock.ErrLocked) {
		return do()
	}
	if err != nil {
		return err
	}
	defer h.release()
	return h.counting(bytes, do)
}

// write keeps a batch that has its ids, whatever the bound.
func (b *Outbox) write(drafts []sandtrail.Draft) error {
	raw, err := encode(drafts)
	if err != nil {
		return err
	}
	return b.counting(int64(len(raw)), func() error { return b.writeFile(newBatch(drafts, raw), raw) })
}

func (b *Outbox) writeFile(w batch, raw []byte) error {
	return durable.WriteFile(filepath.Join(b.dir, w.name()), raw)
}

// remove removes the files of batches; one that is gone already is no error.
func (b *Outbox) remove(gone ...batch) error {
	if len(gone) == 0 {
		return nil
	}
	h, err := b.hold(min(b.lockTimeout, uncountedAfter))
	if err == nil {
		defer h.release()
	} else if !errors.Is(err, filelock.ErrLocked) {
		return err
	}
	removed, failed := int64(0), []error(nil)
	for _, w := range gone {
		err := os.Remove(filepath.Join(b.dir, w.file))
		if err == nil {
			removed += w.bytes
		} else if !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	if h != nil {
		failed = append(failed, h.add(-removed, 0))
	}
	return errors.Join(failed...)
}

// dropped is how many dropped records no record tells of, as the tally says.
func (b *Outbox) dropped() (int, error) {
	f, err := os.Open(filepath.Join(b.dir, lockName))
	if err == nil {
		defer f.Close()
		if t, known := readTally(f); known {
			return t.dropped, nil
		}
	}
	return b.countDropped()
}

// lock takes the lock that a file stands for, and waits for it as long as the
// timeout.
func (b *Outbox) lock(name string, timeout time.Duration) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(b.dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(timeout)
	for nap := time.Millisecond; ; nap = min(2*nap, longestNap) {
		err := filelock.TryLock(f)
		if errors.Is(err, filelock.ErrLocked) && timeout > 0 {
			if time.Now().Before(deadline) {
				<-time.After(nap)
				continue
			}
			err = fmt.Errorf("%w: %s was not to be had for %s", err, f.Name(), timeout)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
}
