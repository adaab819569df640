package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
)

// Index finds pages; every Book is one.
type Index interface {
	// Pages lists the pages whose times overlap from ≤ createdAt ≤ to, in
	// their order.
	Pages(ctx context.Context, from, to time.Time) ([]Page, error)
	// Page returns the page of a block; its zero value when there is none.
	Page(ctx context.Context, n int64) (Page, error)
}

// pagesOf lists the pages that can hold leaves of records of these times,
// which it sorts.
func pagesOf(ctx context.Context, index Index, times []time.Time) ([]Page, error) {
	if len(times) == 0 {
		return nil, nil
	}
	slices.SortFunc(times, time.Time.Compare)
	pages, err := index.Pages(ctx, times[0], times[len(times)-1])
	return slices.DeleteFunc(pages, func(p Page) bool {
		i, _ := slices.BinarySearchFunc(times, p.Since, time.Time.Compare)
		return i == len(times) || times[i].After(p.Until)
	}), err
}

// located is where a record is in the log.
type located struct {
	entry Entry
	leaf  int64
}

// locate finds the leaves of stored records, those that are in the log.
func locate(ctx context.Context, index Index, records []sandtrail.Execution) (map[sandtrail.ID]located, error) {
	found, wanted := map[sandtrail.ID]located{}, map[sandtrail.ID]bool{}
	times := make([]time.Time, len(records))
	for i := range records {
		times[i], wanted[records[i].ID] = records[i].CreatedAt, true
	}
	pages, err := pagesOf(ctx, index, times)
	if err != nil {
		return nil, err
	}
	for _, p := range pages {
		stored, err := index.Page(ctx, p.N)
		if err != nil {
			return nil, err
		}
		page, err := parsePage(stored.Entries)
		if err != nil {
			return nil, err
		}
		for i, entry := range page.entries {
			if wanted[entry.ID] && entry.holdsRecord() {
				found[entry.ID] = located{entry, p.N*BlockLeaves + int64(i)}
			}
		}
	}
	return found, nil
}

func errUnsealed(id sandtrail.ID) error {
	return sandtrail.Errorf(sandtrail.CodeNotFound, "execution %s is not in the ledger yet; ask again in some seconds", id)
}

// LeafRefs tells what the log has of each execution; nil of those that are
// unsealed.
func (s Service) LeafRefs(ctx context.Context, records []sandtrail.Execution) ([]*LeafRef, error) {
	refs := make([]*LeafRef, len(records))
	err := s.Log.Inspect(ctx, 0, func(snap Snapshot) error {
		found, err := locate(ctx, snap, records)
		if err != nil {
			return err
		}
		all, err := readRenames(ctx, snap, func(StoredRename) {}) // verify reports them
		if err != nil {
			return err
		}
		tiles := map[int64][]byte{}
		for i, e := range records {
			at, sealed := found[e.ID]
			if !sealed {
				continue
			}
			n := at.leaf / BlockLeaves
			if tiles[n] == nil {
				if tiles[n], err = snap.Tile(ctx, TileID{0, n}); err != nil {
					return err
				}
			}
			offset := int(at.leaf%BlockLeaves) * tlog.HashSize
			if len(tiles[n]) < offset+tlog.HashSize {
				return fmt.Errorf("%w: the tile of entry %d is cut", ErrTorn, at.leaf)
			}
			refs[i] = &LeafRef{Leaf: at.leaf, Hash: tiles[n][offset : offset+tlog.HashSize], Salt: at.entry.Salt[:]}
			if len(all.all) > 0 {
				refs[i].SealedAs = all.ownersOf(leaf{at.leaf, at.entry, Hash(refs[i].Hash)}, e)
			}
		}
		return nil
	})
	return refs, err
}
