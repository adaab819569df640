package ledger

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
)

// Published is a log as a server publishes it, with the executions that the server
// shows.
type Published interface {
	// Checkpoint returns a signed checkpoint of the whole log.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Tile returns as many hashes of a tile as width says, or
	// sandtrail.CodeNotFound.
	Tile(ctx context.Context, id TileID, width int) ([]byte, error)
	// Removals and Renames yield all in the order of their ledger entries.
	Removals(ctx context.Context) iter.Seq2[StoredRemoval, error]
	Renames(ctx context.Context) iter.Seq2[StoredRename, error]
	// Closed lists the logs that were there before this one, the last first.
	Closed(ctx context.Context) ([]ClosedLog, error)
	// Lines uses every execution as AppendExported writes it.
	Lines(ctx context.Context, use func(line []byte) error) error
}

// Scratch keeps the hashes of the ledger entries meanwhile, 32 bytes each. An empty file
// is one.
type Scratch interface {
	io.ReaderAt
	io.WriterAt
}

// VerifyPublished compares what a server shows with the log that it has signed, and
// believes nothing of it: ledger entries are hashed again from the executions, the
// root from the ledger entries. Stored checkpoints are not read, and neither is the
// journal: what the server says is unsealed is counted as unsealed. An entry that
// nothing accounts for is asked about again after each call of again, up to
// maxAgain times, since a removal gets into the log seconds after it was done.
func VerifyPublished(ctx context.Context, log Published, v Verification, hashes Scratch, again func(context.Context) error) (Summary, error) {
	p := &publishedVerifier{log: log, hashes: hashes, late: map[int64]lateRecord{}, open: maxOpen}
	p.Verification, p.sum.Reasons = v, map[string]int64{}
	err := p.verify(ctx, again)
	if err != nil {
		return Summary{}, fmt.Errorf("verify what the server shows: %w", err)
	}
	s := &p.sum
	s.Records = s.Intact + s.Earlier + s.Removed + s.Missing + s.Altered + s.Inserted + s.Unsealed
	return *s, nil
}

const maxAgain = 10

type publishedVerifier struct {
	verifier
	log    Published
	hashes Scratch

	earlier Checkpoint // up to which all was verified before
	begun   bool       // a checkpoint was read
	tree    frontier
	first   int64  // leaves before any record was read
	seen    bitmap // leaves below first with a record
	altered bitmap // of them, those with another record
	late    map[int64]lateRecord
	known   renames         // when the records were read
	renamed []renamedRecord // whose rename was not known
	open    int             // how many of late and of renamed are kept
	lines   int64
}

// lateRecord is a record whose leaf came after the first checkpoint.
type lateRecord struct {
	id   sandtrail.ID
	hash Hash
}

// renamedRecord is one that the server shows under other owners than it was sealed
// with.
type renamedRecord struct {
	id        sandtrail.ID
	leaf      int64
	now, then Owners
}

func (r renamedRecord) accountedFor(all renames) bool {
	user, knowsUser := all.at(r.leaf, owner{sandtrail.Users, r.now.UserID})
	strategy, knowsStrategy := all.at(r.leaf, owner{sandtrail.Strategies, r.now.StrategyID})
	return knowsUser && knowsStrategy && r.then == Owners{user, strategy}
}

func (p *publishedVerifier) verify(ctx context.Context, again func(context.Context) error) error {
	p.checkpoints, p.former = map[int64][]Checkpoint{}, map[Checkpoint]ClosedLog{}
	closed, err := p.log.Closed(ctx)
	if err != nil {
		return err
	}
	p.sum.Closed = closed
	for _, signed := range p.Outside {
		p.addCheckpoint(signed, "outside")
	}
	if p.Since != nil {
		p.earlier = p.addCheckpoint(p.Since, "earlier")
	}
	if err := p.grow(ctx); err != nil || p.tree.size == 0 && p.sum.FindingsN > 0 {
		return err
	}
	p.first = p.tree.size
	before, err := p.account(ctx)
	if err != nil {
		return err
	}
	p.known = before.renames
	if err := p.log.Lines(ctx, p.line); err != nil {
		return err
	}
	for i := 0; ; i++ {
		found := p.sum.FindingsN
		if err := p.grow(ctx); err != nil {
			return err
		}
		a, err := p.account(ctx)
		if err != nil {
			return err
		}
		if i == maxAgain || again == nil || a.settled() || p.sum.FindingsN > found {
			p.commit(a)
			return nil
		}
		if err := again(ctx); err != nil {
			return err
		}
	}
}

