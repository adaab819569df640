package ledger

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/sandtrail/sandtrail"
)

// TestInOrder stores and deletes a few executions over and over, and seals parts
// of the changes in the order of their commits, whatever has happened since. In
// the end each stored execution has its one entry.
func TestInOrder(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 18))
		m := newMemory()
		executions := make([]sandtrail.Execution, 3)
		for i := range executions {
			executions[i] = sample(r)
		}
		for range 40 {
			switch e := executions[r.IntN(len(executions))]; {
			case r.IntN(3) == 0:
				m.sealSome(t, r, r.IntN(len(m.journal)+1))
			case m.records[e.ID].ID == e.ID:
				m.remove(e.ID, "delete")
			default:
				e.ErrorCount = r.IntN(100)
				m.add(e)
			}
		}
		m.sealSome(t, r, len(m.journal))
		sum, err := Verify(t.Context(), m, Verification{Report: func(f Finding) { t.Errorf("seed %d: %+v", seed, f) }})
		if err != nil || int(sum.Intact) != len(m.records) || sum.Unsealed != 0 {
			t.Fatalf("seed %d: %+v, %v; %d are stored", seed, sum, err, len(m.records))
		}
	}
}

// sealSome seals the first changes of the journal.
func (m *memory) sealSome(t *testing.T, r *rand.Rand, n int) {
	t.Helper()
	sealed, err := SealChanges(context.Background(), m, InOrder(m.journal[:n]), now, randomBytes{r})
	check(t, err)
	m.journal, m.size = m.journal[n:], sealed.Size
}
