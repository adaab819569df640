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

// Flush delivers what waits, until nothing is left that can be. The error says
// why it stopped before: the context ended, or the store cannot be reached.
// While another process flushes the same outbox there is nothing to do.
//
// A record that the store refuses for what it is (it breaks a rule, its id is
// taken by other content) is set aside with the reason. One whose user or
// strategy the store does not know stays: it is accepted once they are added. One
// whose time is ahead of the store's clock stays until it no longer is.
//
// The records of one user and strategy wait together: the oldest is tried, and
// where it stays the others are not read. What was tried in vain is tried again,
// behind all that is new, after a pause that doubles from 20 seconds to an hour,
// or once something new of the same user and strategy is there. The times are
// those of the admission.
//
// It also removes the files that writers left aside who were killed an hour ago
// or earlier.
func (b *Outbox) Flush(ctx context.Context, to sandtrail.Appender, admission sandtrail.Admission) (Delivery, error) {
	var done Delivery
	lock, err := b.lock(flushName, 0)
	if errors.Is(err, filelock.ErrLocked) {
		return done, nil
	}
	if err != nil {
		return done, fmt.Errorf("flush outbox: %w", err)
	}
	defer lock.Close()
	if admission.Now.IsZero() {
		admission.Now = b.now()
	}
	waiting, err := b.batches()
	if err == nil {
		f := flushing{b, to, admission, &done, map[string]bool{}, map[string]bool{}}
		err = f.run(ctx, groups(waiting))
	}
	if err = errors.Join(err, b.removeAsides()); err != nil {
		return done, fmt.Errorf("flush outbox: %w", err)
	}
	return done, nil
}

// Taken says that a store has taken a record: the next Flush tries the others of
// its user and strategy, whenever they were tried before.
func (b *Outbox) Taken(d sandtrail.Draft) { b.taken.Store(ownerOf(d), true) }

// flushing is one Flush.
type flushing struct {
	*Outbox
	to        sandtrail.Appender
	admission sandtrail.Admission
	done      *Delivery
	unknown   map[string]bool // users and strategies that the store does not know, by ownerKeys
	stuck     map[string]bool // owners, by ownerOf, of whom nothing can be delivered
}

// run delivers one batch of each group whose turn it is, and then the rest of
// those groups of which that one was taken.
func (f *flushing) run(ctx context.Context, all []*group) error {
	due := f.due(all)
	var heads, rest []batch
	for _, g := range due {
		heads = append(heads, g.batches[0])
	}
	if err := f.deliverAll(ctx, heads); err != nil {
		return err
	}
	for _, g := range due {
		rest = append(rest, g.batches[1:]...)
	}
	slices.SortStableFunc(rest, func(a, b batch) int { return strings.Compare(a.id, b.id) })
	return f.deliverAll(ctx, rest)
}

// due are the groups whose turn it is. The records of the others stay.
func (f *flushing) due(all []*group) (due []*group) {
	again := 0
	for _, g := range all {
		_, taken := f.taken.LoadAndDelete(g.batches[0].owner)
		switch {
		case f.retries == All || g.fresh || taken:
		case !g.due(f.admission.Now), f.retries > 0 && again >= f.retries:
			f.done.Stayed += g.records()
			continue
		default:
			again++
		}
		due = append(due, g)
	}
	return due
}

// deliverAll delivers batches, in chunks. Those of an owner who turned out to be
// unknown stay unread.
func (f *flushing) deliverAll(ctx context.Context, waiting []batch) error {
	for len(waiting) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		var items []*item
		var err error
		if items, waiting, err = f.load(waiting); err != nil {
			return err
		}
		if err := errors.Join(f.deliver(ctx, items), f.forget(items)); err != nil {
			return err
		}
	}
	return nil
}

// item is one record on its way.
type item struct {
	batch *batch
	draft sandtrail.Draft

	settled bool // its file is not needed any more
	stays   bool // it is kept for another try
	early   bool // because its time has not come
}