// grow reads the newest checkpoint, and the leaves up to it.
func (p *publishedVerifier) grow(ctx context.Context) error {
	signed, err := p.log.Checkpoint(ctx)
	if err != nil {
		return err
	}
	c, err := p.Trusted.Open(signed)
	switch {
	case err != nil:
		p.find(Finding{Kind: BadSignature, Detail: fmt.Sprintf("the server's checkpoint: %v", err)})
	case c.Size < p.tree.size:
		p.find(Finding{Kind: Truncated, Detail: fmt.Sprintf("the log had %d entries, and %d some seconds later", p.tree.size, c.Size)})
	case p.begun && c.Size == p.tree.size && c.Root != p.tree.root():
		p.find(forked(c, p.tree.root()))
	case !p.begun || c.Size > p.tree.size:
		p.checkpoints[c.Size] = append(p.checkpoints[c.Size], c)
		if !p.begun {
			p.begun = true
			p.compareTree()
		}
		return p.readLeaves(ctx, c.Size)
	}
	return nil
}

func (p *publishedVerifier) readLeaves(ctx context.Context, size int64) error {
	for p.tree.size < size {
		n, from := p.tree.size/BlockLeaves, p.tree.size
		width := min(BlockLeaves, size-n*BlockLeaves)
		tile, err := p.log.Tile(ctx, TileID{0, n}, int(width))
		if sandtrail.CodeOf(err) == sandtrail.CodeNotFound || err == nil && int64(len(tile)) != width*tlog.HashSize {
			p.find(Finding{Kind: Truncated, Leaf: &from, Detail: "the server has signed more entries than it shows: the log cannot be read from here on"})
			return nil
		}
		if err != nil {
			return err
		}
		tile = tile[(from%BlockLeaves)*tlog.HashSize:]
		if _, err := p.hashes.WriteAt(tile, from*tlog.HashSize); err != nil {
			return err
		}
		for ; len(tile) > 0; tile = tile[tlog.HashSize:] {
			p.tree.add(Hash(tile[:tlog.HashSize]))
			p.compareTree()
		}
	}
	return nil
}

// compareTree compares the tree with the checkpoints of its size.
func (p *publishedVerifier) compareTree() {
	if p.tree.size == p.earlier.Size && p.tree.root() == p.earlier.Root {
		p.since = p.earlier.Size
	}
	if len(p.checkpoints[p.tree.size]) > 0 {
		j := &job{}
		p.compareCheckpoints(j, &p.tree)
		p.take(j.verdict)
	}
}

func (p *publishedVerifier) hash(leaf int64) (h Hash, err error) {
	_, err = p.hashes.ReadAt(h[:], leaf*tlog.HashSize)
	return h, err
}

// line compares a record with its leaf.
func (p *publishedVerifier) line(line []byte) error {
	if p.lines++; p.Progress != nil {
		p.Progress(p.lines)
	}
	e, ref, err := parseExported(line)
	switch {
	case err != nil:
		p.wrong(Finding{Kind: Altered, Detail: fmt.Sprintf("line %d is not an execution: %v", p.lines, err)})
		return nil
	case ref == nil:
		p.sum.Unsealed++
		return nil
	case ref.Leaf < p.first && p.seen.has(ref.Leaf) || p.isLate(ref.Leaf):
		p.sum.Inserted++
		p.find(Finding{Kind: Inserted, ID: e.ID.String(), Leaf: &ref.Leaf, Detail: "another record has this entry of the log"})
		return nil
	}
	return p.place(e, ref)
}

func (p *publishedVerifier) isLate(leaf int64) bool { _, late := p.late[leaf]; return late }

