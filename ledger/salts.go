package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// Salt hides an execution behind the hash of its ledger entry. It can be had only
// while the execution is stored.
type Salt [16]byte

// saltTree gives the salts of a block's leaves. It is a tree of seeds: the
// hash of each is the two below it, and those at the bottom are the salts. A
// salt is destroyed by keeping, in place of a seed above it, the seeds beside
// the way down to it: they give every other salt and not that one. So a salt
// costs a fraction of a byte until it is destroyed.
type saltTree []seed

// seed is a node of the tree: 1 is the root, 2n and 2n+1 are below n, and the
// salt of a leaf is the node BlockLeaves + its place.
type seed struct {
	node  uint16
	value Salt
}

func newSalts(random io.Reader) (saltTree, error) {
	root := seed{node: 1}
	if _, err := io.ReadFull(random, root.value[:]); err != nil {
		return nil, fmt.Errorf("random salt: %w", err)
	}
	return saltTree{root}, nil
}

// below gives the two seeds under one.
func (s seed) below() (left, right seed) {
	hash := sha256.Sum256(s.value[:])
	return seed{2 * s.node, Salt(hash[:16])}, seed{2*s.node + 1, Salt(hash[16:])}
}

// salts gives the first n salts; those destroyed are zero.
func (t saltTree) salts(n int) []Salt {
	salts := make([]Salt, n)
	for _, s := range t {
		s.fill(salts)
	}
	return salts
}

// salt gives the salt of one leaf, zero if it is destroyed.
func (t saltTree) salt(leaf int) Salt {
	target := uint16(BlockLeaves + leaf)
	for _, s := range t {
		if !s.isAbove(target) {
			continue
		}
		for s.node != target {
			left, right := s.below()
			if s = left; !s.isAbove(target) {
				s = right
			}
		}
		return s.value
	}
	return Salt{}
}

func (s seed) fill(salts []Salt) {
	if s.node >= BlockLeaves {
		if at := int(s.node) - BlockLeaves; at < len(salts) {
			salts[at] = s.value
		}
		return
	}
	if s.first() >= len(salts) {
		return
	}
	left, right := s.below()
	left.fill(salts)
	right.fill(salts)
}

// first is the place of the first leaf under a node.
func (s seed) first() int {
	node := s.node
	for node < BlockLeaves {
		node *= 2
	}
	return int(node) - BlockLeaves
}

// destroy makes the salt of a leaf impossible to get.
func (t *saltTree) destroy(leaf int) {
	target := uint16(BlockLeaves + leaf)
	i := slices.IndexFunc(*t, func(s seed) bool { return s.isAbove(target) })
	if i < 0 {
		return
	}
	above := (*t)[i]
	*t = slices.Delete(*t, i, i+1)
	for above.node != target {
		left, right := above.below()
		if left.isAbove(target) {
			above, *t = left, append(*t, right)
		} else {
			above, *t = right, append(*t, left)
		}
	}
}

// isAbove reports whether a node is under the seed, or the seed itself.
func (s seed) isAbove(node uint16) bool {
	for node > s.node {
		node /= 2
	}
	return node == s.node
}

const seedSize = 2 + len(Salt{})

func (t saltTree) appendTo(b []byte) []byte {
	for _, s := range t {
		b = binary.BigEndian.AppendUint16(b, s.node)
		b = append(b, s.value[:]...)
	}
	return b
}

func parseSalts(b []byte) (saltTree, error) {
	if len(b)%seedSize != 0 {
		return nil, fmt.Errorf("%w: %d bytes are not seeds of %d", ErrTorn, len(b), seedSize)
	}
	t := make(saltTree, 0, len(b)/seedSize)
	for ; len(b) > 0; b = b[seedSize:] {
		s := seed{binary.BigEndian.Uint16(b), Salt(b[2:])}
		if s.node == 0 || s.node >= 2*BlockLeaves {
			return nil, fmt.Errorf("%w: a seed has the place %d", ErrTorn, s.node)
		}
		t = append(t, s)
	}
	return t, nil
}
