package ledger

import (
	"context"
	"fmt"
	"time"
)

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
