package ledger

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
)

// Log is a store's ledger, as a Service uses it.
type Log interface {
	// Inspect runs f on one snapshot of the store, whose Records as many
	// goroutines may call at the same time as are given. With none, f is all
	// that uses it.
	Inspect(ctx context.Context, readers int, f func(Snapshot) error) error
	// PutCheckpoint keeps a signed checkpoint, durable when it returns.
	PutCheckpoint(ctx context.Context, size int64, at time.Time, signed []byte) error
}

// Snapshot is a store and its ledger at one moment.
type Snapshot interface {
	Source
	Index
	// Size returns the number of leaves.
	Size(ctx context.Context) (int64, error)
	// Tile returns a tile of the tree, empty when there is none.
	Tile(ctx context.Context, id TileID) ([]byte, error)
	// Record returns a stored record, or sandtrail.ErrNotFound.
	Record(ctx context.Context, id sandtrail.ID) (sandtrail.Execution, error)
	// Newest returns the newest checkpoint, nil when there is none.
	Newest(ctx context.Context) ([]byte, error)
}

// Service answers for a ledger whose checkpoints it signs.
type Service struct {
	Log  Log
	Keys Keys
}

// Checkpoint returns a signed checkpoint of the whole log. It signs one when
// the log has grown since the newest.
func (s Service) Checkpoint(ctx context.Context, now time.Time) ([]byte, error) {
	var newest []byte
	var size int64
	var root Hash
	err := s.Log.Inspect(ctx, 0, func(snap Snapshot) (err error) {
		if size, err = snap.Size(ctx); err != nil {
			return err
		}
		if root, err = Root(size, tilesOf(ctx, snap)); err != nil {
			return err
		}
		newest, err = snap.Newest(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ledger checkpoint: %w", err)
	}
	if c, err := s.Keys.Open(newest); err == nil && c.Size == size && c.Root == root {
		return newest, nil
	}
	signed, err := s.Keys.Sign(size, root)
	if err != nil {
		return nil, err
	}
	return signed, s.Log.PutCheckpoint(ctx, size, now, signed)
}

// Proof is the path from a record's leaf to a checkpoint.
type Proof struct {
	ID         sandtrail.ID `json:"id"`
	Leaf       int64        `json:"leaf"`     // its index
	Hash       []byte       `json:"leafHash"` // base64
	Proof      [][]byte     `json:"proof"`    // inclusion, RFC 6962, base64
	Checkpoint string       `json:"checkpoint"`
}

// Proof proves that a stored record is in the log. It is
// sandtrail.ErrNotFound when there is no such record, or when it is so new
// that it is not sealed.
func (s Service) Proof(ctx context.Context, id sandtrail.ID, now time.Time) (Proof, error) {
	p, _, _, err := s.prove(ctx, id, now)
	return p, err
}

// Receipt is a Proof together with the record, to be kept and checked by
// VerifyReceipt.
func (s Service) Receipt(ctx context.Context, id sandtrail.ID, now time.Time) (Receipt, error) {
	p, record, entry, err := s.prove(ctx, id, now)
	if err != nil {
		return Receipt{}, err
	}
	return newReceipt(record, entry, p), nil
}

func (s Service) prove(ctx context.Context, id sandtrail.ID, now time.Time) (p Proof, record sandtrail.Execution, entry Entry, err error) {
	signed, err := s.Checkpoint(ctx, now)
	if err != nil {
		return p, record, entry, err
	}
	c, err := s.Keys.Open(signed)
	if err != nil {
		return p, record, entry, err
	}
	err = s.Log.Inspect(ctx, 0, func(snap Snapshot) (err error) {
		if record, err = snap.Record(ctx, id); err != nil {
			return err
		}
		if entry, p.Leaf, err = Locate(ctx, snap, id, record.CreatedAt); err != nil {
			return err
		}
		if p.Leaf >= c.Size {
			return errUnsealed(id)
		}
		path, err := ProveInclusion(c.Size, p.Leaf, tilesOf(ctx, snap))
		if err != nil {
			return err
		}
		leaf, _ := entry.appendLeaf(nil, &record)
		hash := tlog.RecordHash(leaf)
		p.ID, p.Hash, p.Proof, p.Checkpoint = id, hash[:], toBytes(path), string(signed)
		return nil
	})
	if err != nil {
		return p, record, entry, fmt.Errorf("prove execution %s: %w", id, err)
	}
	return p, record, entry, nil
}

// Leaf returns the index of a stored record's leaf, or sandtrail.ErrNotFound
// while it is not sealed.
func (s Service) Leaf(ctx context.Context, e sandtrail.Execution) (leaf int64, err error) {
	err = s.Log.Inspect(ctx, 0, func(snap Snapshot) (err error) {
		_, leaf, err = Locate(ctx, snap, e.ID, e.CreatedAt)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("find the leaf of execution %s: %w", e.ID, err)
	}
	return leaf, nil
}

// PublicKeys are those that checkpoints are verified with.
func (s Service) PublicKeys() []string { return s.Keys.Public() }

// Tile returns a tile of the log by its path, as C2SP tlog-tiles has it, or
// sandtrail.ErrNotFound. A narrow tile may be asked for when a wider one is
// there.
func (s Service) Tile(ctx context.Context, path string) ([]byte, error) {
	id, width, err := ParseTilePath(path)
	if err != nil {
		return nil, &sandtrail.Error{Code: sandtrail.CodeNotFound, Message: err.Error()}
	}
	var hashes []byte
	err = s.Log.Inspect(ctx, 0, func(snap Snapshot) (err error) {
		hashes, err = snap.Tile(ctx, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(hashes) < width*tlog.HashSize {
		return nil, sandtrail.Errorf(sandtrail.CodeNotFound, "the log has no %s", path)
	}
	return bytes.Clone(hashes[:width*tlog.HashSize]), nil
}

// VerifyLog compares a whole store with its ledger.
func VerifyLog(ctx context.Context, log Log, v Verification) (sum Summary, err error) {
	err = log.Inspect(ctx, runtime.GOMAXPROCS(0), func(snap Snapshot) (err error) {
		sum, err = Verify(ctx, snap, v)
		return err
	})
	return sum, err
}

func tilesOf(ctx context.Context, snap Snapshot) TileReader {
	return func(id TileID) ([]byte, error) { return snap.Tile(ctx, id) }
}

func toBytes(path []Hash) [][]byte {
	out := make([][]byte, len(path))
	for i, hash := range path {
		out[i] = bytes.Clone(hash[:])
	}
	return out
}
