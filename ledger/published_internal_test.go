package ledger

import (
	"testing"

	"github.com/sandtrail/sandtrail"
)

// TestOpenLinesAreBounded has a server place every line behind its first checkpoint,
// and show every record under owners that no rename accounts for.
func TestOpenLinesAreBounded(t *testing.T) {
	p := &publishedVerifier{late: map[int64]lateRecord{}, first: 1, open: 50}
	p.sum.Reasons = map[string]int64{}
	salt := make([]byte, len(Salt{}))
	e := sandtrail.Execution{UserID: "u", StrategyID: "s"}
	for leaf := range int64(60) {
		if err := p.place(e, &LeafRef{Leaf: 1 + leaf, Salt: salt}); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.late) != 50 || p.sum.Unsealed != 10 {
		t.Errorf("%d records are kept and %d counted, want 50 and 10", len(p.late), p.sum.Unsealed)
	}
	ref := LeafRef{Salt: salt, SealedAs: &Owners{"other", "s"}}
	hash, _ := ref.seal(e)
	p.first, p.hashes = 1000, sameHash(hash)
	p.late = map[int64]lateRecord{}
	for ref.Leaf = 1; ; ref.Leaf++ {
		err := p.place(e, &ref)
		if err != nil {
			if sandtrail.CodeOf(err) != sandtrail.CodeUnavailable || ref.Leaf != 51 {
				t.Errorf("after %d lines: %v", ref.Leaf, err)
			}
			return
		}
		if ref.Leaf > 51 {
			t.Fatal("renames without an account are kept without bound")
		}
	}
}

// sameHash are leaves that all have one hash.
type sameHash Hash

func (h sameHash) ReadAt(b []byte, _ int64) (int, error)  { return copy(b, h[:]), nil }
func (h sameHash) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
