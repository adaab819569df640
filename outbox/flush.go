package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/filelock"
)

// Delivery says what a Flush did.
type Delivery struct {
	Delivered int   `json:"delivered"` // records that the store has now
	Refused   int   `json:"refused"`   // records set aside because the store refused them for good
	Damaged   int   `json:"damaged"`   // files set aside because they cannot be read
	Stayed    int   `json:"stayed"`    // records whose user or strategy the store does not know yet, or whose time has not come
	Why       error `json:"-"`         // what the store said of one that stayed
}

// chunkRecords is how many records go to the store at once.
const chunkRecords = 500

// Flush delivers what waits, oldest first, until nothing is left that can be.
// The error says why it stopped before: the context ended, or the store cannot
// be reached. While another process flushes the same outbox there is nothing
// to do.
//
// A record that the store refuses for what it is (it breaks a rule, its id is
// taken by other content) is set aside with the reason. One whose user or
// strategy the store does not know stays: it is accepted once they are added. One
// whose time is ahead of the store's clock stays until it no longer is.
func (b *Outbox) Flush(ctx context.Context, to sandtrail.Appender, admission sandtrail.Admission) (Delivery, error) {
	var done Delivery
	unlock, err := lock(filepath.Join(b.dir, flushName), filelock.TryLock)
	if errors.Is(err, filelock.ErrLocked) {
		return done, nil
	}
	if err != nil {
		return done, fmt.Errorf("flush outbox: %w", err)
	}
	defer unlock()
	waiting, err := b.batches()
	for err == nil && len(waiting) > 0 {
		var parcels []parcel
		parcels, waiting, err = b.load(waiting, &done)
		if err == nil {
			err = b.deliver(ctx, parcels, to, admission, &done)
		}
	}
	if err != nil {
		return done, fmt.Errorf("flush outbox: %w", err)
	}
	return done, nil
}

// parcel is one record on its way.
type parcel struct {
	file  string
	draft sandtrail.Draft
	stays bool
}

// load reads batches until there is enough for one delivery and returns those
// that are left. Damaged ones are set aside.
func (b *Outbox) load(waiting []batch, done *Delivery) (parcels []parcel, rest []batch, err error) {
	for i, w := range waiting {
		if len(parcels) >= chunkRecords {
			return parcels, waiting[i:], nil
		}
		drafts, err := b.read(w.name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // delivered meanwhile
		case errors.Is(err, errDamaged):
			done.Damaged++
			if err := b.setDamaged(filepath.Join(b.dir, w.name)); err != nil {
				return nil, nil, err
			}
		case err != nil:
			return nil, nil, err
		}
		for _, d := range drafts {
			parcels = append(parcels, parcel{file: w.name, draft: d})
		}
	}
	return parcels, nil, nil
}

// deliver brings parcels to the store together, or, when it refuses some of
// them, one by one, and forgets those that are settled.
func (b *Outbox) deliver(ctx context.Context, parcels []parcel, to sandtrail.Appender, admission sandtrail.Admission, done *Delivery) error {
	err := send(ctx, parcels, to, admission)
	if err == nil {
		done.Delivered += len(parcels)
		return b.forget(parcels)
	}
	if !isRefusal(err) {
		return err
	}
	for i := range parcels {
		err := send(ctx, parcels[i:i+1], to, admission)
		switch {
		case err == nil:
			done.Delivered++
		case !isRefusal(err):
			return errors.Join(err, b.forget(parcels[:i]))
		case isUnknownOwner(err), sandtrail.IsEarly(err):
			parcels[i].stays = true
			done.Stayed++
			done.Why = err
		default:
			done.Refused++
			if err := b.setAside(parcels[i].draft, err); err != nil {
				return err
			}
		}
	}
	return b.forget(parcels)
}

func send(ctx context.Context, parcels []parcel, to sandtrail.Appender, admission sandtrail.Admission) error {
	drafts := make([]sandtrail.Draft, len(parcels))
	for i, p := range parcels {
		drafts[i] = p.draft
	}
	admitted, err := admission.Admit(drafts...)
	if err != nil {
		return err
	}
	_, err = to.Append(ctx, admitted)
	return err
}

// isRefusal reports whether the records are at fault, not the store.
func isRefusal(err error) bool {
	return slices.Contains([]sandtrail.Code{sandtrail.CodeInvalid, sandtrail.CodeConflict, sandtrail.CodeTooLarge}, sandtrail.CodeOf(err))
}

// isUnknownOwner reports whether nothing is wrong with a record but that the
// store does not know its user or strategy.
func isUnknownOwner(err error) bool {
	var e *sandtrail.Error
	if !errors.As(err, &e) || e.Code != sandtrail.CodeInvalid || len(e.Fields) == 0 {
		return false
	}
	return !slices.ContainsFunc(e.Fields, func(f sandtrail.FieldError) bool {
		return f.Path != "userId" && f.Path != "strategyId"
	})
}

// setAside keeps a refused record where it is not tried again.
func (b *Outbox) setAside(d sandtrail.Draft, why error) error {
	raw, err := json.MarshalIndent(struct {
		Reason string          `json:"reason"`
		Record sandtrail.Draft `json:"record"`
	}{why.Error(), d}, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(b.dir, refusedDir, d.ID.String()+".json"), raw)
}

// forget removes the files of settled parcels. What stays of a file whose
// others are settled gets a file of its own first.
func (b *Outbox) forget(parcels []parcel) error {
	for len(parcels) > 0 {
		file, n := parcels[0].file, 0
		var stays []sandtrail.Draft
		for n < len(parcels) && parcels[n].file == file {
			if parcels[n].stays {
				stays = append(stays, parcels[n].draft)
			}
			n++
		}
		parcels = parcels[n:]
		if len(stays) == n {
			continue
		}
		if err := b.write(stays); err != nil {
			return err
		}
		// Not made durable: a file that comes back after a power failure is
		// delivered again and known as a duplicate.
		if err := os.Remove(filepath.Join(b.dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Retry puts records that were refused back among those that wait, whatever the
// outbox's bound, and returns how many. A file that holds no record stays where
// it is and is part of the error.
func (b *Outbox) Retry() (n int, err error) {
	entries, err := os.ReadDir(filepath.Join(b.dir, refusedDir))
	failed := []error{err}
	for _, entry := range entries {
		err := b.putBack(filepath.Join(b.dir, refusedDir, entry.Name()))
		if err == nil {
			n++
		}
		failed = append(failed, err)
	}
	return n, errors.Join(failed...)
}

func (b *Outbox) putBack(path string) error {
	raw, err := durable.ReadFile(path, maxRefusedBytes)
	if err != nil {
		return err
	}
	var refused struct{ Record sandtrail.Draft }
	if err := json.Unmarshal(raw, &refused); err != nil || refused.Record.ID.IsZero() {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "%s holds no record that was refused: mend or delete it", path)
	}
	if err := b.write([]sandtrail.Draft{refused.Record}); err != nil {
		return err
	}
	return os.Remove(path)
}

// maxRefusedBytes bounds a file in refused/: a record, indented, and why.
const maxRefusedBytes = 4 << 20
