package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// Hash is a SHA-256 hash of a ledger entry or of a node of the tree.
type Hash = tlog.Hash

// Kind says what a ledger entry is.
type Kind byte

// The kinds. Their values are the first byte of a ledger entry.
const (
	RecordLeaf  Kind = 1
	RemovalLeaf Kind = 2
	RenameLeaf  Kind = 3
)

// Entry is what the ledger keeps of a ledger entry beside its hash. That of a removal
// or a rename is zero.
type Entry struct {
	ID     sandtrail.ID // of the execution
	Checks Checks
	Salt   Salt // zero once the execution was removed
}

// kind tells a removal, or a rename, from a record: no record has only checks of zero, but
// with a probability of 2^-104.
func (entry *Entry) kind() Kind {
	if entry.ID == (sandtrail.ID{}) && entry.Checks == (Checks{}) {
		return RemovalLeaf
	}
	return RecordLeaf
}

// holdsRecord reports whether the entry is of a record that is still stored.
func (entry *Entry) holdsRecord() bool { return entry.kind() == RecordLeaf && entry.Salt != Salt{} }

// Checks are one byte of a salted hash per field: part of the ledger entry, so that
// they cannot be changed, and enough to tell which field of an execution was.
type Checks [nFields]byte

// Seal makes the entry of an execution and its hash. The salt must be fresh
// and random.
func Seal(e sandtrail.Execution, salt Salt) (Entry, Hash) {
	entry := Entry{ID: e.ID, Salt: salt}
	hash, _ := entry.seal(&e, nil)
	return entry, hash
}

// seal fills in the checks of a record and returns the leaf hash. buf is room to
// work in; it is returned to be used again.
func (entry *Entry) seal(e *sandtrail.Execution, buf []byte) (Hash, []byte) {
	leaf, ends := entry.appendLeaf(buf[:0], e)
	entry.Checks = checksOf(leaf, ends)
	copy(leaf[checksAt:], entry.Checks[:])
	return tlog.RecordHash(leaf), leaf
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

// compare tells whether a record, its metadata as in the column, is the one that
// was sealed, and if not, which of its fields differ. No field is named when
// the checks cannot tell. buf is room to work in; it is returned to be used
// again.
func (entry *Entry) compare(e *sandtrail.Execution, sealed Hash, buf []byte) (same bool, fields []string, _ []byte) {
	leaf, ends := entry.appendLeaf(buf[:0], e)
	verbatim := isVerbatim(e.Metadata, leaf[ends[metadataField-1]:ends[metadataField]])
	if verbatim && tlog.RecordHash(leaf) == sealed {
		return true, nil, leaf // without a look whether it is valid: what was sealed is
	}
	settle(e)
	leaf, ends = entry.appendLeaf(leaf[:0], e)
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

// isVerbatim reports whether an encoding of metadata has every byte of a column
// that begins as an object does.
func isVerbatim(column, encoding []byte) bool {
	if column == nil {
		return true
	}
	length, _ := binary.Uvarint(encoding[1:])
	return bytes.HasPrefix(column, []byte("{")) && length == uint64(len(column))
}

// settle gives a record the metadata that readers see of what is in the column.
func settle(e *sandtrail.Execution) {
	if e.Metadata != nil {
		column := string(e.Metadata)
		e.Metadata = database.MetadataFromColumn(&column)
	}
}

// BlockLeaves is how many leaves a block holds, and a tile of the tree.
const BlockLeaves = 1 << tileHeight

// Block is a stretch of BlockLeaves ledger entries, the last block of a ledger shorter.
type Block struct {
	N       int64 // its place; its first ledger entry is N × BlockLeaves
	Hashes  []Hash
	Entries []Entry
	// Since and Until are as in its Page.
	Since, Until time.Time
}

const entrySize = len(sandtrail.ID{}) + nFields

// page is what is kept of a block beside its hashes, decoded.
type page struct {
	entries []Entry
	salts   saltTree
}

// marshal encodes the number of entries, the entries without their salts, and
// the seeds of the salts.
func (p *page) marshal() []byte {
	b := make([]byte, 0, 2+len(p.entries)*entrySize+len(p.salts)*seedSize)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.entries)))
	for i := range p.entries {
		b = append(b, p.entries[i].ID[:]...)
		b = append(b, p.entries[i].Checks[:]...)
	}
	return p.salts.appendTo(b)
}

