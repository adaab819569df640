package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/remedy"
)

// Proof is the path from an execution's ledger entry to a checkpoint.
type Proof struct {
	ID         sandtrail.ID `json:"id"`
	Leaf       int64        `json:"leaf"`     // its index
	Hash       []byte       `json:"leafHash"` // base64
	Proof      [][]byte     `json:"proof"`    // inclusion, RFC 6962, base64
	Checkpoint string       `json:"checkpoint"`
}

// Proof proves that an execution, as the store has it, is in the log. It is
// sandtrail.CodeNotFound when it is so new that it is unsealed, and of
// CodeConflict when it is not what was sealed.
func (s Service) Proof(ctx context.Context, e sandtrail.Execution, now time.Time) (Proof, error) {
	p, _, err := s.prove(ctx, &e, now)
	return p, err
}

// Receipt is a Proof together with the execution, to be kept and checked by
// VerifyReceipt.
func (s Service) Receipt(ctx context.Context, e sandtrail.Execution, now time.Time) (Receipt, error) {
	p, entry, err := s.prove(ctx, &e, now)
	if err != nil {
		return Receipt{}, err
	}
	return newReceipt(e, entry, p), nil
}

// Leaf returns the index of a stored execution's ledger entry, or sandtrail.CodeNotFound
// while it is unsealed.
func (s Service) Leaf(ctx context.Context, e sandtrail.Execution) (int64, error) {
	at, err := s.find(ctx, &e)
	if err != nil {
		return 0, fmt.Errorf("find the entry of execution %s: %w", e.ID, err)
	}
	return at.leaf, nil
}

func (s Service) prove(ctx context.Context, e *sandtrail.Execution, now time.Time) (p Proof, entry Entry, err error) {
	at, err := s.find(ctx, e)
	if err == nil {
		err = s.mustBe(ctx, &at, e)
	}
	if err == nil {
		p, err = s.path(ctx, at, now)
	}
	if errors.Is(err, ErrTorn) && s.Memory.forget() { // it is of a log that was set back since
		p, err = s.path(ctx, at, now)
	}
	if err != nil {
		return Proof{}, Entry{}, fmt.Errorf("prove execution %s: %w", e.ID, err)
	}
	p.ID = e.ID
	return p, at.entry, nil
}

// place is where the log has a record.
type place struct {
	entry Entry
	leaf  int64
	tile  []byte // of the leaf
}

// find looks for the leaf of a record.
func (s Service) find(ctx context.Context, e *sandtrail.Execution) (place, error) {
	blocks, err := s.Log.BlocksAt(ctx, e.CreatedAt)
	if err != nil {
		return place{}, err
	}
	for _, b := range slices.Backward(blocks) { // the newest, should it have come again
		entry, i, err := b.find(e.ID)
		if err != nil {
			return place{}, err
		}
		if i >= 0 {
			return place{entry, b.N*BlockLeaves + int64(i), b.Hashes}, nil
		}
	}
	return place{}, errUnsealed(e.ID)
}

// mustBe refuses a record that is not the one that was sealed. One whose user or
// strategy was renamed since gets the ids with which it was sealed.
func (s Service) mustBe(ctx context.Context, p *place, e *sandtrail.Execution) error {
	same, fields, _ := p.entry.compare(e, p.hash(), nil)
	if same {
		return nil
	}
	err := s.Log.Inspect(ctx, 0, func(snap Snapshot) error {
		all, err := readRenames(ctx, snap, func(StoredRename) {}) // verify reports them
		same, fields, _ = all.sealedAs(leaf{p.leaf, p.entry, p.hash()}, e, nil)
		return err
	})
	if same || err != nil {
		return err
	}
	return sandtrail.Errorf(sandtrail.CodeConflict,
		"execution %s is not what was sealed, so that nothing proves it (changed: %s); verify the ledger", e.ID, strings.Join(fields, ", ")).
		With(sandtrail.Remedy{Act: remedy.Verify})
}

func (p *place) hash() (h Hash) {
	copy(h[:], p.tile[p.leaf%BlockLeaves*tlog.HashSize:])
	return h
}

