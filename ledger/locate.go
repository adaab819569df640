package ledger

import (
	"context"
	"fmt"
	"time"

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

// Locate finds the leaf of a stored record. It is sandtrail.ErrNotFound when
// the record is not in the log (yet).
func Locate(ctx context.Context, index Index, id sandtrail.ID, createdAt time.Time) (Entry, int64, error) {
	pages, err := index.Pages(ctx, createdAt, createdAt)
	if err != nil {
		return Entry{}, 0, fmt.Errorf("locate %s: %w", id, err)
	}
	for _, p := range pages {
		page, err := index.Page(ctx, p.N)
		if err != nil {
			return Entry{}, 0, fmt.Errorf("locate %s: %w", id, err)
		}
		entries, err := UnmarshalEntries(page.Entries)
		if err != nil {
			return Entry{}, 0, fmt.Errorf("locate %s: %w", id, err)
		}
		for i, entry := range entries {
			if entry.ID == id && entry.holdsRecord() {
				return entry, p.N*BlockLeaves + int64(i), nil
			}
		}
	}
	return Entry{}, 0, errUnsealed(id)
}

func errUnsealed(id sandtrail.ID) error {
	return sandtrail.Errorf(sandtrail.CodeNotFound, "execution %s is not in the ledger yet; ask again in some seconds", id)
}
