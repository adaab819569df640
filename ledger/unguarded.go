package ledger

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Unguarded is the reason of removals that went past the triggers of a store, as
// its repair enters them.
const Unguarded = "unguarded"

// Guarded is a Source that knows whether its triggers are in place.
type Guarded interface {
	// Unguarded names the triggers and indexes that are missing; "": none.
	Unguarded(ctx context.Context) (string, error)
}

// checkGuards finds the cause of many findings first.
func (w *verifier) checkGuards(ctx context.Context) error {
	src, ok := w.src.(Guarded)
	if !ok {
		return nil
	}
	missing, err := src.Unguarded(ctx)
	if err == nil && missing != "" {
		w.find(Finding{Kind: Disarmed, Detail: "the database lacks " + missing +
			": executions written or deleted since then look inserted or missing; a repair enters them into the log"})
	}
	return err
}

// Gone is an execution that the log has and the store has not, and no removal
// accounts for.
type Gone struct {
	ID        sandtrail.ID
	CreatedAt time.Time // about: some time of the ledger's block that has it
}

// Unaccounted compares a store with its log: the executions that the log does not
// know, and those that are gone without a removal. Altered executions are in
// neither list.
func Unaccounted(ctx context.Context, snap Snapshot) (unknown []sandtrail.ID, gone []Gone, err error) {
	var leaves []int64
	_, err = Verify(ctx, snap, Verification{Report: func(f Finding) {
		id, err := sandtrail.ParseID(f.ID)
		switch {
		case err != nil:
		case f.Kind == Inserted:
			unknown = append(unknown, id)
		case f.Kind == Missing && f.Leaf != nil:
			gone, leaves = append(gone, Gone{ID: id}), append(leaves, *f.Leaf)
		}
	}})
	for i, leaf := range leaves {
		if err != nil {
			break
		}
		var page Page
		page, err = snap.Page(ctx, leaf/BlockLeaves)
		gone[i].CreatedAt = page.Since
	}
	return unknown, gone, err
}
