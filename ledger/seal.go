package ledger

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Book is where a store keeps its ledger, as one transaction sees it.
type Book interface {
	// Size returns the number of leaves.
	Size(ctx context.Context) (int64, error)
	// Tile returns a tile of the tree, empty when there is none.
	Tile(ctx context.Context, id TileID) ([]byte, error)
	// PutTile stores a tile, replacing a narrower one.
	PutTile(ctx context.Context, id TileID, hashes []byte) error

	Index
	// PutPage stores a page, replacing the one there was.
	PutPage(ctx context.Context, p Page) error

	// PutRemoval stores the data of a removal's leaf.
	PutRemoval(ctx context.Context, leaf int64, data []byte) error
	// Records returns those of the records with these ids that are stored.
	Records(ctx context.Context, ids []sandtrail.ID) ([]sandtrail.Execution, error)
}

// Page is what is kept of a block beside its tile of hashes.
type Page struct {
	N int64
	// Since and Until are the least and the greatest createdAt of the records
	// in the block, by which a record's leaf is found. Zero: no records.
	Since, Until time.Time
	Entries      []byte // MarshalEntries; Pages may leave it out
}

// Change is one record that came or went, from the store's journal.
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

// SealChanges enters changes, in any order, into the log: a leaf for every
// record that came and is still stored, then a leaf for every reason of
// removals. A record that went before it was sealed is only counted. random
// makes the salts.
//
// All or nothing is the transaction's matter; when it commits, the changes
// must be gone from the journal.
func SealChanges(ctx context.Context, book Book, changes []Change, now time.Time, random io.Reader) (Sealed, error) {
	s := &sealer{book: book, random: random, pages: map[int64]*openPage{}}
	var err error
	if s.size, err = book.Size(ctx); err != nil {
		return Sealed{}, fmt.Errorf("seal: %w", err)
	}
	came, went := split(changes)
	steps := []func() error{
		func() error { return s.forgetRemoved(ctx, went) }, // first: an id may have come back
		func() error { return s.addRecords(ctx, came) },
		func() error { return s.addRemovals(ctx, now) },
		func() error { return s.writeTree(ctx) },
		func() error { return s.writePages(ctx) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return Sealed{}, fmt.Errorf("seal: %w", err)
		}
	}
	return s.sealed, nil
}

// split parts the changes into the ids that came, each once, and the removals.
func split(changes []Change) (came []sandtrail.ID, went []Change) {
	seen := map[sandtrail.ID]bool{}
	for _, c := range changes {
		switch {
		case c.Removed:
			went = append(went, c)
		case !seen[c.ID]:
			seen[c.ID] = true
			came = append(came, c.ID)
		}
	}
	return came, went
}

type sealer struct {
	book   Book
	random io.Reader
	size   int64 // before
	hashes []Hash
	pages  map[int64]*openPage
	gone   map[cause]*tally
	sealed Sealed
}

type openPage struct {
	Page
	entries []Entry
	changed bool
}

// append adds an entry; at is the createdAt of a record, else zero.
func (p *openPage) append(entry Entry, at time.Time) {
	p.entries, p.changed = append(p.entries, entry), true
	if at.IsZero() {
		return
	}
	if p.Since.IsZero() || at.Before(p.Since) {
		p.Since = at
	}
	if at.After(p.Until) {
		p.Until = at
	}
}

// forget drops what belongs to a removed record.
func (p *openPage) forget(i int64) { p.entries[i].forget(); p.changed = true }

func (s *sealer) addRecords(ctx context.Context, ids []sandtrail.ID) error {
	for batch := range slices.Chunk(ids, BlockLeaves) {
		records, err := s.book.Records(ctx, batch)
		if err != nil {
			return err
		}
		stored := make(map[sandtrail.ID]*sandtrail.Execution, len(records))
		for i := range records {
			stored[records[i].ID] = &records[i]
		}
		for _, id := range batch {
			record := stored[id]
			if record == nil {
				continue // it has gone; its removal is yet to come
			}
			var salt Salt
			if _, err := io.ReadFull(s.random, salt[:]); err != nil {
				return fmt.Errorf("random salt: %w", err)
			}
			entry, hash := Seal(*record, salt)
			if err := s.addLeaf(ctx, entry, hash, record.CreatedAt); err != nil {
				return err
			}
			s.sealed.Records++
		}
	}
	return nil
}

