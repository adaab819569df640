package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
)

// Rename says that a user or a strategy got another id, and with it all of its
// executions.
type Rename struct {
	Subject  sandtrail.Subject
	From, To string
}

// StoredRename is the ledger entry of a rename and what opens it. The ledger entry only commits
// to the names, so that they can be erased.
type StoredRename struct {
	Leaf    int64  `json:"leaf"`              // its index
	Data    []byte `json:"data"`              // of the ledger entry, base64
	Opening []byte `json:"opening,omitempty"` // base64; nil: the names are erased
	Hash    Hash   `json:"-"`                 // that the tree has for the ledger entry
}

// subjects are the bytes for them in a leaf.
var subjects = map[sandtrail.Subject]byte{sandtrail.Users: 1, sandtrail.Strategies: 2}

// newRename makes the leaf and its opening.
func newRename(r Rename, now time.Time, salt Salt) (data, opening []byte) {
	opening = appendText(appendText(salt[:], r.From), r.To)
	commitment := sha256.Sum256(opening)
	data = binary.AppendVarint([]byte{byte(RenameLeaf)}, now.UnixMilli())
	return append(append(data, subjects[r.Subject]), commitment[:]...), opening
}

// open reads the names, if the leaf is what the tree has and commits to them.
// Erased names are no error; the rename is zero then.
func (s StoredRename) open() (Rename, error) {
	d := reader{rest: s.Data}
	kind, _, subject := Kind(d.take(1)[0]), d.varint(), d.take(1)[0]
	commitment := d.take(sha256.Size)
	if d.bad || len(d.rest) > 0 || kind != RenameLeaf || tlog.RecordHash(s.Data) != s.Hash {
		return Rename{}, errNotRename
	}
	if s.Opening == nil {
		return Rename{}, nil
	}
	if sha256.Sum256(s.Opening) != [sha256.Size]byte(commitment) || len(s.Opening) < len(Salt{}) {
		return Rename{}, errNotRename
	}
	var r Rename
	for name, value := range subjects {
		if value == subject {
			r.Subject = name
		}
	}
	o := reader{rest: s.Opening[len(Salt{}):]}
	if r.From, r.To = o.text(), o.text(); o.bad || len(o.rest) > 0 || r.Subject == "" {
		return Rename{}, errNotRename
	}
	return r, nil
}

var errNotRename = errors.New("a rename is not what was sealed")

// SealRenames enters renames into the log, in the order in which they were
// done. Executions that were sealed before keep the owner's former id in their
// ledger entries. As with SealChanges, the renames must be gone from the store when
// the transaction commits.
func SealRenames(ctx context.Context, book Book, renames []Rename, now time.Time, random io.Reader) error {
	s := &sealer{book: book, random: random, pages: map[int64]*openPage{}}
	var err error
	if s.size, err = book.Size(ctx); err != nil {
		return fmt.Errorf("seal renames: %w", err)
	}
	for _, r := range renames {
		if err := s.addRename(ctx, r, now); err != nil {
			return fmt.Errorf("seal renames: %w", err)
		}
	}
	return s.write(ctx)
}

func (s *sealer) addRename(ctx context.Context, r Rename, now time.Time) error {
	leaf := s.size + int64(len(s.hashes))
	page, err := s.lastPage(ctx)
	if err != nil {
		return err
	}
	var salt Salt
	if _, err := io.ReadFull(s.random, salt[:]); err != nil {
		return err
	}
	data, opening := newRename(r, now, salt)
	hash := tlog.RecordHash(data)
	page.append(Entry{})
	s.hashes = append(s.hashes, hash)
	s.written.Renames = append(s.written.Renames, StoredRename{Leaf: leaf, Data: data, Opening: opening, Hash: hash})
	return nil
}

// RenameReader reads renames; every Snapshot is one.
type RenameReader interface {
	// Renames lists those in the log, in the order of their ledger entries.
	Renames(ctx context.Context, part Range) ([]StoredRename, error)
	// PendingRenames lists those not in the log yet, in their order.
	PendingRenames(ctx context.Context) ([]Rename, error)
}