// path leads from a leaf to a checkpoint, and was followed to it.
func (s Service) path(ctx context.Context, at place, now time.Time) (Proof, error) {
	signed, c, err := s.checkpointAfter(ctx, at.leaf, now)
	if err != nil {
		return Proof{}, err
	}
	own := TileID{0, at.leaf / BlockLeaves}
	stored := newHashes(c.Size, func(id TileID) ([]byte, error) {
		if id == own {
			return at.tile, nil
		}
		return s.Log.Tile(ctx, id)
	})
	path, err := tlog.ProveRecord(c.Size, at.leaf, tlog.HashReaderFunc(func(indexes []int64) ([]Hash, error) {
		return s.Memory.hashes(indexes, own, stored)
	}))
	if err == nil {
		err = tlog.CheckRecord(path, c.Size, c.Root, at.leaf, at.hash())
	}
	if err != nil {
		return Proof{}, fmt.Errorf("%w: entry %d does not lead to the checkpoint of %d entries (%w); verify the ledger", ErrTorn, at.leaf, c.Size, err)
	}
	hash := at.hash()
	return Proof{Leaf: at.leaf, Hash: hash[:], Proof: toBytes(path), Checkpoint: string(signed)}, nil
}

// checkpointAfter returns a checkpoint of a log that has a leaf: the last that
// is remembered, else one of the whole log.
func (s Service) checkpointAfter(ctx context.Context, leaf int64, now time.Time) ([]byte, Checkpoint, error) {
	if signed, c := s.Memory.newest(); leaf < c.Size {
		return signed, c, nil
	}
	signed, err := s.Checkpoint(ctx, now)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	c, err := s.Current().Open(signed)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	if leaf >= c.Size {
		return nil, Checkpoint{}, fmt.Errorf("%w: entry %d is not among its %d", ErrTorn, leaf, c.Size)
	}
	s.Memory.keep(signed, c)
	return signed, c, nil
}

func toBytes(path []Hash) [][]byte {
	out := make([][]byte, len(path))
	for i, hash := range path {
		out[i] = bytes.Clone(hash[:])
	}
	return out
}

// Memory is what a Service remembers of its log between proofs, a few MiB: what
// is in a log stays as it is. The zero value is ready.
type Memory struct {
	mu         sync.Mutex
	signed     []byte
	checkpoint Checkpoint
	nodes      nodes // above the lowest tiles
	low        nodes // in them, of those that many hashes go into
}

// nodes are hashes of the tree by their tlog index.
type nodes map[int64]Hash

// maxNodes bounds the hashes of either kind that are remembered. Those above the
// lowest tiles of ten million leaves are 80,000, those in the tiles of two million
// are 110,000.
const maxNodes = 1 << 17

// lowLevel is from where on hashes in the lowest tile of a leaf are remembered:
// each below is made of at most 15 others, and 240 of a tile would be kept.
const lowLevel = 5

// hashes returns hashes of the tree.
func (m *Memory) hashes(indexes []int64, own TileID, stored *hashes) ([]Hash, error) {
	out := make([]Hash, len(indexes))
	for i, index := range indexes {
		if hash, known := m.node(index); known {
			out[i] = hash
			continue
		}
		hash, err := stored.fromTile(index)
		if err != nil {
			return nil, err
		}
		out[i] = hash
		m.keepNode(index, hash, own)
	}
	return out, nil
}

func (m *Memory) node(index int64) (Hash, bool) {
	if m == nil {
		return Hash{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	hash, known := m.nodes[index]
	if !known {
		hash, known = m.low[index]
	}
	return hash, known
}

func (m *Memory) keepNode(index int64, hash Hash, own TileID) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := tlog.TileForIndex(tileHeight, index)
	if (TileID{t.L, t.N}) != own {
		m.nodes.keep(index, hash)
	} else if level, _ := tlog.SplitStoredHashIndex(index); level >= lowLevel {
		m.low.keep(index, hash)
	}
}

// keep adds a hash, and forgets all others where they are too many.
func (n *nodes) keep(index int64, hash Hash) {
	if *n == nil || len(*n) >= maxNodes {
		*n = nodes{}
	}
	(*n)[index] = hash
}

// newest returns the last checkpoint that is remembered; its size is zero when
// there is none.
func (m *Memory) newest() ([]byte, Checkpoint) {
	if m == nil {
		return nil, Checkpoint{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.signed, m.checkpoint
}

func (m *Memory) keep(signed []byte, c Checkpoint) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signed, m.checkpoint = signed, c
}

// forget empties the memory; it reports whether there is one.
func (m *Memory) forget() bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signed, m.checkpoint, m.nodes, m.low = nil, Checkpoint{}, nil, nil
	return true
}
