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
	"strconv"
	"strings"

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
//
// It also removes the files that writers left aside who were killed an hour ago
// or earlier.
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
	waiting, done.Stayed = b.due(waiting)
	f := flushing{b, to, admission, &done, map[string]bool{}}
	for err == nil && len(waiting) > 0 {
		var parcels []parcel
		parcels, waiting, err = b.load(waiting, &done)
		if err == nil {
			err = errors.Join(f.deliver(ctx, pointers(parcels)), b.forget(parcels))
		}
	}
	if err = errors.Join(err, b.removeAsides()); err != nil {
		return done, fmt.Errorf("flush outbox: %w", err)
	}
	return done, nil
}

// due leaves out those of the batches that were tried before which it is not
// the turn of, and returns how many records they hold.
func (b *Outbox) due(waiting []batch) (due []batch, records int) {
	tried := 0
	for _, w := range waiting {
		if w.tried() {
			tried += w.records
		}
		if w.tried() && b.retries > 0 && tried > b.retries {
			records += w.records
			continue
		}
		due = append(due, w)
	}
	return due, records
}

// parcel is one record on its way.
type parcel struct {
	file  string
	draft sandtrail.Draft

	settled bool // its file is not needed any more
	stays   bool // it is kept for another try
}

func pointers(parcels []parcel) []*parcel {
	all := make([]*parcel, len(parcels))
	for i := range parcels {
		all[i] = &parcels[i]
	}
	return all
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

// flushing is one Flush.
type flushing struct {
	*Outbox
	to        sandtrail.Appender
	admission sandtrail.Admission
	done      *Delivery
	unknown   map[string]bool // users and strategies that the store does not know, by ownerKeys
}

// ownerKeys tell a record's user and strategy apart from all others.
func ownerKeys(d sandtrail.Draft) map[string]string {
	return map[string]string{"userId": "user " + d.UserID, "strategyId": "strategy " + d.StrategyID}
}

// deliver brings parcels to the store together. When it refuses some of them,
// those of the users and strategies that it does not know stay, without another
// try; of the others either half is delivered by itself.
func (f *flushing) deliver(ctx context.Context, parcels []*parcel) error {
	parcels = f.known(parcels, nil)
	if len(parcels) == 0 {
		return nil
	}
	err := f.send(ctx, parcels)
	switch {
	case err == nil:
		f.done.Delivered += len(parcels)
		for _, p := range parcels {
			p.settled = true
		}
		return nil
	case !isRefusal(err):
		return err
	case len(parcels) == 1:
		return f.settle(parcels[0], err)
	}
	f.learn(parcels, err)
	if rest := f.known(parcels, err); len(rest) < len(parcels) {
		return f.deliver(ctx, rest)
	}
	half := len(parcels) / 2
	err = f.deliver(ctx, parcels[:half])
	if err == nil {
		err = f.deliver(ctx, parcels[half:])
	}
	return err
}

// settle decides about a record that the store has refused.
func (f *flushing) settle(p *parcel, why error) error {
	if isUnknownOwner(why) || sandtrail.IsEarly(why) {
		f.learn([]*parcel{p}, why)
		f.stays(p, why)
		return nil
	}
	f.done.Refused++
	p.settled = true
	return f.setAside(p.draft, why)
}

func (f *flushing) stays(p *parcel, why error) {
	p.stays = true
	f.done.Stayed++
	if why != nil {
		f.done.Why = why
	}
}

// known lets those of the parcels stay whose owners the store does not know, and
// returns the others.
func (f *flushing) known(parcels []*parcel, why error) (others []*parcel) {
	for _, p := range parcels {
		keys := ownerKeys(p.draft)
		if f.unknown[keys["userId"]] || f.unknown[keys["strategyId"]] {
			f.stays(p, why)
		} else {
			others = append(others, p)
		}
	}
	return others
}

// ownerIn reads the place of a fault: the number of a record in its batch, 0
// for one alone, and which of its owners is at fault; "": none.
func ownerIn(path string) (at int, owner string) {
	record, owner, inBatch := strings.Cut(path, "].")
	if !inBatch {
		record, owner = "[0", path
	}
	if owner != "userId" && owner != "strategyId" {
		return 0, ""
	}
	at, err := strconv.Atoi(record[strings.LastIndexByte(record, '[')+1:])
	if err != nil {
		return 0, ""
	}
	return at, owner
}

// learn takes from an error which owners the store does not know.
func (f *flushing) learn(parcels []*parcel, err error) {
	var e *sandtrail.Error
	if !errors.As(err, &e) || e.Code != sandtrail.CodeInvalid {
		return
	}
	for _, field := range e.Fields {
		at, owner := ownerIn(field.Path)
		if owner == "" {
			return // something else is wrong with them
		}
		if 0 <= at && at < len(parcels) {
			f.unknown[ownerKeys(parcels[at].draft)[owner]] = true
		}
	}
}

func (f *flushing) send(ctx context.Context, parcels []*parcel) error {
	drafts := make([]sandtrail.Draft, len(parcels))
	for i, p := range parcels {
		drafts[i] = p.draft
	}
	admitted, err := f.admission.Admit(drafts...)
	if err != nil {
		return err
	}
	_, err = f.to.Append(ctx, admitted)
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

// forget removes the files of settled parcels. What is not settled of a file
// gets a file of its own first; what stays is tried again after all others.
func (b *Outbox) forget(parcels []parcel) error {
	for len(parcels) > 0 {
		file, n, tried := parcels[0].file, 0, false
		var left []sandtrail.Draft
		for n < len(parcels) && parcels[n].file == file {
			if !parcels[n].settled {
				left = append(left, parcels[n].draft)
			}
			tried = tried || parcels[n].stays
			n++
		}
		parcels = parcels[n:]
		if err := b.keepLeft(file, left, len(left) == n, tried); err != nil {
			return err
		}
	}
	return nil
}

func (b *Outbox) keepLeft(file string, left []sandtrail.Draft, all, tried bool) error {
	if all {
		if !tried {
			return nil
		}
		// The time of the file says since when it waits, and stays.
		err := os.Rename(filepath.Join(b.dir, file), filepath.Join(b.dir, triedName(file, b.now())))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}
	if err := b.write(left); err != nil {
		return err
	}
	// Not made durable: a file that comes back after a power failure is
	// delivered again and known as a duplicate.
	if err := os.Remove(filepath.Join(b.dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Retry puts records that were refused back among those that wait, whatever the
// outbox's bound, and returns how many. A file that holds no record stays where
// it is and is part of the error.
func (b *Outbox) Retry() (n int, err error) {
	paths, err := b.files(refusedDir, false)
	failed := []error{err}
	for _, path := range paths {
		err := b.putBack(path)
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