// place compares a record with the leaf that the server says is its own.
func (p *publishedVerifier) place(e sandtrail.Execution, ref *LeafRef) error {
	if 0 <= ref.Leaf && ref.Leaf < min(p.since, p.first) {
		p.seen.set(ref.Leaf, ref.Leaf)
		p.sum.Earlier++
		return nil
	}
	hash, ok := ref.seal(e)
	if !ok || ref.Leaf < 0 {
		p.alteredRecord(e.ID, ref.Leaf)
		return nil
	}
	if ref.Leaf >= p.first && len(p.late) >= p.open {
		p.sum.Unsealed++ // a busy log, or a lie: either way it is not verified
		return nil
	}
	if ref.Leaf >= p.first {
		p.late[ref.Leaf] = lateRecord{e.ID, hash}
		return p.rename(e, ref)
	}
	p.seen.set(ref.Leaf, ref.Leaf)
	sealed, err := p.hash(ref.Leaf)
	if err == nil && hash == sealed {
		p.sum.Intact++
		return p.rename(e, ref)
	} else if err == nil {
		p.altered.set(ref.Leaf, ref.Leaf)
		p.alteredRecord(e.ID, ref.Leaf)
	}
	return err
}

// rename notes a record that needs a rename which is not known yet.
func (p *publishedVerifier) rename(e sandtrail.Execution, ref *LeafRef) error {
	now := Owners{e.UserID, e.StrategyID}
	r := renamedRecord{e.ID, ref.Leaf, now, now}
	if ref.SealedAs != nil {
		r.then = *ref.SealedAs
	}
	if r.accountedFor(p.known) {
		return nil
	}
	if len(p.renamed) >= p.open {
		return sandtrail.Errorf(sandtrail.CodeUnavailable,
			"more than %d executions have other owners than they were sealed with, and no rename that was known at the start accounts for that; verify again once no user or strategy is being renamed", p.open)
	}
	p.renamed = append(p.renamed, r)
	return nil
}

func (p *publishedVerifier) alteredRecord(id sandtrail.ID, leaf int64) {
	p.wrong(Finding{Kind: Altered, ID: id.String(), Leaf: &leaf, Detail: "the execution is not what was sealed"})
}

// wrong counts a record that is not what was sealed.
func (p *publishedVerifier) wrong(f Finding) {
	p.sum.Altered++
	p.find(f)
}

// accounts are the removals and renames of the log, and what they leave open.
type accounts struct {
	renames  renames
	removed  bitmap // leaves that a removal accounts for
	earlier  bitmap // of them, those whose removal is below first
	acts     bitmap // the leaves of removals and renames
	reasons  map[string]int64
	findings []Finding

	missing []int64
	renamed []renamedRecord
}

// settled reports whether nothing is open that the next seconds can settle.
func (a *accounts) settled() bool { return len(a.missing)+len(a.renamed) == 0 }

// maxOpen bounds how many records are kept whose entry or rename came after the first
// checkpoint: a server could place every line there.
const maxOpen = 100_000

// maxMissing bounds how many leaves are named that nothing accounts for.
const maxMissing = 10_000

// account reads the removals and renames up to the size of the tree.
func (p *publishedVerifier) account(ctx context.Context) (*accounts, error) {
	a := &accounts{reasons: map[string]int64{}}
	for r, err := range p.log.Removals(ctx) {
		if err == nil {
			err = p.removal(a, r)
		}
		if err != nil {
			return nil, err
		}
	}
	stored, err := p.storedRenames(ctx, a)
	if err != nil {
		return nil, err
	}
	a.renames, err = readRenames(ctx, stored, func(s StoredRename) {
		a.findings = append(a.findings, Finding{Kind: Altered, Leaf: &s.Leaf, Detail: errNotRename.Error()})
	})
	if err != nil {
		return nil, err
	}
	for leaf := range p.first {
		if len(a.missing) < maxMissing && !p.seen.has(leaf) && !a.removed.has(leaf) && !a.acts.has(leaf) {
			a.missing = append(a.missing, leaf)
		}
	}
	a.renamed = slices.DeleteFunc(slices.Clone(p.renamed), func(r renamedRecord) bool { return r.accountedFor(a.renames) || !p.covers(r.leaf) })
	return a, nil
}

