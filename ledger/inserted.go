package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"

	"github.com/sandtrail/sandtrail"
)

// idsPerRound bounds how many ids are held in memory at once.
const idsPerRound = 1 << 20

// multiset tells collections of ids apart, whatever their order. Its hashes are
// seeded anew for each verification, so that an attacker cannot choose ids whose sums
// agree.
type multiset struct {
	seeds [2]maphash.Seed
	sums  [2]uint64
	n     int64
}

func newMultisets() (live, stored multiset) {
	live.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	stored.seeds = live.seeds
	return live, stored
}

func (m *multiset) add(id sandtrail.ID) {
	m.n++
	for i, seed := range m.seeds {
		m.sums[i] += maphash.Bytes(seed, id[:])
	}
}

// searchInserted names the records that are stored and not in the log, and
// those of the leaves verified before that are not there any more. When the
// live leaves and what waits to be sealed are the ids that are stored, each as
// often, there are none. Numbers alone do not tell: of a record with two live
// leaves one makes room for another record.
func (w *verifier) searchInserted(ctx context.Context) error {
	for id, err := range w.src.IDs(ctx) {
		if err != nil {
			return err
		}
		w.stored.add(id)
	}
	for id, p := range w.pending {
		if p.Came > p.Went {
			w.live.add(id)
		}
	}
	if w.sum.FindingsN == 0 && w.stored == w.live {
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
			if entry.kind() != RecordLeaf || !inRound(entry.ID) || w.removed.has(leaf) {
				continue
			}
			if older, twice := known[entry.ID]; twice {
				w.replaced(entry.ID, older)
			}
			known[entry.ID] = leaf
		}
	}
	return known, nil
}

// replaced reports a leaf whose record is that of a newer leaf now, unless the
// leaf was reported already.
func (w *verifier) replaced(id sandtrail.ID, leaf int64) {
	switch {
	case w.reported.has(leaf):
		return
	case leaf < w.since:
		w.sum.Earlier--
	default:
		w.sum.Intact--
	}
	w.sum.Missing++
	w.find(Finding{
		Kind: Missing, ID: id.String(), Leaf: &leaf,
		Detail: "the execution has gone and another has come under its id, and no removal accounts for that",
	})
}

func (w *verifier) compareIDs(ctx context.Context, inRound func(sandtrail.ID) bool, known map[sandtrail.ID]int64) error {
	for id, err := range w.src.IDs(ctx) {
		if err != nil {
			return err
		}
		if !inRound(id) {
			continue
		}
		leaf, sealed := known[id]
		unsealed := w.pending[id].Came > w.pending[id].Went
		switch {
		case sealed && leaf == met:
			w.sum.Inserted++
			w.find(Finding{Kind: Inserted, ID: id.String(), Detail: "the execution is stored more than once, the log knows one"})
		case sealed:
			known[id] = met
		case !unsealed:
			w.sum.Inserted++
			w.find(Finding{Kind: Inserted, ID: id.String(), Detail: "the execution is stored, but the log does not know it"})
		}
	}
	for id, leaf := range known {
		if leaf == met {
			continue
		}
		if leaf < w.since {
			w.sum.Earlier--
			w.sum.Missing++
			w.find(missing(id, leaf))
		}
	}
	return nil
}

// met is in place of the leaf of a record that is stored.
const met = -1

func missing(id sandtrail.ID, leaf int64) Finding {
	return Finding{
		Kind: Missing, ID: id.String(), Leaf: &leaf,
		Detail: "the execution is gone and no removal accounts for it",
	}
}
