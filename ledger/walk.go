package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/sandtrail/sandtrail"
)

// walk reads the log from its first leaf to its last: this goroutine reads
// blocks, others read and hash the records, and one takes their verdicts in
// order.
func (w *verifier) walk(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	verdicts := make(chan chan verdict, 2*runtime.GOMAXPROCS(0))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for v := range verdicts {
			if judged := <-v; judged.err != nil {
				stop(judged.err)
			} else {
				w.take(judged)
			}
		}
	}()
	tree, err := w.readLog(ctx, verdicts)
	close(verdicts)
	<-done
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return err
	}
	w.sum.Leaves = tree.size
	w.sum.Root = tree.root().String()
	w.endOfLog(tree.size)
	return nil
}

func (w *verifier) readLog(ctx context.Context, verdicts chan<- chan verdict) (frontier, error) {
	var tree frontier
	j := &job{renames: w.renames}
	w.compareCheckpoints(j, &tree)
	for block, err := range w.src.Blocks(ctx) {
		if err == nil && block.First() != tree.size {
			err = fmt.Errorf("block %d: %w: it follows entry %d", block.N, ErrTorn, tree.size)
		}
		if errors.Is(err, ErrTorn) {
			j.find(Finding{Kind: Truncated, Leaf: &tree.size, Detail: fmt.Sprintf("the log cannot be read from here on: %v", err)})
			break
		}
		if err != nil {
			return tree, err
		}
		if j.leaves+BlockLeaves > MaxRecords {
			w.submit(ctx, verdicts, j)
			j = &job{renames: w.renames}
		}
		j.widen(block)
		for i, entry := range block.Entries {
			w.expect(j, leaf{tree.size, entry, block.Hashes[i]})
			tree.add(block.Hashes[i])
			w.compareCheckpoints(j, &tree)
		}
	}
	w.submit(ctx, verdicts, j)
	return tree, nil
}

// submit blocks while many jobs are under way, so that memory is bounded.
func (w *verifier) submit(ctx context.Context, verdicts chan<- chan verdict, j *job) {
	out := make(chan verdict, 1)
	verdicts <- out
	go func() { out <- j.judge(ctx, w.src) }()
}

// compareCheckpoints compares the tree with the checkpoints of its size.
func (w *verifier) compareCheckpoints(j *job, tree *frontier) {
	for _, c := range w.checkpoints[tree.size] {
		if c.Root == tree.root() {
			j.agree++
			continue
		}
		j.find(w.explained(c, forked(c, tree.root())))
	}
}

// forked is the finding that leaves have another root than a checkpoint says.
func forked(c Checkpoint, root Hash) Finding {
	return Finding{Kind: Forked, Detail: fmt.Sprintf(
		"the first %d entries have root %s, a signed checkpoint says %s: the log was rewritten after it", c.Size, root, c.Root)}
}

// expect decides what should be there for a leaf.
func (w *verifier) expect(j *job, l leaf) {
	_, isRemoval := w.removals[l.index]
	delete(w.removals, l.index)
	switch {
	case isRemoval: // one that is not authentic was reported when it was read
	case l.entry.kind() == RemovalLeaf:
		j.find(Finding{Kind: Missing, Leaf: &l.index, Detail: "a removal or a rename is in the log, but its text is not there"})
	case w.isRemoved(l):
		j.verdict.removed++
	case l.index < w.since:
		w.live.add(l.entry.ID)
		j.verdict.earlier++
	default:
		w.live.add(l.entry.ID)
		j.live = append(j.live, l)
	}
}

// isRemoved reports whether a removal, sealed or pending, accounts for a leaf.
func (w *verifier) isRemoved(l leaf) bool {
	if w.removed.has(l.index) {
		return true
	}
	p, known := w.pending[l.entry.ID]
	if !known || p.Went == 0 {
		return false
	}
	p.Went--
	w.pending[l.entry.ID] = p
	w.removed.set(l.index, l.index)
	return true
}

// endOfLog reports what the log should have held and does not.
func (w *verifier) endOfLog(size int64) {
	for _, p := range w.pending {
		if p.Came > p.Went {
			w.sum.Unsealed++
		}
	}
	for at, checkpoints := range w.checkpoints {
		for _, c := range checkpoints {
			if at > size {
				w.find(w.explained(c, Finding{Kind: Truncated, Detail: fmt.Sprintf(
					"the log ends after %d entries, a signed checkpoint counts %d", size, c.Size)}))
			}
		}
	}
	for at, authentic := range w.removals {
		if authentic {
			w.find(Finding{Kind: Inserted, Leaf: &at, Detail: "a removal or a rename that is not in the log"})
		}
	}
}

func (w *verifier) take(v verdict) {
	s := &w.sum
	s.Intact += v.intact
	s.Earlier += v.earlier
	s.Removed += v.removed
	s.Missing += v.missing
	s.Altered += v.altered
	s.Checkpoints += v.agree
	for _, f := range v.findings {
		if f.Leaf != nil {
			w.reported.set(*f.Leaf, *f.Leaf)
		}
		w.find(f)
	}
	if w.done += v.leaves; w.Progress != nil {
		w.Progress(w.done)
	}
}

// leaf is one leaf of the log as the ledger keeps it.
type leaf struct {
	index int64
	entry Entry
	hash  Hash
}

// verdict is what was found in some blocks.
type verdict struct {
	findings                                   []Finding
	leaves                                     int64
	intact, earlier, removed, missing, altered int64
	agree                                      int // checkpoints
	err                                        error
}

// job compares the live leaves of some blocks with their records.
type job struct {
	verdict
	renames      renames
	live         []leaf
	since, until time.Time
}

// widen takes a block in.
func (j *job) widen(b Block) {
	j.leaves += int64(len(b.Entries))
	if b.Since.IsZero() {
		return // no records
	}
	empty := j.since.IsZero()
	if empty || b.Since.Before(j.since) {
		j.since = b.Since
	}
	if empty || b.Until.After(j.until) {
		j.until = b.Until
	}
}

func (j *job) find(f Finding) { j.findings = append(j.findings, f) }

func (j *job) ids() []sandtrail.ID {
	ids := make([]sandtrail.ID, len(j.live))
	for i, l := range j.live {
		ids[i] = l.entry.ID
	}
	return ids
}

func (j *job) judge(ctx context.Context, src RecordReader) verdict {
	if len(j.live) == 0 {
		return j.verdict
	}
	stored, err := src.Records(ctx, j.ids(), j.since, j.until)
	if err != nil {
		j.err = err
		return j.verdict
	}
	records := make(map[sandtrail.ID]*sandtrail.Execution, len(stored))
	for i := range stored {
		records[stored[i].ID] = &stored[i]
	}
	var buf []byte
	for _, l := range j.live {
		buf = j.compare(l, records[l.entry.ID], buf)
	}
	return j.verdict
}

func (j *job) compare(l leaf, record *sandtrail.Execution, buf []byte) []byte {
	if record == nil {
		j.missing++
		j.find(missing(l.entry.ID, l.index))
		return buf
	}
	same, fields, buf := j.renames.sealedAs(l, record, buf)
	if same {
		j.intact++
		return buf
	}
	j.altered++
	j.find(Finding{
		Kind: Altered, ID: l.entry.ID.String(), Leaf: &l.index, Fields: fields,
		Detail: "the execution is not what was sealed",
	})
	return buf
}
