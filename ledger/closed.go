package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Closed lists the logs that were here before this one, the last first. Their
// tiles are read with ClosedTile.
func (s Service) Closed(ctx context.Context) (closed []ClosedLog, err error) {
	err = s.Log.Inspect(ctx, 0, func(snap Snapshot) (err error) {
		closed, err = snap.Closed(ctx)
		return err
	})
	for i := range closed {
		closed[i].Tiles = nil // of that snapshot
	}
	return closed, err
}

// ClosedTile returns a tile of the log that was closed at a time, as Tile does of
// this one, or sandtrail.CodeNotFound.
func (s Service) ClosedTile(ctx context.Context, at time.Time, path string) (hashes []byte, err error) {
	err = s.Log.Inspect(ctx, 0, func(snap Snapshot) error {
		all, err := snap.Closed(ctx)
		if err != nil {
			return err
		}
		for _, closed := range all {
			if closed.At.Equal(at) && closed.Leaves > 0 {
				hashes, err = tileAt(path, closed.Tiles)
				return err
			}
		}
		return sandtrail.Errorf(sandtrail.CodeNotFound, "no ledger is kept of a log that was closed at %s", at.Format(time.RFC3339))
	})
	return hashes, err
}

// Width returns how many hashes a tile has in the log.
func (c ClosedLog) Width(id TileID) int {
	return int(min(max(c.Leaves>>(tileHeight*id.Level)-id.N*BlockLeaves, 0), BlockLeaves))
}

// readClosed learns which logs were here before this one.
func (w *verifier) readClosed(ctx context.Context) (err error) {
	w.sum.Closed, err = w.src.Closed(ctx)
	return err
}

// trace looks for the closed log that a checkpoint was signed for.
func (w *verifier) trace(c Checkpoint) {
	for _, closed := range w.sum.Closed {
		if c.Size == 0 || c.Size > closed.Leaves {
			continue
		}
		if root, err := Root(c.Size, closed.Tiles); err == nil && root == c.Root {
			w.former[c] = closed
			return
		}
	}
}

// explained is a finding about a checkpoint that this log contradicts, in the
// light of the logs that were closed before it.
func (w *verifier) explained(c Checkpoint, f Finding) Finding {
	if closed, ok := w.former[c]; ok {
		return Finding{Kind: Reset, Detail: fmt.Sprintf(
			"a signed checkpoint of %d entries is of the log that was closed at %s: %s. Its ledger agrees with the checkpoint; its executions are not in this log, which began then",
			c.Size, closed.At.Format(time.RFC3339), closed.How)}
	}
	for _, closed := range w.sum.Closed {
		f.Detail += fmt.Sprintf("; the log that was closed at %s does not explain it (%s)", closed.At.Format(time.RFC3339), closed.How)
	}
	return f
}