// load reads batches until there is enough for one delivery and returns those
// that are left. Damaged ones are set aside.
func (f *flushing) load(waiting []batch) (items []*item, rest []batch, err error) {
	for i, w := range waiting {
		if len(items) >= chunkRecords {
			return items, waiting[i:], nil
		}
		if f.stuck[w.owner] {
			if err := f.leave(w); err != nil {
				return nil, nil, err
			}
			continue
		}
		drafts, err := f.read(w)
		switch {
		case errors.Is(err, fs.ErrNotExist): // delivered meanwhile
		case errors.Is(err, errDamaged):
			f.done.Damaged++
			err := f.counting(-w.bytes, func() error { return f.setDamaged(filepath.Join(f.dir, w.file)) })
			if err != nil {
				return nil, nil, err
			}
		case err != nil:
			return nil, nil, err
		}
		for _, d := range drafts {
			items = append(items, &item{batch: &w, draft: d})
		}
	}
	return items, nil, nil
}

// ownerKeys tell a record's user and strategy apart from all others.
func ownerKeys(d sandtrail.Draft) map[string]string {
	return map[string]string{"userId": "user " + d.UserID, "strategyId": "strategy " + d.StrategyID}
}

// deliver brings items to the store together. When it refuses some of them,
// those of the users and strategies that it does not know stay, without another
// try; of the others either half is delivered by itself.
func (f *flushing) deliver(ctx context.Context, items []*item) error {
	items = f.known(items, nil)
	if len(items) == 0 {
		return nil
	}
	err := f.send(ctx, items)
	switch {
	case err == nil:
		f.done.Delivered += len(items)
		for _, p := range items {
			p.settled = true
		}
		return nil
	case !isRefusal(err):
		return err
	case len(items) == 1:
		return f.settle(items[0], err)
	}
	f.learn(items, err)
	if rest := f.known(items, err); len(rest) < len(items) {
		return f.deliver(ctx, rest)
	}
	half := len(items) / 2
	err = f.deliver(ctx, items[:half])
	if err == nil {
		err = f.deliver(ctx, items[half:])
	}
	return err
}

// settle decides about a record that the store has refused.
func (f *flushing) settle(p *item, why error) error {
	var e *sandtrail.Error
	p.early = errors.As(why, &e) && e.Early()
	if p.early || isUnknownOwner(why) {
		f.learn([]*item{p}, why)
		f.stays(p, why)
		return nil
	}
	f.done.Refused++
	p.settled = true
	return f.setAside(p.draft, why)
}

func (f *flushing) stays(p *item, why error) {
	p.stays = true
	f.stuck[ownerOf(p.draft)] = f.stuck[ownerOf(p.draft)] || !p.early
	f.done.Stayed++
	if why != nil {
		f.done.Why = why
	}
}

// known lets those of the items stay whose owners the store does not know, and
// returns the others.
func (f *flushing) known(items []*item, why error) (others []*item) {
	for _, p := range items {
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
func (f *flushing) learn(items []*item, err error) {
	var e *sandtrail.Error
	if !errors.As(err, &e) || e.Code != sandtrail.CodeInvalid {
		return
	}
	for _, field := range e.Fields {
		at, owner := ownerIn(field.Path)
		if owner == "" {
			return // something else is wrong with them
		}
		if 0 <= at && at < len(items) {
			f.unknown[ownerKeys(items[at].draft)[owner]] = true
		}
	}
}

func (f *flushing) send(ctx context.Context, items []*item) error {
	drafts := make([]sandtrail.Draft, len(items))
	for i, p := range items {
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
		return sandtrail.Errorf(sandtrail.CodeInvalid, "%s holds no execution that was refused: mend or delete it", path)
	}
	if err := b.write([]sandtrail.Draft{refused.Record}); err != nil {
		return err
	}
	return os.Remove(path)
}

// maxRefusedBytes bounds a file in refused/: a record, indented, and why.
const maxRefusedBytes = 4 << 20
