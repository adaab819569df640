package outbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/filelock"
)

// Trace is the trace of a run that has begun: a file that its recorder keeps
// locked as long as it lives, and touches to say until when it did.
type Trace struct {
	file  *os.File
	path  string
	id    sandtrail.ID
	begun time.Time // by the wall clock and the monotonic one
}

// Beat is how often a recorder should call Trace.Beat.
const Beat = time.Second

// Begin leaves the trace of a run that is about to start. The draft says what
// is known already: user, strategy, type and metadata; it gets an id, which
// the finished record must carry too. The trace outlives the recorder's death,
// not a power failure: it is not synced, so that starting stays cheap.
func (b *Outbox) Begin(d sandtrail.Draft) (*Trace, error) {
	begun := b.now()
	d.CreatedAt = sandtrail.Millisecond(begun)
	if d.ID.IsZero() {
		d.ID = sandtrail.NewID(begun)
	}
	raw, err := encode([]sandtrail.Draft{d})
	if err != nil {
		return nil, fmt.Errorf("leave a trace of the execution: %w", err)
	}
	f, err := b.aside()
	if err != nil {
		return nil, fmt.Errorf("leave a trace of the execution: %w", err)
	}
	t := &Trace{file: f, path: b.tracePath(d.ID), id: d.ID, begun: begun}
	// Locked before it has its name, so that no sweep takes it for dead.
	err = filelock.Lock(f)
	if err == nil {
		_, err = f.Write(raw)
	}
	if err == nil {
		err = os.Rename(f.Name(), t.path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("leave a trace of the execution: %w", err), f.Close(), os.Remove(f.Name()))
	}
	return t, nil
}

// aside makes a file among the traces that is not looked for.
func (b *Outbox) aside() (*os.File, error) {
	return os.CreateTemp(filepath.Join(b.dir, startedDir), "*"+durable.Suffix)
}

func (b *Outbox) tracePath(id sandtrail.ID) string {
	return filepath.Join(b.dir, startedDir, id.String()+suffix)
}

// ID is the id of the run's record.
func (t *Trace) ID() sandtrail.ID { return t.id }

// Beat notes that the run goes on. A wall clock that has been set meanwhile
// changes no duration: only the monotonic one is asked.
func (t *Trace) Beat(now time.Time) error {
	seen := t.begun.Add(now.Sub(t.begun))
	return os.Chtimes(t.path, seen, seen)
}

// Finish keeps the record of the run beside its trace while it is being
// delivered: should the recorder die now, a sweep delivers this one.
func (b *Outbox) Finish(t *Trace, d sandtrail.Draft) error {
	d.ID = t.id
	raw, err := encode([]sandtrail.Draft{d})
	if err != nil {
		return fmt.Errorf("keep the execution: %w", err)
	}
	f, err := b.aside()
	if err == nil {
		_, err = f.Write(raw)
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = os.Rename(f.Name(), finishedPath(b.tracePath(t.id)))
	}
	if err != nil {
		if f != nil {
			_ = os.Remove(f.Name())
		}
		return fmt.Errorf("keep the execution: %w", err)
	}
	return nil
}

func finishedPath(trace string) string { return strings.TrimSuffix(trace, suffix) + ".finished" }

// End removes the trace. The run's record must be in the store or in the
// outbox by then.
func (b *Outbox) End(t *Trace) error {
	return errors.Join(forgetTrace(b.tracePath(t.id)), t.file.Close())
}

// forgetTrace removes a trace and the finished record beside it, the trace
// last: it is how the outbox finds the record.
func forgetTrace(path string) error {
	if err := os.Remove(finishedPath(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(path)
}

// Sweep turns the traces of runs whose recorder has died into records and puts
// them into the outbox: the finished record where there is one, otherwise one
// that lost makes out of the beginning and of how long the run was seen. It
// returns how many of those there were.
func (b *Outbox) Sweep(lost func(begun sandtrail.Draft, seen time.Duration) sandtrail.Draft) (n int, err error) {
	err = b.eachTrace(func(path string, f *os.File) error {
		if raw, err := durable.ReadFile(finishedPath(path), maxRecordBytes); err == nil {
			if finished, err := decode(raw); err == nil && len(finished) == 1 && b.tracePath(finished[0].ID) == path {
				return errors.Join(b.write(finished), forgetTrace(path))
			}
		}
		begun, last, err := readTrace(f)
		if err == nil && b.tracePath(begun.ID) != path {
			err = errDamaged // another run's
		}
		if errors.Is(err, errDamaged) {
			return b.setDamaged(path)
		}
		if err != nil {
			return err
		}
		if err := b.write([]sandtrail.Draft{lost(begun, max(0, last.Sub(begun.CreatedAt)))}); err != nil {
			return err
		}
		n++
		return forgetTrace(path)
	})
	if err != nil {
		return n, fmt.Errorf("sweep the traces of lost runs: %w", err)
	}
	return n, nil
}

// setDamaged moves what is no trace out of the way, without looking into it.
func (b *Outbox) setDamaged(path string) error {
	return durable.Rename(path, filepath.Join(b.dir, damagedDir, filepath.Base(path)))
}

// maxRecordBytes bounds the file of one record, which is mostly metadata.
const maxRecordBytes = 1 << 20

func readTrace(f *os.File) (begun sandtrail.Draft, last time.Time, err error) {
	info, err := f.Stat()
	if err != nil {
		return begun, last, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxRecordBytes+1))
	if err != nil {
		return begun, last, err
	}
	drafts, err := decode(raw) // of a longer one the end is missing
	if err != nil || len(drafts) != 1 {
		return begun, last, errDamaged
	}
	return drafts[0], info.ModTime(), nil
}

// eachTrace calls dead with every trace whose recorder has died.
func (b *Outbox) eachTrace(dead func(path string, f *os.File) error) error {
	entries, err := os.ReadDir(filepath.Join(b.dir, startedDir))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), suffix) {
			continue
		}
		path := filepath.Join(b.dir, startedDir, entry.Name())
		f, err := durable.OpenRegular(path, os.O_RDWR)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended
		}
		if errors.Is(err, durable.ErrNotRegular) {
			err = b.setDamaged(path)
		}
		if f != nil {
			// The lock may be that of a run that ended, or was swept, just now.
			if err = filelock.TryLock(f); err == nil && isStill(path, f) {
				err = dead(path, f)
			}
			f.Close()
		}
		if err != nil && !errors.Is(err, filelock.ErrLocked) {
			return err
		}
	}
	return nil
}

// isStill reports whether path names the open file.
func isStill(path string, f *os.File) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(opened, named)
}

// countStarted counts the runs whose recorder lives, and those it died of.
func (b *Outbox) countStarted() (running, lost int) {
	all := 0
	entries, _ := os.ReadDir(filepath.Join(b.dir, startedDir))
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), suffix) {
			all++
		}
	}
	_ = b.eachTrace(func(string, *os.File) error { lost++; return nil })
	return max(0, all-lost), lost
}
