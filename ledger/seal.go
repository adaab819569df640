package ledger

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
)

// Book is where a store keeps its ledger, as one transaction sees it.
type Book interface {
	// Size returns the number of ledger entries.
	Size(ctx context.Context) (int64, error)
	// Tile returns a tile of the tree, empty when there is none.
	Tile(ctx context.Context, id TileID) ([]byte, error)
	Index
	RecordReader
	// Put stores what a step of sealing has made.
	Put(ctx context.Context, w Written) error
}

// RecordReader reads records by their ids.
type RecordReader interface {
	// Records returns those of the executions that are stored, in any order.
	// There are at most MaxRecords ids. They had a createdAt within
	// since and until, unless both are zero, when they were written: that
	// helps to find them, and those of another time are returned as well.
	// Their metadata is the text of the column; settle makes of it what other
	// readers see.
	Records(ctx context.Context, ids []sandtrail.ID, since, until time.Time) ([]sandtrail.Execution, error)
}

// MaxRecords is of how many records a store is asked at once.
const MaxRecords = 4 * BlockLeaves

// Written is what a step of sealing makes, and replaces: tiles by their name,
// pages by their number. Removals and renames are new.
type Written struct {
	Tiles    map[TileID][]byte
	Pages    []Page
	Removals []StoredRemoval
	Renames  []StoredRename
}

// Page is what is kept of a block beside its tile of hashes.
type Page struct {
	N int64
	// Since and Until are the least and the greatest createdAt of the executions
	// in the block, by which an execution's ledger entry is found. Zero: no executions.
	Since, Until time.Time
	Entries      []byte // opaque; Pages may leave it out
}

// Change is one execution that was inserted or deleted, of the store's changes.
type Change struct {
	Removed   bool
	ID        sandtrail.ID
	CreatedAt time.Time
	Reason    string // of a removal
	By        string // who removed, as far as known
}

// Sealed says what SealChanges did.
type Sealed struct {
	Size     int64 // leaves of the log
	Root     Hash
	Records  int // leaves added
	Removals int
}

// spansPerRemoval bounds the size of a removal's leaf.
const spansPerRemoval = 4096

// SealChanges enters changes, in any order, into the log: a ledger entry for every
// execution that was inserted and is still stored, then a ledger entry for every reason of
// removals. An execution that was deleted before it was sealed is only counted. random
// makes the salts.
//
// Where an execution has gone, or has come more than once, all of its changes
// must be given together (Entangled), unless they come in order (InOrder): which of
// its ledger entries one is about depends on the others. All or nothing is the transaction's matter; when it commits, the
// changes must be gone from the store.
func SealChanges(ctx context.Context, book Book, changes []Change, now time.Time, random io.Reader) (Sealed, error) {
	s := &sealer{book: book, random: random, pages: map[int64]*openPage{}}
	var err error
	if s.size, err = book.Size(ctx); err != nil {
		return Sealed{}, fmt.Errorf("seal: %w", err)
	}
	inserted, deleted := split(changes)
	steps := []func() error{
		func() error { return s.forgetRemoved(ctx, deleted) }, // first: an id may have been inserted again
		func() error { return s.addRecords(ctx, inserted) },
		func() error { return s.addRemovals(ctx, now) },
		func() error { return s.write(ctx) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return Sealed{}, fmt.Errorf("seal: %w", err)
		}
	}
	return s.sealed, nil
}

// Entangled lists the ids that have more than one change. Their changes must be sealed
// in one transaction.
func Entangled(changes []Change) []sandtrail.ID {
	seen, listed := map[sandtrail.ID]bool{}, map[sandtrail.ID]bool{}
	var ids []sandtrail.ID
	for _, c := range changes {
		if (c.Removed || seen[c.ID]) && !listed[c.ID] {
			listed[c.ID] = true
			ids = append(ids, c.ID)
		}
		seen[c.ID] = true
	}
	return ids
}

// InOrder prepares changes that come in the order of their commits. Part of a list
// in that order may be sealed without the rest, whatever that says of the same
// executions. It leaves out insertions that a later deletion undoes: an execution
// that is stored all the same was inserted once more, by a change yet to come.
func InOrder(changes []Change) []Change {
	deleted := map[sandtrail.ID]int{} // the last place
	for i, c := range changes {
		if c.Removed {
			deleted[c.ID] = i
		}
	}
	kept := make([]Change, 0, len(changes))
	for i, c := range changes {
		if last, found := deleted[c.ID]; c.Removed || !found || last < i {
			kept = append(kept, c)
		}
	}
	return kept
}

