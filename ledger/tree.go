package ledger

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

// TileID names a tile: a stretch of up to 256 hashes of one height of the tree,
// as C2SP tlog-tiles cuts it. Level 0 holds the entry hashes, a hash of level
// 1 stands for 256 ledger entries, and so on.
type TileID struct {
	Level int
	N     int64
}

// TileReader returns the hashes of a tile, as many as the tree has, 32 bytes
// each.
type TileReader func(TileID) ([]byte, error)

// Append grows a tree by leaves. It returns the new root and the tiles to be
// stored, which replace narrower ones of the same name.
func Append(size int64, leaves []Hash, tiles TileReader) (root Hash, changed map[TileID][]byte, err error) {
	grown := newHashes(size+int64(len(leaves)), tiles)
	for i, leaf := range leaves {
		n := size + int64(i)
		fresh, err := tlog.StoredHashesForRecordHash(n, leaf, grown)
		if err != nil {
			return Hash{}, nil, fmt.Errorf("append entry %d: %w", n, err)
		}
		for j, hash := range fresh {
			grown.fresh[tlog.StoredHashIndex(0, n)+int64(j)] = hash
		}
	}
	changed = map[TileID][]byte{}
	for _, t := range tlog.NewTiles(tileHeight, size, grown.size) {
		data, err := tlog.ReadTileData(t, grown)
		if err != nil {
			return Hash{}, nil, fmt.Errorf("tile %d of level %d: %w", t.N, t.L, err)
		}
		changed[TileID{t.L, t.N}] = data
	}
	root, err = tlog.TreeHash(grown.size, grown)
	return root, changed, err
}

// Root returns the root hash of the first size leaves.
func Root(size int64, tiles TileReader) (Hash, error) {
	return tlog.TreeHash(size, newHashes(size, tiles))
}

// ProveInclusion proves that a ledger entry is in the tree of the first size ledger entries.
func ProveInclusion(size, leaf int64, tiles TileReader) ([]Hash, error) {
	return tlog.ProveRecord(size, leaf, newHashes(size, tiles))
}

// ProveConsistency proves that the tree of the first size leaves begins with
// that of the first older leaves.
func ProveConsistency(size, older int64, tiles TileReader) ([]Hash, error) {
	return tlog.ProveTree(size, older, newHashes(size, tiles))
}

// CheckConsistency checks such a proof against both roots.
func CheckConsistency(proof []Hash, newer, older Checkpoint) error {
	return tlog.CheckTree(proof, newer.Size, newer.Root, older.Size, older.Root)
}

// hashes reads stored hashes by their tlog index from tiles, each read once,
// and from those made meanwhile.
type hashes struct {
	size  int64
	tiles TileReader
	read  map[TileID][]byte
	fresh map[int64]Hash
}

func newHashes(size int64, tiles TileReader) *hashes {
	return &hashes{size: size, tiles: tiles, read: map[TileID][]byte{}, fresh: map[int64]Hash{}}
}

// ReadHashes implements tlog.HashReader.
func (h *hashes) ReadHashes(indexes []int64) ([]Hash, error) {
	out := make([]Hash, len(indexes))
	for i, index := range indexes {
		hash, made := h.fresh[index]
		if !made {
			var err error
			if hash, err = h.fromTile(index); err != nil {
				return nil, err
			}
		}
		out[i] = hash
	}
	return out, nil
}

func (h *hashes) fromTile(index int64) (Hash, error) {
	t := tlog.TileForIndex(tileHeight, index)
	id := TileID{t.L, t.N}
	data, known := h.read[id]
	if !known {
		var err error
		if data, err = h.tiles(id); err != nil {
			return Hash{}, err
		}
		h.read[id] = data
	}
	t.W = min(len(data)/tlog.HashSize, 1<<tileHeight)
	if t.W == 0 || len(data)%tlog.HashSize != 0 {
		return Hash{}, fmt.Errorf("%w: tile %d of level %d is missing or cut", ErrTorn, t.N, t.L)
	}
	return tlog.HashFromTile(t, data, index)
}

// Path is the tile's path below the log's address as C2SP tlog-tiles has it,
// with .p/width at the end when the tile is narrower than 256.
func (id TileID) Path(width int) string {
	n := fmt.Sprintf("%03d", id.N%1000)
	for rest := id.N / 1000; rest > 0; rest /= 1000 {
		n = fmt.Sprintf("x%03d/%s", rest%1000, n)
	}
	if width < 1<<tileHeight {
		n = fmt.Sprintf("%s.p/%d", n, width)
	}
	return fmt.Sprintf("tile/%d/%s", id.Level, n)
}

// ParseTilePath is the inverse of Path.
func ParseTilePath(path string) (id TileID, width int, err error) {
	bad := fmt.Errorf("%q is not the path of a tile, such as tile/0/x001/234 or tile/1/000.p/17", path)
	rest, ok := strings.CutPrefix(path, "tile/")
	level, rest, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return TileID{}, 0, bad
	}
	rest, partial, isPartial := strings.Cut(rest, ".p/")
	width = 1 << tileHeight
	if isPartial {
		width, err = strconv.Atoi(partial)
	}
	level64, err2 := strconv.ParseUint(level, 10, 6)
	for _, digits := range strings.Split(strings.ReplaceAll(rest, "x", ""), "/") {
		part, err := strconv.ParseUint(digits, 10, 10)
		if err != nil || id.N > 1<<40 {
			return TileID{}, 0, bad
		}
		id.N = id.N*1000 + int64(part)
	}
	id.Level = int(level64)
	if err != nil || err2 != nil || width < 1 || width > 1<<tileHeight || id.Path(width) != path {
		return TileID{}, 0, bad
	}
	return id, width, nil
}

// frontier rebuilds the tree from its leaves in order, keeping one hash per
// complete subtree.
type frontier struct {
	size  int64
	roots []Hash // of the complete subtrees, largest first
}

func (f *frontier) add(leaf Hash) {
	f.roots = append(f.roots, leaf)
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		f.roots[last-1] = tlog.NodeHash(f.roots[last-1], f.roots[last])
		f.roots = f.roots[:last]
	}
	f.size++
}

func (f *frontier) root() Hash {
	if f.size == 0 {
		return emptyRoot
	}
	root := f.roots[len(f.roots)-1]
	for i := len(f.roots) - 2; i >= 0; i-- {
		root = tlog.NodeHash(f.roots[i], root)
	}
	return root
}

// emptyRoot is the root of a tree without leaves, SHA-256 of nothing.
var emptyRoot, _ = tlog.TreeHash(0, nil)
