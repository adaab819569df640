package ledger

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/sandtrail/sandtrail"
)

// idsPerRound bounds how many ids are held in memory at once.
const idsPerRound = 1 << 20

// searchInserted names the records that are stored and not in the log, and
// those of the leaves verified before that are not there any more. As long as
// the counts agree there can be none, and the ids need not be read.
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
		known, err := w.liveLeaves(ctx, inRound)
		if err != nil {
			return err
		}
		if err := w.compareIDs(ctx, inRound, known); err != nil {
			return err
		}
	}
	return nil
}

// liveLeaves are the leaves of the log that no removal accounts for.
func (w *verifier) liveLeaves(ctx context.Context, inRound func(sandtrail.ID) bool) (map[sandtrail.ID]int64, error) {
	known := map[sandtrail.ID]int64{}
	for block, err := range w.src.Blocks(ctx) {
		if errors.Is(err, ErrTorn) || block.First() >= w.sum.Leaves {
			break // reported
		}
		if err != nil {
			return nil, err
		}
		for i, entry := range block.Entries {
			leaf := block.First() + int64(i)
			if entry.kind() == RecordLeaf && inRound(entry.ID) && !w.removed.has(leaf) {
				known[entry.ID] = leaf
			}
		}
	}
	return known, nil
}

func (w *verifier) compareIDs(ctx context.Context, inRound func(sandtrail.ID) bool, known map[sandtrail.ID]int64) error {
	for id, err := range w.src.IDs(ctx) {
		if err != nil {
			return err
		}
		if !inRound(id) {
			continue
		}
		_, sealed := known[id]
		unsealed := w.pending[id].Came > w.pending[id].Went
		if !sealed && !unsealed {
			w.sum.Inserted++
			w.find(Finding{Kind: Inserted, ID: id.String(), Detail: "the record is stored, but the log does not know it"})
		}
		delete(known, id)
	}
	for id, leaf := range known {
		if leaf < w.since {
			w.sum.Earlier--
			w.sum.Missing++
			w.find(missing(id, leaf))
		}
	}
	return nil
}

func missing(id sandtrail.ID, leaf int64) Finding {
	return Finding{
		Kind: Missing, ID: id.String(), Leaf: &leaf,
		Detail: "the record is gone and no removal accounts for it",
	}
}