// split parts the changes into the inserted executions, each id once, and the
// removals.
func split(changes []Change) (inserted, deleted []Change) {
	seen := map[sandtrail.ID]bool{}
	for _, c := range changes {
		switch {
		case c.Removed:
			deleted = append(deleted, c)
		case !seen[c.ID]:
			seen[c.ID] = true
			inserted = append(inserted, c)
		}
	}
	return inserted, deleted
}

type sealer struct {
	book    Book
	random  io.Reader
	size    int64 // before
	hashes  []Hash
	pages   map[int64]*openPage
	gone    map[cause]*tally
	stay    map[sandtrail.ID][]int64 // of the deleted executions, the leaves that are left
	written Written
	sealed  Sealed
}

type openPage struct {
	Page
	page
	unused  []Salt // of the leaves to come
	changed bool
}

// append adds an entry.
func (p *openPage) append(entry Entry) {
	p.entries, p.unused, p.changed = append(p.entries, entry), p.unused[1:], true
}

// widen makes the page's times hold the createdAt of a record, and not be zero,
// which says that there are none.
func (p *openPage) widen(at time.Time) {
	since, until := at, at
	if at.IsZero() {
		since, until = at.Add(-time.Millisecond), at.Add(time.Millisecond)
	}
	empty := p.Since.IsZero()
	if empty || since.Before(p.Since) {
		p.Since = since
	}
	if empty || until.After(p.Until) {
		p.Until = until
	}
}

// forget destroys the salt of a removed record.
func (p *openPage) forget(i int) {
	p.entries[i].Salt = Salt{}
	p.salts.destroy(i)
	p.changed = true
}

func (s *sealer) addRecords(ctx context.Context, inserted []Change) error {
	for batch := range slices.Chunk(inserted, MaxRecords) {
		ids := make([]sandtrail.ID, len(batch))
		since, until := batch[0].CreatedAt, batch[0].CreatedAt
		for i, c := range batch {
			ids[i] = c.ID
			if c.CreatedAt.Before(since) {
				since = c.CreatedAt
			}
			if c.CreatedAt.After(until) {
				until = c.CreatedAt
			}
		}
		records, err := s.book.Records(ctx, ids, since, until)
		if err != nil {
			return err
		}
		if err := s.addInOrder(ctx, ids, records); err != nil {
			return err
		}
	}
	return nil
}

func (s *sealer) addInOrder(ctx context.Context, ids []sandtrail.ID, records []sandtrail.Execution) error {
	stored := make(map[sandtrail.ID]*sandtrail.Execution, len(records))
	for i := range records {
		stored[records[i].ID] = &records[i]
	}
	var leaves []unsealed
	for _, id := range ids {
		record := stored[id]
		if record == nil || len(s.stay[id]) > 0 {
			continue // it has gone; its removal is yet to come. Or its leaf is there
		}
		page, err := s.lastPage(ctx)
		if err != nil {
			return err
		}
		leaves = append(leaves, unsealed{record, page, len(page.entries), len(s.hashes)})
		page.append(Entry{ID: id, Salt: page.unused[0]})
		page.widen(record.CreatedAt)
		s.hashes = append(s.hashes, Hash{})
	}
	s.sealed.Records += len(leaves)
	s.hash(leaves)
	return nil
}

// unsealed is a record whose leaf has its place, and its salt, but no hash.
type unsealed struct {
	record *sandtrail.Execution
	page   *openPage
	entry  int // in the page
	hash   int // in the sealer's
}

// hash fills in entries and hashes, on all processors: who seals keeps others
// waiting.
func (s *sealer) hash(leaves []unsealed) {
	if len(leaves) == 0 {
		return
	}
	var workers sync.WaitGroup
	for share := range slices.Chunk(leaves, (len(leaves)-1)/runtime.GOMAXPROCS(0)+1) {
		workers.Go(func() {
			var buf []byte
			for _, l := range share {
				settle(l.record)
				s.hashes[l.hash], buf = l.page.entries[l.entry].seal(l.record, buf)
			}
		})
	}
	workers.Wait()
}

// lastPage is the page of the next leaf.
func (s *sealer) lastPage(ctx context.Context) (*openPage, error) {
	page, err := s.page(ctx, (s.size+int64(len(s.hashes)))/BlockLeaves)
	if err != nil || page.unused != nil {
		return page, err
	}
	if len(page.entries) == 0 {
		if page.salts, err = newSalts(s.random); err != nil {
			return nil, err
		}
	}
	page.unused = page.salts.salts(BlockLeaves)[len(page.entries):]
	return page, nil
}

