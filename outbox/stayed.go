package outbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
)

// leave passes over a batch whose owner is stuck. That it waits is new only once.
func (f *flushing) leave(w batch) error {
	f.done.Stayed += w.records
	if !w.tried.IsZero() {
		return nil
	}
	return f.postpone(w)
}

// forget removes the files of settled items. What stays is tried again after
// all others; where it is not the whole of its file, or of several owners, each
// owner's part gets a file of its own first.
func (f *flushing) forget(items []*item) error {
	var gone []batch
	for len(items) > 0 {
		n := 1
		for n < len(items) && items[n].batch == items[0].batch {
			n++
		}
		whole, err := f.keepLeft(*items[0].batch, items[:n])
		if err != nil {
			return err
		}
		if !whole {
			gone = append(gone, *items[0].batch)
		}
		items = items[n:]
	}
	// Not made durable: a file that comes back after a power failure is
	// delivered again and known as a duplicate.
	return f.remove(gone...)
}

// keepLeft keeps of one batch what is not settled. It reports whether the batch
// stays as it is.
func (f *flushing) keepLeft(w batch, items []*item) (whole bool, err error) {
	var left []*item
	tried := false
	for _, p := range items {
		if !p.settled {
			left = append(left, p)
		}
		tried = tried || p.stays
	}
	switch {
	case len(left) == len(items) && !tried:
		return true, nil // the store was not reached
	case len(left) == 1 && len(items) == 1:
		w.id, w.owner = left[0].draft.ID.String(), left[0].owner()
		return true, f.postpone(w)
	case len(left) == len(items) && w.owner == ownerOf(left[0].draft):
		return true, f.postpone(w)
	}
	return false, f.divide(w, left)
}

// owner is where the item belongs while it waits.
func (p *item) owner() string {
	if p.early {
		return early
	}
	return ownerOf(p.draft)
}

// postpone notes that a batch was tried. The time of its file says since when it
// waits, and stays.
func (f *flushing) postpone(w batch) error {
	w.tried, w.tries = f.admission.Now, min(w.tries+1, maxTries)
	err := os.Rename(filepath.Join(f.dir, w.file), filepath.Join(f.dir, w.name()))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

// divide writes what is left of a batch, by owners.
func (f *flushing) divide(w batch, left []*item) error {
	info, err := os.Stat(filepath.Join(f.dir, w.file))
	if err != nil {
		return err
	}
	for len(left) > 0 {
		first := left[0]
		var drafts []sandtrail.Draft
		left = slices.DeleteFunc(left, func(p *item) bool {
			together := p == first || !first.early && p.owner() == first.owner() && p.stays == first.stays
			if together {
				drafts = append(drafts, p.draft)
			}
			return together
		})
		if err := f.writePart(drafts, first, info.ModTime()); err != nil {
			return err
		}
	}
	return nil
}

// writePart writes drafts that fared as the first of them did. They wait since
// then.
func (f *flushing) writePart(drafts []sandtrail.Draft, first *item, since time.Time) error {
	raw, err := encode(drafts)
	if err != nil {
		return err
	}
	w := newBatch(drafts, raw)
	w.owner = first.owner()
	if first.stays {
		w.tried, w.tries = f.admission.Now, 1
	}
	err = f.counting(w.bytes, func() error { return f.writeFile(w, raw) })
	if err != nil {
		return err
	}
	return os.Chtimes(filepath.Join(f.dir, w.name()), since, since)
}