// storedRenames reads the renames up to the size of the tree.
func (p *publishedVerifier) storedRenames(ctx context.Context, a *accounts) (stored sealedRenames, err error) {
	for s, err := range p.log.Renames(ctx) {
		if err != nil {
			return nil, err
		}
		if !p.covers(s.Leaf) || a.acts.has(s.Leaf) {
			continue
		}
		if s.Hash, err = p.hash(s.Leaf); err != nil {
			return nil, err
		}
		a.acts.set(s.Leaf, s.Leaf)
		stored = append(stored, s)
	}
	return stored, nil
}

func (p *publishedVerifier) covers(leaf int64) bool { return 0 <= leaf && leaf < p.tree.size }

func (p *publishedVerifier) removal(a *accounts, r StoredRemoval) (err error) {
	if !p.covers(r.Leaf) || a.acts.has(r.Leaf) {
		return nil
	}
	a.acts.set(r.Leaf, r.Leaf)
	if r.Hash, err = p.hash(r.Leaf); err != nil {
		return err
	}
	removal, err := r.open()
	if err != nil {
		a.findings = append(a.findings, Finding{Kind: Altered, Leaf: &r.Leaf, Detail: err.Error()})
		return nil
	}
	a.reasons[removal.Reason] += removal.Count()
	for _, span := range removal.Leaves {
		last := min(span.Last, r.Leaf-1)
		a.removed.set(span.First, last)
		if r.Leaf < p.first {
			a.earlier.set(span.First, last)
		}
	}
	return nil
}

// sealedRenames are those of a log of which the changes are not read.
type sealedRenames []StoredRename

func (s sealedRenames) Renames(context.Context, Range) ([]StoredRename, error) { return s, nil }
func (sealedRenames) PendingRenames(context.Context) ([]Rename, error)         { return nil, nil }

// commit counts what the accounts say, and reports what they leave open.
func (p *publishedVerifier) commit(a *accounts) {
	s := &p.sum
	s.Reasons, s.Renames, s.Leaves, s.Root = a.reasons, int64(len(a.renames.all)), p.tree.size, p.tree.root().String()
	for _, f := range a.findings {
		p.find(f)
	}
	for _, r := range a.renamed {
		delete(p.late, r.leaf)
		if r.leaf < p.first {
			s.Intact--
		}
		p.wrong(Finding{
			Kind: Altered, ID: r.id.String(), Leaf: &r.leaf,
			Detail: fmt.Sprintf("it was sealed with user %q and strategy %q, and the renames in the log do not account for that", r.then.UserID, r.then.StrategyID),
		})
	}
	for leaf := range p.tree.size {
		p.settle(a, leaf)
	}
	for leaf := range p.late {
		if leaf >= p.tree.size {
			s.Unsealed++
		}
	}
	p.endOfLog(p.tree.size)
}

// settle decides what a leaf is.
func (p *publishedVerifier) settle(a *accounts, leaf int64) {
	s := &p.sum
	late, isLate := p.late[leaf]
	switch {
	case isLate:
		p.settleLate(leaf, late)
	case p.seen.has(leaf) && a.earlier.has(leaf):
		if s.Inserted++; leaf < p.since {
			s.Earlier--
		} else if p.altered.has(leaf) {
			s.Altered--
		} else {
			s.Intact--
		}
		p.find(Finding{Kind: Inserted, Leaf: &leaf, Detail: "the log says that the execution was removed, and the server shows it"})
	case p.seen.has(leaf), a.acts.has(leaf):
	case a.removed.has(leaf):
		s.Removed++
	case leaf >= p.first:
		s.Meanwhile++
	default:
		s.Missing++
		p.find(Finding{Kind: Missing, Leaf: &leaf, Detail: "the server shows no execution of this entry, and no removal in the log accounts for that"})
	}
}

func (p *publishedVerifier) settleLate(leaf int64, r lateRecord) {
	sealed, err := p.hash(leaf)
	if err == nil && sealed == r.hash {
		p.sum.Intact++
		return
	}
	p.alteredRecord(r.id, leaf)
}