// ErrTorn is wrapped by the error for tables of a ledger that do not fit
// together.
var ErrTorn = errors.New("the ledger is torn")

// splitPage checks the inverse of marshal: the number of entries and the seeds
// of their salts.
func splitPage(b []byte) (n int, seeds saltTree, err error) {
	if len(b) == 0 {
		return 0, nil, nil
	}
	if len(b) >= 2 {
		n = int(binary.BigEndian.Uint16(b))
	}
	if n == 0 || n > BlockLeaves || len(b) < 2+n*entrySize {
		return 0, nil, fmt.Errorf("%w: %d bytes are not %d entries of %d", ErrTorn, len(b), n, entrySize)
	}
	seeds, err = parseSalts(b[2+n*entrySize:])
	return n, seeds, err
}

// parsePage is the inverse of marshal; nothing is an empty page.
func parsePage(b []byte) (page, error) {
	n, salts, err := splitPage(b)
	if err != nil || n == 0 {
		return page{}, err
	}
	p := page{make([]Entry, n), salts}
	for i, salt := range salts.salts(n) {
		at := b[2+i*entrySize:]
		p.entries[i] = Entry{ID: sandtrail.ID(at), Checks: Checks(at[len(sandtrail.ID{}):])}
		if p.entries[i].kind() == RecordLeaf {
			p.entries[i].Salt = salt
		}
	}
	return p, nil
}

// StoredBlock is a block as stores keep it.
type StoredBlock struct {
	N       int64
	Entries []byte // of its page
	Hashes  []byte // its tile
}

// find returns the entry of a stored record and its place in the block, -1 when
// it is not there.
func (b *StoredBlock) find(id sandtrail.ID) (Entry, int, error) {
	n, seeds, err := splitPage(b.Entries)
	if err != nil {
		return Entry{}, -1, fmt.Errorf("block %d: %w", b.N, err)
	}
	for i := range n {
		at := b.Entries[2+i*entrySize:]
		if sandtrail.ID(at) != id {
			continue
		}
		entry := Entry{ID: id, Checks: Checks(at[len(sandtrail.ID{}):]), Salt: seeds.salt(i)}
		if !entry.holdsRecord() {
			continue
		}
		if len(b.Hashes) < (i+1)*tlog.HashSize {
			return Entry{}, -1, fmt.Errorf("block %d: %w: the tile is cut", b.N, ErrTorn)
		}
		return entry, i, nil
	}
	return Entry{}, -1, nil
}

// UnmarshalBlock decodes a block from its tile of hashes and its page.
func UnmarshalBlock(tile []byte, stored Page) (Block, error) {
	n := stored.N
	b := Block{N: n, Hashes: make([]Hash, len(tile)/tlog.HashSize), Since: stored.Since, Until: stored.Until}
	p, err := parsePage(stored.Entries)
	if err != nil {
		return Block{}, fmt.Errorf("block %d: %w", n, err)
	}
	b.Entries = p.entries
	if len(b.Entries) != len(b.Hashes) || len(tile)%tlog.HashSize != 0 {
		return Block{}, fmt.Errorf("block %d: %w: %d bytes of hashes do not fit %d entries", n, ErrTorn, len(tile), len(b.Entries))
	}
	for i := range b.Hashes {
		b.Hashes[i] = Hash(tile[i*tlog.HashSize:])
	}
	return b, nil
}

// First is the index of the block's first ledger entry.
func (b Block) First() int64 { return b.N * BlockLeaves }