// renames are those that are authentic, with what they are looked up by.
type renames struct {
	all     []sealedRename // the newest first
	byOwner map[owner][]int
}

type sealedRename struct {
	Rename
	leaf int64
}

// owner is a user or a strategy by an id that it has or had.
type owner struct {
	subject sandtrail.Subject
	id      string
}

// pendingLeaf is in place of the leaf of a rename that is not in the log yet:
// behind all others.
const pendingLeaf = 1<<63 - 1

// readRenames reads renames. Those that are not what was sealed go to bad.
func readRenames(ctx context.Context, src RenameReader, bad func(StoredRename)) (renames, error) {
	stored, err := src.Renames(ctx, Range{})
	if err != nil {
		return renames{}, err
	}
	var all []sealedRename
	for _, s := range stored {
		r, err := s.open()
		if err != nil {
			bad(s)
			continue
		}
		all = append(all, sealedRename{r, s.Leaf})
	}
	pending, err := src.PendingRenames(ctx)
	for _, r := range pending {
		all = append(all, sealedRename{r, pendingLeaf})
	}
	return newRenames(all), err
}

// newRenames takes renames in the order in which they were done.
func newRenames(all []sealedRename) renames {
	slices.Reverse(all)
	r := renames{all, map[owner][]int{}}
	for i, rename := range all {
		from, to := owner{rename.Subject, rename.From}, owner{rename.Subject, rename.To}
		r.byOwner[from] = append(r.byOwner[from], i)
		r.byOwner[to] = append(r.byOwner[to], i)
	}
	return r
}

// at is the id that an owner had when a leaf was sealed. It is not known for an
// owner that took its id later, when another one had left it.
func (r renames) at(leaf int64, o owner) (id string, known bool) {
	for after := -1; ; {
		touching := r.byOwner[o]
		i, _ := slices.BinarySearch(touching, after+1)
		if i == len(touching) || r.all[touching[i]].leaf <= leaf {
			return o.id, true
		}
		after = touching[i]
		if r.all[after].To != o.id {
			return "", false
		}
		o.id = r.all[after].From
	}
}

// sealedAs gives a record the owners under which it was sealed, and reports
// whether it then is what was sealed. If not, it keeps its owners, and the
// fields are those in which it differs.
func (r renames) sealedAs(l leaf, record *sandtrail.Execution, buf []byte) (same bool, fields []string, _ []byte) {
	if len(r.all) == 0 {
		return l.entry.compare(record, l.hash, buf)
	}
	user, strategy := record.UserID, record.StrategyID
	formerUser, knowsUser := r.at(l.index, owner{sandtrail.Users, user})
	formerStrategy, knowsStrategy := r.at(l.index, owner{sandtrail.Strategies, strategy})
	record.UserID, record.StrategyID = formerUser, formerStrategy
	same, fields, buf = l.entry.compare(record, l.hash, buf)
	if !same || !knowsUser || !knowsStrategy {
		record.UserID, record.StrategyID = user, strategy
		return false, fields, buf
	}
	return true, nil, buf
}

// SpentRenames lists the ledger entries of those renames whose names nothing stored
// needs any more: the owner that they lead to does not exist. Their openings can
// be erased.
func SpentRenames(stored []StoredRename, exists func(subject sandtrail.Subject, id string) bool) (leaves []int64) {
	needed := map[Rename]bool{} // by what they lead to, without From
	for _, s := range slices.Backward(stored) {
		r, err := s.open()
		if err != nil || s.Opening == nil {
			continue
		}
		to := Rename{Subject: r.Subject, To: r.To}
		if needed[to] || exists(r.Subject, r.To) {
			needed[Rename{Subject: r.Subject, To: r.From}] = true
		} else {
			leaves = append(leaves, s.Leaf)
		}
	}
	return leaves
}
