package ledger

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/sandtrail/sandtrail"
)

// idsPerRound bounds how many ids are held in memory at once.
const idsPerRound = 1 << 20

// searchInserted names the records that are stored and not in the log. As
// long as the counts agree there can be none, and the ids need not be read.
func (w *verifier) searchInserted(ctx context.Context) error {
	stored, err := w.src.CountRecords(ctx)
	if err != nil {
		return err
	}
	if w.sum.FindingsN == 0 && stored == w.present+w.sum.Unsealed {
		return nil
	}
	rounds := 1 + w.sum.Leaves/idsPerRound
	for round := range rounds {
		inRound := func(id sandtrail.ID) bool {
			return int64(binary.BigEndian.Uint32(id[12:]))%rounds == round
		}
		if err := w.searchRound(ctx, inRound); err != nil {
			return err
		}
	}
	return nil
}

func (w *verifier) searchRound(ctx context.Context, inRound func(sandtrail.ID) bool) error {
	known := map[sandtrail.ID]bool{}
	for block, err := range w.src.Blocks(ctx) {
		if errors.Is(err, ErrTorn) || block.First() >= w.sum.Leaves {
			break // reported
		}
		if err != nil {
			return err
		}
		for i, entry := range block.Entries {
			if entry.Kind == RecordLeaf && inRound(entry.ID) && !w.removed.has(block.First()+int64(i)) {
				known[entry.ID] = true
			}
		}
	}
	for id, err := range w.src.IDs(ctx) {
		if err != nil {
			return err
		}
		unsealed := w.pending[id].Came > w.pending[id].Went
		if inRound(id) && !known[id] && !unsealed {
			w.sum.Inserted++
			w.find(Finding{Kind: Inserted, ID: id.String(), Detail: "the record is stored, but the log does not know it"})
		}
	}
	return nil
}
