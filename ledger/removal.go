package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Removal is the ledger entry that accounts for removed executions.
type Removal struct {
	At     time.Time // when the removal was entered, whole milliseconds
	Reason string    // such as "retention", "user", "delete"
	By     string    // who removed, as far as known
	Leaves []Span    // the executions, ascending and disjoint
	// Unsealed counts executions that were inserted and deleted before they were sealed.
	Unsealed int64
}

// Span is a stretch of ledger entries, both ends included.
type Span struct{ First, Last int64 }

// Count is how many records the removal accounts for.
func (r Removal) Count() int64 {
	n := r.Unsealed
	for _, s := range r.Leaves {
		n += s.Last - s.First + 1
	}
	return n
}

// Spans gathers leaves, in any order, into runs.
func Spans(leaves []int64) []Span {
	slices.Sort(leaves)
	var spans []Span
	for _, leaf := range slices.Compact(leaves) {
		if last := len(spans) - 1; last >= 0 && spans[last].Last+1 == leaf {
			spans[last].Last = leaf
			continue
		}
		spans = append(spans, Span{leaf, leaf})
	}
	return spans
}

// Marshal gives the data of the removal's ledger entry.
func (r Removal) Marshal() []byte {
	b := []byte{byte(RemovalLeaf)}
	b = binary.AppendVarint(b, r.At.UnixMilli())
	b = appendText(b, r.Reason)
	b = appendText(b, r.By)
	b = binary.AppendVarint(b, r.Unsealed)
	b = binary.AppendUvarint(b, uint64(len(r.Leaves)))
	next := int64(0)
	for _, s := range r.Leaves {
		b = binary.AppendUvarint(b, uint64(s.First-next))
		b = binary.AppendUvarint(b, uint64(s.Last-s.First))
		next = s.Last + 1
	}
	return b
}

var (
	errNotRemoval     = errors.New("not the data of a removal")
	errRemovalAltered = errors.New("a removal is not what was sealed")
)

// open reads the removal, if it is what the tree has.
func (s StoredRemoval) open() (Removal, error) {
	removal, err := ParseRemoval(s.Data)
	if err != nil || tlog.RecordHash(s.Data) != s.Hash {
		return Removal{}, errRemovalAltered
	}
	return removal, nil
}

// ParseRemoval is the inverse of Marshal. Anything that Marshal does not make
// is an error.
func ParseRemoval(data []byte) (Removal, error) {
	d := reader{rest: data}
	if Kind(d.take(1)[0]) != RemovalLeaf {
		return Removal{}, errNotRemoval
	}
	r := Removal{At: time.UnixMilli(d.varint()).UTC(), Reason: d.text(), By: d.text(), Unsealed: d.varint()}
	next := int64(0)
	for n := d.count(2); n > 0; n-- {
		first := next + int64(d.uvarint())
		last := first + int64(d.uvarint())
		if first < next || last < first {
			return Removal{}, errNotRemoval
		}
		r.Leaves = append(r.Leaves, Span{first, last})
		next = last + 1
	}
	if d.bad || len(d.rest) > 0 || !bytes.Equal(r.Marshal(), data) {
		return Removal{}, errNotRemoval
	}
	return r, nil
}
