package ledger

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSaltsAreDestroyedOneByOne: each destroys one salt and keeps the others.
func TestSaltsAreDestroyedOneByOne(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 16))
	tree, err := newSalts(randomBytes{r})
	check(t, err)
	want := tree.salts(BlockLeaves)
	if unique := slices.Clone(want); len(slices.CompactFunc(unique, func(a, b Salt) bool { return a == b })) != BlockLeaves {
		t.Error("two leaves have the same salt")
	}
	for _, leaf := range r.Perm(BlockLeaves) {
		tree.destroy(leaf)
		want[leaf] = Salt{}
		tree.destroy(leaf) // again changes nothing
		parsed, err := parseSalts(tree.appendTo(nil))
		check(t, err)
		if !slices.Equal(parsed.salts(BlockLeaves), want) {
			t.Fatalf("after leaf %d was destroyed, the others' salts are not what they were", leaf)
		}
		for _, one := range []int{leaf, r.IntN(BlockLeaves)} {
			if parsed.salt(one) != want[one] {
				t.Fatalf("the salt of leaf %d alone is not the one of all", one)
			}
		}
	}
	if len(tree) != 0 {
		t.Errorf("%d seeds are left of nothing", len(tree))
	}
}

func TestFirstSalts(t *testing.T) {
	tree, err := newSalts(randomBytes{rand.New(rand.NewPCG(17, 17))})
	check(t, err)
	if short := tree.salts(3); !slices.Equal(short, tree.salts(BlockLeaves)[:3]) {
		t.Error("the first salts depend on how many are asked for")
	}
}
