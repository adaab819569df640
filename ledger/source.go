package ledger

import (
	"context"
	"iter"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Source is a store, or an export of one, as Verify reads it: one snapshot of
// the executions and of the ledger. One goroutine uses it, one sequence at a time;
// but others call Records at the same time.
type Source interface {
	RecordReader
	RenameReader
	// Blocks yields the blocks in order.
	Blocks(ctx context.Context) iter.Seq2[Block, error]
	// Removals yields removals in the order of their ledger entries.
	Removals(ctx context.Context, part Range) iter.Seq2[StoredRemoval, error]
	// Size returns the number of ledger entries.
	Size(ctx context.Context) (int64, error)
	// Tile returns a tile of the tree, empty when there is none.
	Tile(ctx context.Context, id TileID) ([]byte, error)
	// Checkpoints yields the signed checkpoints that the store keeps.
	Checkpoints(ctx context.Context) iter.Seq2[[]byte, error]
	// Closed lists the logs that were here before this one, the last first.
	Closed(ctx context.Context) ([]ClosedLog, error)
	// Pending tells what was written but is not in the ledger yet.
	Pending(ctx context.Context) (map[sandtrail.ID]Pending, error)
	// IDs yields the id of every stored record, in any order.
	IDs(ctx context.Context) iter.Seq2[sandtrail.ID, error]
}

// ClosedLog is a log that ended when its records were dropped as a whole. The
// checkpoints that were signed for it contradict the log that began then.
type ClosedLog struct {
	At     time.Time  `json:"at"`     // when it was closed and the next one began
	How    string     `json:"how"`    // what happened, and which statement closed it
	Leaves int64      `json:"leaves"` // 0: its ledger is not kept
	Tiles  TileReader `json:"-"`      // of its ledger
}

// Range is a part of a list in the order of ledger entries; the zero value is
// all of it.
type Range struct {
	From  int64 // the index of the first entry
	Limit int   // how many at most; 0: all
}

// StoredRemoval is the data of a removal's ledger entry and the hash that the tree has
// for it.
type StoredRemoval struct {
	Leaf int64  `json:"leaf"` // its index
	Data []byte `json:"data"` // base64
	Hash Hash   `json:"-"`
}

// Pending counts what has happened to an id since the ledger last took changes
// in.
type Pending struct{ Came, Went int }

// PendingOf counts changes.
func PendingOf(changes []Change) map[sandtrail.ID]Pending {
	pending := map[sandtrail.ID]Pending{}
	for _, c := range changes {
		p := pending[c.ID]
		if c.Removed {
			p.Went++
		} else {
			p.Came++
		}
		pending[c.ID] = p
	}
	return pending
}