// addLeaf appends a leaf; at is the createdAt of a record, else zero.
func (s *sealer) addLeaf(ctx context.Context, entry Entry, hash Hash, at time.Time) error {
	page, err := s.page(ctx, (s.size+int64(len(s.hashes)))/BlockLeaves)
	if err != nil {
		return err
	}
	page.append(entry, at)
	s.hashes = append(s.hashes, hash)
	return nil
}

func (s *sealer) page(ctx context.Context, n int64) (*openPage, error) {
	if page := s.pages[n]; page != nil {
		return page, nil
	}
	stored, err := s.book.Page(ctx, n)
	if err != nil {
		return nil, err
	}
	entries, err := UnmarshalEntries(stored.Entries)
	if err != nil {
		return nil, err
	}
	stored.N = n
	s.pages[n] = &openPage{Page: stored, entries: entries}
	return s.pages[n], nil
}

// cause is what removals are gathered by.
type cause struct{ reason, by string }

type tally struct {
	leaves   []int64
	unsealed int64
}

// forgetRemoved drops the salts of removed records and tallies the removals.
func (s *sealer) forgetRemoved(ctx context.Context, went []Change) error {
	leaves, err := s.findLeaves(ctx, went)
	if err != nil {
		return err
	}
	s.gone = map[cause]*tally{}
	for _, c := range went {
		why := cause{c.Reason, c.By}
		if s.gone[why] == nil {
			s.gone[why] = &tally{}
		}
		if len(leaves[c.ID]) == 0 {
			s.gone[why].unsealed++
			continue
		}
		leaf := leaves[c.ID][0] // an id that came back has more: the oldest went first
		leaves[c.ID] = leaves[c.ID][1:]
		s.pages[leaf/BlockLeaves].forget(leaf % BlockLeaves)
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
	entry, hash := r.Seal()
	if err := s.addLeaf(ctx, entry, hash, time.Time{}); err != nil {
		return err
	}
	s.sealed.Removals++
	return s.book.PutRemoval(ctx, leaf, r.Marshal())
}

// findLeaves finds the leaves of removed records, oldest first, and opens
// their pages.
func (s *sealer) findLeaves(ctx context.Context, went []Change) (map[sandtrail.ID][]int64, error) {
	leaves := map[sandtrail.ID][]int64{}
	times := make([]time.Time, len(went))
	for i, c := range went {
		leaves[c.ID], times[i] = nil, c.CreatedAt
	}
	if len(times) == 0 {
		return leaves, nil
	}
	slices.SortFunc(times, time.Time.Compare)
	pages, err := s.book.Pages(ctx, times[0], times[len(times)-1])
	if err != nil {
		return nil, err
	}
	for _, p := range pages {
		i, _ := slices.BinarySearchFunc(times, p.Since, time.Time.Compare)
		if i == len(times) || times[i].After(p.Until) {
			continue
		}
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

func (s *sealer) writeTree(ctx context.Context) error {
	root, changed, err := Append(s.size, s.hashes, func(id TileID) ([]byte, error) { return s.book.Tile(ctx, id) })
	if err != nil {
		return err
	}
	for id, hashes := range changed {
		if err := s.book.PutTile(ctx, id, hashes); err != nil {
			return err
		}
	}
	s.sealed.Size, s.sealed.Root = s.size+int64(len(s.hashes)), root
	return nil
}

func (s *sealer) writePages(ctx context.Context) error {
	for _, page := range s.pages {
		if !page.changed {
			continue
		}
		page.Entries = MarshalEntries(page.entries)
		if err := s.book.PutPage(ctx, page.Page); err != nil {
			return err
		}
	}
	return nil
}
