package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
)

// Hash is a SHA-256 hash of a leaf or of a node of the tree.
type Hash = tlog.Hash

// Kind says what a leaf is.
type Kind byte

// The kinds. Their values are the first byte of a leaf.
const (
	RecordLeaf  Kind = 1
	RemovalLeaf Kind = 2
)

// Salt hides a record behind its leaf hash. It is kept beside the hash only
// while the record is.
type Salt [16]byte

// Entry is what the ledger keeps of a leaf beside its hash.
type Entry struct {
	Kind   Kind
	ID     sandtrail.ID // of the record
	Salt   Salt         // zero once the record was removed
	Checks Checks
}

// holdsRecord reports whether the entry is of a record that is still stored.
func (entry Entry) holdsRecord() bool { return entry.Kind == RecordLeaf && entry.Salt != Salt{} }

// forget drops what belongs to a record that was removed.
func (entry *Entry) forget() { entry.Salt, entry.Checks = Salt{}, Checks{} }

// Checks are one byte of a salted hash per field: part of the leaf, so that
// they cannot be changed, and enough to tell which field of a record was.
type Checks [nFields]byte

// Seal makes the entry and the leaf hash of a record. The salt must be fresh
// and random.
func Seal(e sandtrail.Execution, salt Salt) (Entry, Hash) {
	entry := Entry{Kind: RecordLeaf, ID: e.ID, Salt: salt}
	leaf, ends := entry.appendLeaf(nil, &e)
	entry.Checks = checksOf(leaf, ends)
	copy(leaf[checksAt:], entry.Checks[:])
	return entry, tlog.RecordHash(leaf)
}

// The data of a record's leaf: its kind, salt, checks, and the record.
const (
	checksAt = 1 + len(Salt{})
	recordAt = checksAt + nFields
)

// appendLeaf appends the data of the leaf that the record would have under
// this entry. It also returns where each field ends in it.
func (entry *Entry) appendLeaf(b []byte, e *sandtrail.Execution) (leaf []byte, ends [nFields]int) {
	b = append(b, byte(RecordLeaf))
	b = append(b, entry.Salt[:]...)
	b = append(b, entry.Checks[:]...)
	return appendRecord(b, e)
}

// checksOf computes the checks of a leaf from its fields.
func checksOf(leaf []byte, ends [nFields]int) (checks Checks) {
	var buf [256]byte
	start := recordAt + len(sandtrail.ID{})
	for i, end := range ends {
		input := append(buf[:0], leaf[1:checksAt]...)
		input = append(input, byte(i))
		input = append(input, leaf[start:end]...)
		checks[i] = sha256.Sum256(input)[0]
		start = end
	}
	return checks
}

// compare tells whether a record is the one that was sealed, and if not, which
// of its fields differ. No field is named when the checks cannot tell. buf is
// room to work in; it is returned to be used again.
func (entry *Entry) compare(e *sandtrail.Execution, sealed Hash, buf []byte) (same bool, fields []string, _ []byte) {
	leaf, ends := entry.appendLeaf(buf[:0], e)
	if tlog.RecordHash(leaf) == sealed {
		return true, nil, leaf
	}
	for i, check := range checksOf(leaf, ends) {
		if check != entry.Checks[i] {
			fields = append(fields, fieldNames[i])
		}
	}
	return false, fields, leaf
}

// BlockLeaves is how many leaves a block holds, and a tile of the tree.
const BlockLeaves = 1 << tileHeight

// Block is a run of BlockLeaves leaves, the last block of a ledger shorter.
type Block struct {
	N       int64 // its place; its first leaf is N × BlockLeaves
	Hashes  []Hash
	Entries []Entry
}

const entrySize = 1 + 16 + 16 + nFields

// MarshalEntries encodes entries, all in the same number of bytes.
func MarshalEntries(entries []Entry) []byte {
	b := make([]byte, 0, len(entries)*entrySize)
	for i := range entries {
		e := &entries[i]
		b = append(b, byte(e.Kind))
		b = append(b, e.ID[:]...)
		b = append(b, e.Salt[:]...)
		b = append(b, e.Checks[:]...)
	}
	return b
}

// ErrTorn is wrapped by the error for tables of a ledger that do not fit
// together.
var ErrTorn = errors.New("the ledger is torn")

// UnmarshalEntries decodes the entries of a block.
func UnmarshalEntries(b []byte) ([]Entry, error) {
	if len(b)%entrySize != 0 || len(b) > BlockLeaves*entrySize {
		return nil, fmt.Errorf("%w: %d bytes are not up to %d entries of %d", ErrTorn, len(b), BlockLeaves, entrySize)
	}
	entries := make([]Entry, len(b)/entrySize)
	for i := range entries {
		at := b[i*entrySize:]
		entries[i] = Entry{Kind: Kind(at[0]), ID: sandtrail.ID(at[1:]), Salt: Salt(at[17:]), Checks: Checks(at[33:])}
	}
	return entries, nil
}

// UnmarshalBlock decodes a block from its tile of hashes and its entries.
func UnmarshalBlock(n int64, tile, entries []byte) (Block, error) {
	b := Block{N: n, Hashes: make([]Hash, len(tile)/tlog.HashSize)}
	var err error
	if b.Entries, err = UnmarshalEntries(entries); err != nil {
		return Block{}, fmt.Errorf("block %d: %w", n, err)
	}
	if len(b.Entries) != len(b.Hashes) || len(tile)%tlog.HashSize != 0 {
		return Block{}, fmt.Errorf("block %d: %w: %d bytes of hashes do not fit %d entries", n, ErrTorn, len(tile), len(b.Entries))
	}
	for i := range b.Hashes {
		b.Hashes[i] = Hash(tile[i*tlog.HashSize:])
	}
	return b, nil
}

// First is the index of the block's first leaf.
func (b Block) First() int64 { return b.N * BlockLeaves }
