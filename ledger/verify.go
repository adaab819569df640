package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// Finding is one thing that is not as the ledger says.
type Finding struct {
	Kind   FindingKind `json:"kind"`
	ID     string      `json:"id,omitempty"`     // of the execution
	Leaf   *int64      `json:"leaf,omitempty"`   // index in the log
	Fields []string    `json:"fields,omitempty"` // altered, where that can be told
	Detail string      `json:"detail"`           // for a person
}

// FindingKind says what is wrong.
type FindingKind string

// The kinds of findings.
const (
	Missing      FindingKind = "missing"       // in the log, not removed, and not there
	Altered      FindingKind = "altered"       // not what was sealed
	Inserted     FindingKind = "inserted"      // there, but not in the log
	Truncated    FindingKind = "truncated"     // the log is shorter than a checkpoint says
	Forked       FindingKind = "forked"        // the log is not the one a checkpoint was signed for
	Reset        FindingKind = "reset"         // a checkpoint is of a log that was closed before this one
	BadSignature FindingKind = "bad-signature" // no key we know signed the checkpoint
	Disarmed     FindingKind = "disarmed"      // triggers or indexes of the store are missing
)

// Summary counts what a verification saw. Records is the sum of the counts of
// executions below it: everything that was ever sealed, and what was not.
type Summary struct {
	Records  int64 `json:"records"`
	Intact   int64 `json:"intact"`
	Earlier  int64 `json:"earlier"` // verified up to an earlier checkpoint, and not read again
	Removed  int64 `json:"removed"` // lawfully: a removal accounts for them
	Missing  int64 `json:"missing"`
	Altered  int64 `json:"altered"`
	Inserted int64 `json:"inserted"`
	Unsealed int64 `json:"unsealed"` // written so recently that the log has not taken them in
	// Meanwhile counts entries that the log took in while VerifyPublished read:
	// they are in the tree, and what they are of was not compared.
	Meanwhile int64 `json:"meanwhile,omitempty"`

	Leaves      int64            `json:"leaves"`             // of the log
	Root        string           `json:"root"`               // of the log, base64
	Checkpoints int              `json:"checkpoints"`        // that the log agrees with
	Unchecked   int              `json:"unchecked"`          // stored checkpoints, for want of a public key
	LostKeys    []string         `json:"lostKeys,omitempty"` // named by a checkpoint signed after their loss, as origin+hash
	Reasons     map[string]int64 `json:"reasons"`            // removed records by reason
	Renames     int64            `json:"renames"`            // of users and strategies, whose executions are verified by their former ids
	FindingsN   int64            `json:"findingCount"`
	Closed      []ClosedLog      `json:"closed,omitempty"` // logs that were here before this one, the last first
}

// Outcome is what is remembered of the verification.
func (s Summary) Outcome(at time.Time) database.LedgerVerification {
	return database.LedgerVerification{At: at, Records: s.Records, Findings: s.FindingsN}
}

// Verification says what Verify checks a source against.
type Verification struct {
	Trusted Verifiers // the log's public keys; none: stored checkpoints are not checked
	// Outside are signed checkpoints that were kept outside the store. Without
	// one, a log that was cut or rewritten as a whole looks whole.
	Outside [][]byte
	// Since is a signed checkpoint up to which the store was verified before.
	// The executions before it are counted, and not read again. Nil, or a checkpoint
	// that the log does not continue: all are read.
	Since []byte
	// Report receives every finding as it is made, from one goroutine at a
	// time. Nil: they are only counted.
	Report func(Finding)
	// Progress, when set, is told how many leaves are done.
	Progress func(leaves int64)
}

// Verify compares every stored execution with the ledger. It returns an error
// only when the source cannot be read; what is wrong with its content is a
// finding. Memory is bounded: two bits per ledger entry, and some per removal.
func Verify(ctx context.Context, src Source, v Verification) (Summary, error) {
	w := &verifier{Verification: v, src: src, sum: Summary{Reasons: map[string]int64{}}}
	w.live, w.stored = newMultisets()
	steps := []func(context.Context) error{w.checkGuards, w.readPending, w.readRemovals, w.readRenames, w.readClosed, w.readCheckpoints, w.walk, w.searchInserted}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return Summary{}, fmt.Errorf("verify: %w", err)
		}
	}
	s := &w.sum
	s.Records = s.Intact + s.Earlier + s.Removed + s.Missing + s.Altered + s.Inserted + s.Unsealed
	return *s, nil
}

