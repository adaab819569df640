package ledger

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
)

// mustProve asks for a proof and follows it.
func mustProve(t *testing.T, s Service, e sandtrail.Execution) Checkpoint {
	t.Helper()
	p, err := s.Proof(t.Context(), e, now)
	check(t, err)
	c, err := s.Keys.Open([]byte(p.Checkpoint))
	check(t, err)
	var path tlog.RecordProof
	for _, hash := range p.Proof {
		path = append(path, Hash(hash))
	}
	check(t, tlog.CheckRecord(path, c.Size, c.Root, p.Leaf, Hash(p.Hash)))
	return c
}

// Proofs from memory are right while the log grows, across tiles and levels.
func TestProofsFromMemory(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 21))
	m := newMemory()
	s := Service{Log: m, Keys: testKeys(t), Memory: &Memory{}}
	for round, n := range []int{1, 254, 1, 1, 700, 3, 66_000, 5} {
		for range n {
			m.add(sample(r))
		}
		m.seal(t, r)
		newest := m.records[m.order[len(m.order)-1]]
		if c := mustProve(t, s, newest); c.Size != m.size {
			t.Errorf("round %d: a checkpoint of %d leaves of %d", round, c.Size, m.size)
		}
		for range 20 {
			mustProve(t, s, m.records[m.order[r.IntN(len(m.order))]])
		}
	}
	if signed := len(m.checkpoints); signed != 8 {
		t.Errorf("%d checkpoints were signed, want one each time that the last did not do", signed)
	}
}

// What is remembered of a log that was set back is forgotten.
func TestProofsOfALogThatWasSetBack(t *testing.T) {
	r := rand.New(rand.NewPCG(22, 22))
	m := newMemory()
	for range 300 {
		m.add(sample(r))
	}
	m.seal(t, r)
	before := m.copy()
	s := Service{Log: m, Keys: testKeys(t), Memory: &Memory{}}
	for _, history := range []*memory{m, before.copy(), before.copy()} {
		s.Log = history
		for range 300 {
			history.add(sample(r))
		}
		history.seal(t, r)
		for _, id := range history.order {
			mustProve(t, s, history.records[id])
		}
	}
}

// A receipt of a record that is not what was sealed would prove nothing.
func TestNoProofOfAnAlteredRecord(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 23))
	m := newMemory()
	for range 300 {
		m.add(sample(r))
	}
	m.seal(t, r)
	s := Service{Log: m, Keys: testKeys(t), Memory: &Memory{}}
	e := m.records[m.order[7]]
	e.ExecutionTime++
	_, proof := s.Proof(t.Context(), e, now)
	_, receipt := s.Receipt(t.Context(), e, now)
	for _, err := range []error{proof, receipt} {
		if sandtrail.CodeOf(err) != sandtrail.CodeConflict || !strings.Contains(err.Error(), "executionTime") {
			t.Errorf("%v, want a conflict that names executionTime", err)
		}
	}
	m.tiles[TileID{1, 0}][0] ^= 1
	if _, err := (Service{Log: m, Keys: s.Keys}).Proof(t.Context(), m.records[m.order[7]], now); err == nil {
		t.Error("a proof that does not lead to its checkpoint")
	} else if !errors.Is(err, ErrTorn) {
		t.Error(err)
	}
}
