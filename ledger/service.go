package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
)

// Log is a store's ledger, as a Service uses it.
type Log interface {
	// Inspect runs f on one snapshot of the store. readers is how many goroutines
	// may call its Records at the same time; 0: only f calls the snapshot.
	Inspect(ctx context.Context, readers int, f func(Snapshot) error) error
	// BlocksAt returns what is stored of the blocks with records about a time,
	// in their order, all of one moment.
	BlocksAt(ctx context.Context, createdAt time.Time) ([]StoredBlock, error)
	// Tile returns a tile of the tree as it is now, empty when there is none.
	Tile(ctx context.Context, id TileID) ([]byte, error)
	// PutCheckpoint keeps a signed checkpoint, durable when it returns.
	PutCheckpoint(ctx context.Context, size int64, at time.Time, signed []byte) error
}

// Snapshot is a store and its ledger at one moment.
type Snapshot interface {
	Source
	Index
	// Newest returns the newest checkpoint, nil when there is none.
	Newest(ctx context.Context) ([]byte, error)
}

// Service answers for a ledger whose checkpoints it signs.
type Service struct {
	Log    Log
	Keys   Keys
	Memory *Memory // nil: each proof reads all of its path

	// Rotated holds the keys that replace Keys since a rotation; nil, or a nil in it:
	// there was none.
	Rotated *atomic.Pointer[Keys]
}

// Current are the keys that sign now.
func (s Service) Current() Keys {
	if s.Rotated != nil {
		if keys := s.Rotated.Load(); keys != nil {
			return *keys
		}
	}
	return s.Keys
}

// Checkpoint returns a signed checkpoint of the whole log. It signs one when
// the log has grown since the newest. Keys that are not those of the log are refused,
// as by CheckKeys.
func (s Service) Checkpoint(ctx context.Context, now time.Time) ([]byte, error) {
	var newest []byte
	var size int64
	var root Hash
	err := s.Log.Inspect(ctx, 0, func(snap Snapshot) (err error) {
		if err := s.checkKeys(ctx, snap); err != nil {
			return err
		}
		if size, root, err = sizeAndRoot(ctx, snap); err != nil {
			return err
		}
		newest, err = snap.Newest(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ledger checkpoint: %w", err)
	}
	if c, err := s.Current().Open(newest); err == nil && c.Size == size && c.Root == root {
		return newest, nil
	}
	signed, err := s.Current().Sign(size, root)
	if err != nil {
		return nil, err
	}
	return signed, s.Log.PutCheckpoint(ctx, size, now, signed)
}

// Confirm reports whether a checkpoint, signed with one of the log's keys, is of
// this log or of one that was closed before. The error for another says what it
// proves.
func (s Service) Confirm(ctx context.Context, signed []byte) error {
	c, err := s.Current().Open(signed)
	if err != nil {
		return err
	}
	return s.Log.Inspect(ctx, 0, func(snap Snapshot) error {
		size, err := snap.Size(ctx)
		if err != nil {
			return err
		}
		logs, err := snap.Closed(ctx)
		if err != nil {
			return err
		}
		for _, log := range append(logs, ClosedLog{Leaves: size, Tiles: tilesOf(ctx, snap)}) {
			if c.Size > log.Leaves {
				continue
			}
			if root, err := Root(c.Size, log.Tiles); err != nil {
				return err
			} else if root == c.Root {
				return nil
			}
		}
		if c.Size > size {
			return fmt.Errorf("%w: it has %d entries, the log has %d: its end was cut off, or a backup was restored", ErrContradicted, c.Size, size)
		}
		return fmt.Errorf("%w: its first %d entries are others: the log was forked or rewritten", ErrContradicted, c.Size)
	})
}

// ErrContradicted is wrapped by the error for a genuine checkpoint that the log
// contradicts.
var ErrContradicted = errors.New("the log contradicts this checkpoint of its own")

// sizeAndRoot are those of the log as a snapshot has it.
func sizeAndRoot(ctx context.Context, snap Snapshot) (size int64, root Hash, err error) {
	if size, err = snap.Size(ctx); err != nil {
		return 0, root, err
	}
	root, err = Root(size, tilesOf(ctx, snap))
	return size, root, err
}

// PublicKeys are those that checkpoints are verified with.
func (s Service) PublicKeys() []string { return s.Current().Public() }

// Tile returns a tile of the log by its path, as C2SP tlog-tiles has it, or
// sandtrail.CodeNotFound. A narrow tile may be asked for when a wider one is
// there.
func (s Service) Tile(ctx context.Context, path string) ([]byte, error) {
	return tileAt(path, tilesOf(ctx, s.Log))
}

// tileAt reads a tile by its path.
func tileAt(path string, tiles TileReader) ([]byte, error) {
	id, width, err := ParseTilePath(path)
	if err != nil {
		return nil, &sandtrail.Error{Code: sandtrail.CodeNotFound, Message: err.Error()}
	}
	hashes, err := tiles(id)
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

func tilesOf(ctx context.Context, tree interface {
	Tile(ctx context.Context, id TileID) ([]byte, error)
},
) TileReader {
	return func(id TileID) ([]byte, error) { return tree.Tile(ctx, id) }
}
