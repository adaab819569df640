package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/sandtrail/sandtrail"
)

// walk reads the log from its first leaf to its last: this goroutine reads,
// others hash, and one takes their verdicts in order.
func (w *verifier) walk(ctx context.Context) error {
	verdicts := make(chan chan verdict, 2*runtime.GOMAXPROCS(0))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for v := range verdicts {
			w.take(<-v)
		}
	}()
	tree, err := w.readLog(ctx, verdicts)
	close(verdicts)
	<-done
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
	start := &job{}
	w.compareCheckpoints(start, &tree)
	submit(verdicts, start)
	for block, err := range w.src.Blocks(ctx) {
		if err == nil && block.First() != tree.size {
			err = fmt.Errorf("block %d: %w: it follows leaf %d", block.N, ErrTorn, tree.size)
		}
		if errors.Is(err, ErrTorn) {
			torn := &job{}
			torn.find(Finding{Kind: Truncated, Leaf: &tree.size, Detail: fmt.Sprintf("the log cannot be read from here on: %v", err)})
			submit(verdicts, torn)
			break
		}
		if err != nil {
			return tree, err
		}
		j := &job{verdict: verdict{leaves: int64(len(block.Entries))}}
		for i, entry := range block.Entries {
			w.expect(j, leaf{tree.size, entry, block.Hashes[i]})
			tree.add(block.Hashes[i])
			w.compareCheckpoints(j, &tree)
		}
		if ids := j.ids(); len(ids) > 0 {
			if j.records, err = w.src.Records(ctx, ids); err != nil {
				return tree, err
			}
		}
		submit(verdicts, j)
	}
	return tree, nil
}

func submit(verdicts chan<- chan verdict, j *job) {
	out := make(chan verdict, 1)
	verdicts <- out
	go func() { out <- j.judge() }()
}

// compareCheckpoints compares the tree with the checkpoints of its size.
func (w *verifier) compareCheckpoints(j *job, tree *frontier) {
	for _, c := range w.checkpoints[tree.size] {
		if c.Root == tree.root() {
			j.agree++
			continue
		}
		j.find(Finding{Kind: Forked, Detail: fmt.Sprintf(
			"the first %d leaves have root %s, a signed checkpoint says %s: the log was rewritten after it", c.Size, tree.root(), c.Root)})
	}
}

// expect decides what should be there for a leaf.
func (w *verifier) expect(j *job, l leaf) {
	_, isRemoval := w.removals[l.index]
	delete(w.removals, l.index)
	switch {
	case isRemoval: // one that is not authentic was reported when it was read
	case l.entry.Kind == RemovalLeaf:
		j.find(Finding{Kind: Missing, Leaf: &l.index, Detail: "a removal is in the log, but its text is not there"})
	case w.isRemoved(l):
		j.verdict.removed++
	default:
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
				w.find(Finding{Kind: Truncated, Detail: fmt.Sprintf(
					"the log ends after %d leaves, a signed checkpoint counts %d", size, c.Size)})
			}
		}
	}
	for at, authentic := range w.removals {
		if authentic {
			w.find(Finding{Kind: Inserted, Leaf: &at, Detail: "a removal that is not in the log"})
		}
	}
}

func (w *verifier) take(v verdict) {
	s := &w.sum
	s.Intact += v.intact
	s.Removed += v.removed
	s.Missing += v.missing
	s.Altered += v.altered
	s.Checkpoints += v.agree
	w.present += v.intact + v.altered
	for _, f := range v.findings {
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

// verdict is what was found in one block.
type verdict struct {
	findings                          []Finding
	leaves                            int64
	intact, removed, missing, altered int64
	agree                             int // checkpoints
}

// job compares the live leaves of one block with their records.
type job struct {
	verdict
	live    []leaf
	records []sandtrail.Execution
}

func (j *job) find(f Finding) { j.findings = append(j.findings, f) }

func (j *job) ids() []sandtrail.ID {
	ids := make([]sandtrail.ID, len(j.live))
	for i, l := range j.live {
		ids[i] = l.entry.ID
	}
	return ids
}

func (j *job) judge() verdict {
	records := make(map[sandtrail.ID]*sandtrail.Execution, len(j.records))
	for i := range j.records {
		records[j.records[i].ID] = &j.records[i]
	}
	var buf []byte
	for _, l := range j.live {
		record := records[l.entry.ID]
		if record == nil {
			j.missing++
			j.find(Finding{
				Kind: Missing, ID: l.entry.ID.String(), Leaf: &l.index,
				Detail: "the record is gone and no removal accounts for it",
			})
			continue
		}
		same, fields, room := l.entry.compare(record, l.hash, buf)
		buf = room
		if same {
			j.intact++
			continue
		}
		j.altered++
		j.find(Finding{
			Kind: Altered, ID: l.entry.ID.String(), Leaf: &l.index, Fields: fields,
			Detail: "the record is not what was sealed",
		})
	}
	return j.verdict
}