type verifier struct {
	Verification
	src Source
	sum Summary

	pending     map[sandtrail.ID]Pending
	removals    map[int64]bool // by leaf, until met in the log; true: authentic. Of renames, too
	renames     renames
	removed     bitmap
	checkpoints map[int64][]Checkpoint   // by size
	former      map[Checkpoint]ClosedLog // the logs of checkpoints that are not of this one
	since       int64                    // leaves that were verified before
	live        multiset                 // ids of the leaves that no removal accounts for
	stored      multiset                 // ids of the records
	reported    bitmap                   // leaves with a finding
	done        int64                    // leaves
}

func (w *verifier) find(f Finding) {
	w.sum.FindingsN++
	if w.Report != nil {
		w.Report(f)
	}
}

func (w *verifier) readPending(ctx context.Context) (err error) {
	w.pending, err = w.src.Pending(ctx)
	return err
}

// readRemovals learns which leaves were lawfully removed. A removal counts
// only when it is what the tree has at its place.
func (w *verifier) readRemovals(ctx context.Context) error {
	w.removals = map[int64]bool{}
	for stored, err := range w.src.Removals(ctx, Range{}) {
		if err != nil {
			return err
		}
		removal, err := stored.open()
		if err != nil {
			w.find(Finding{Kind: Altered, Leaf: &stored.Leaf, Detail: err.Error()})
			w.removals[stored.Leaf] = false
			continue
		}
		w.removals[stored.Leaf] = true
		w.sum.Reasons[removal.Reason] += removal.Count()
		for _, span := range removal.Leaves {
			w.removed.set(span.First, min(span.Last, stored.Leaf-1))
		}
	}
	return nil
}

func (w *verifier) readRenames(ctx context.Context) (err error) {
	w.renames, err = readRenames(ctx, w.src, func(s StoredRename) {
		w.find(Finding{Kind: Altered, Leaf: &s.Leaf, Detail: errNotRename.Error()})
		w.removals[s.Leaf] = false
	})
	for _, r := range w.renames.all {
		if w.sum.Renames++; r.leaf != pendingLeaf {
			w.removals[r.leaf] = true
		}
	}
	return err
}

func (w *verifier) readCheckpoints(ctx context.Context) error {
	w.checkpoints, w.former = map[int64][]Checkpoint{}, map[Checkpoint]ClosedLog{}
	for _, signed := range w.Outside {
		w.addCheckpoint(signed, "outside")
	}
	if w.Since != nil {
		since := w.addCheckpoint(w.Since, "earlier")
		if same, err := w.continues(ctx, since); err != nil {
			return err
		} else if same {
			w.since = since.Size
		}
	}
	var unknown [][]byte
	for signed, err := range w.src.Checkpoints(ctx) {
		if err != nil {
			return err
		}
		if len(w.Trusted.keys) == 0 {
			w.sum.Unchecked++
		} else if _, err := w.Trusted.Open(signed); errors.Is(err, ErrSignature) {
			unknown = append(unknown, signed)
		} else {
			w.addCheckpoint(signed, "stored")
		}
	}
	w.sortUnknown(unknown)
	return nil
}

// continues reports whether a checkpoint was signed for this log. One of another
// log spares no record the reading.
func (w *verifier) continues(ctx context.Context, c Checkpoint) (bool, error) {
	size, err := w.src.Size(ctx)
	if err != nil || c.Size > size {
		return false, err
	}
	root, err := Root(c.Size, func(id TileID) ([]byte, error) { return w.src.Tile(ctx, id) })
	return err == nil && root == c.Root, ctx.Err() // the walk reports tiles that are torn
}

// addCheckpoint returns an authentic checkpoint, else that of no leaves.
func (w *verifier) addCheckpoint(signed []byte, where string) Checkpoint {
	c, err := w.Trusted.Open(signed)
	switch {
	case errors.Is(err, ErrSignature):
		w.find(Finding{Kind: BadSignature, Detail: fmt.Sprintf("%s checkpoint: %v", where, err)})
	case err != nil:
		w.find(Finding{Kind: Altered, Detail: fmt.Sprintf("%s checkpoint: %v", where, err)})
	default:
		w.trace(c)
		w.checkpoints[c.Size] = append(w.checkpoints[c.Size], c)
		return c
	}
	return Checkpoint{}
}