func (s *sealer) page(ctx context.Context, n int64) (*openPage, error) {
	if page := s.pages[n]; page != nil {
		return page, nil
	}
	open := &openPage{Page: Page{N: n}}
	if n*BlockLeaves < s.size {
		var err error
		if open.Page, err = s.book.Page(ctx, n); err != nil {
			return nil, err
		}
		if open.page, err = parsePage(open.Entries); err != nil {
			return nil, err
		}
	}
	s.pages[n] = open
	return open, nil
}

// cause is what removals are gathered by.
type cause struct{ reason, by string }

type tally struct {
	leaves   []int64
	unsealed int64
}

// forgetRemoved drops the salts of removed records and tallies the removals.
func (s *sealer) forgetRemoved(ctx context.Context, deleted []Change) error {
	leaves, err := s.findLeaves(ctx, deleted)
	if err != nil {
		return err
	}
	s.gone, s.stay = map[cause]*tally{}, leaves
	for _, c := range deleted {
		why := cause{c.Reason, c.By}
		if s.gone[why] == nil {
			s.gone[why] = &tally{}
		}
		if len(leaves[c.ID]) == 0 {
			s.gone[why].unsealed++
			continue
		}
		leaf := leaves[c.ID][0] // an id that was inserted again has more: the oldest was deleted first
		leaves[c.ID] = leaves[c.ID][1:]
		s.pages[leaf/BlockLeaves].forget(int(leaf % BlockLeaves))
		s.gone[why].leaves = append(s.gone[why].leaves, leaf)
	}
	return nil
}

// addRemovals appends a leaf for every cause, or more where there are many
// spans.
func (s *sealer) addRemovals(ctx context.Context, now time.Time) error {
	causes := slices.SortedFunc(maps.Keys(s.gone), func(a, b cause) int {
		return cmp.Or(cmp.Compare(a.reason, b.reason), cmp.Compare(a.by, b.by))
	})
	for _, why := range causes {
		r := Removal{At: sandtrail.Millisecond(now), Reason: why.reason, By: why.by, Unsealed: s.gone[why].unsealed}
		spans := Spans(s.gone[why].leaves)
		for first := true; first || len(spans) > 0; first = false {
			n := min(len(spans), spansPerRemoval)
			r.Leaves, spans = spans[:n], spans[n:]
			if err := s.addRemoval(ctx, r); err != nil {
				return err
			}
			r.Unsealed = 0
		}
	}
	return nil
}

func (s *sealer) addRemoval(ctx context.Context, r Removal) error {
	leaf := s.size + int64(len(s.hashes))
	page, err := s.lastPage(ctx)
	if err != nil {
		return err
	}
	data := r.Marshal()
	hash := tlog.RecordHash(data)
	page.append(Entry{})
	s.hashes = append(s.hashes, hash)
	s.written.Removals = append(s.written.Removals, StoredRemoval{Leaf: leaf, Data: data, Hash: hash})
	s.sealed.Removals++
	return nil
}

// findLeaves finds the leaves of removed records, oldest first, and opens
// their pages.
func (s *sealer) findLeaves(ctx context.Context, deleted []Change) (map[sandtrail.ID][]int64, error) {
	leaves := map[sandtrail.ID][]int64{}
	times := make([]time.Time, len(deleted))
	for i, c := range deleted {
		leaves[c.ID], times[i] = nil, c.CreatedAt
	}
	pages, err := pagesOf(ctx, s.book, times)
	if err != nil {
		return nil, err
	}
	for _, p := range pages {
		page, err := s.page(ctx, p.N)
		if err != nil {
			return nil, err
		}
		for at, entry := range page.entries {
			if found, wanted := leaves[entry.ID]; wanted && entry.holdsRecord() {
				leaves[entry.ID] = append(found, p.N*BlockLeaves+int64(at))
			}
		}
	}
	return leaves, nil
}

func (s *sealer) write(ctx context.Context) error {
	root, changed, err := Append(s.size, s.hashes, func(id TileID) ([]byte, error) { return s.book.Tile(ctx, id) })
	if err != nil {
		return err
	}
	s.written.Tiles = changed
	for _, n := range slices.Sorted(maps.Keys(s.pages)) {
		if p := s.pages[n]; p.changed {
			p.Entries = p.marshal()
			s.written.Pages = append(s.written.Pages, p.Page)
		}
	}
	s.sealed.Size, s.sealed.Root = s.size+int64(len(s.hashes)), root
	return s.book.Put(ctx, s.written)
}
