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

// StoredRename is the leaf of a rename and what opens it. The leaf only commits
// to the names, so that they can be erased.
type StoredRename struct {
	Leaf    int64
	Data    []byte // of the leaf
	Opening []byte // nil: the names are erased
	Hash    Hash   // that the tree has for the leaf
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
// done. Records that were sealed before keep the owner's former id in their
// leaves. As with SealChanges, the renames must be gone from the journal when
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
	// Renames lists those in the log, in the order of their leaves.
	Renames(ctx context.Context) ([]StoredRename, error)
	// PendingRenames lists those not in the log yet, in their order.
	PendingRenames(ctx context.Context) ([]Rename, error)
}

// renames are those that are authentic, the newest first, with their leaves.
type renames []struct {
	Rename
	leaf int64
}

// pendingLeaf is in place of the leaf of a rename that is not in the log yet:
// behind all others.
const pendingLeaf = 1<<63 - 1

// readRenames reads renames. Those that are not what was sealed go to bad.
func readRenames(ctx context.Context, src RenameReader, bad func(StoredRename)) (all renames, err error) {
	stored, err := src.Renames(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range stored {
		r, err := s.open()
		if err != nil {
			bad(s)
			continue
		}
		all = append(all, struct {
			Rename
			leaf int64
		}{r, s.Leaf})
	}
	pending, err := src.PendingRenames(ctx)
	for _, r := range pending {
		all = append(all, struct {
			Rename
			leaf int64
		}{r, pendingLeaf})
	}
	slices.Reverse(all)
	return all, err
}

// before lists what an owner may have been called when a leaf was sealed, the
// present id first.
func (all renames) before(subject sandtrail.Subject, id string, leaf int64) []string {
	names := []string{id}
	for _, r := range all {
		if r.leaf <= leaf {
			break
		}
		if r.Subject == subject && r.To == id {
			id = r.From
			names = append(names, id)
		}
	}
	return names
}

// sealedAs gives a record the owners under which it was sealed, and reports
// whether it then is what was sealed. If not, it is left as it is, and the
// fields are those in which it differs most likely.
func (all renames) sealedAs(l leaf, record *sandtrail.Execution, buf []byte) (same bool, fields []string, _ []byte) {
	same, fields, buf = l.entry.compare(record, l.hash, buf)
	if same || len(all) == 0 {
		return same, fields, buf
	}
	user, strategy := record.UserID, record.StrategyID
	for _, u := range all.before(sandtrail.Users, user, l.index) {
		for _, s := range all.before(sandtrail.Strategies, strategy, l.index) {
			record.UserID, record.StrategyID = u, s
			var differing []string
			if same, differing, buf = l.entry.compare(record, l.hash, buf); same {
				return true, nil, buf
			}
			if len(differing) < len(fields) {
				fields = differing
			}
		}
	}
	record.UserID, record.StrategyID = user, strategy
	return false, fields, buf
}

// SpentRenames lists the leaves of those renames whose names nothing stored
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
