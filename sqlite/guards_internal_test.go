package sqlite

import "testing"

func TestMadeDigest(t *testing.T) {
	made, err := madeGuards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := digest(made); got != madeDigest {
		t.Errorf("the migrations make triggers and indexes with the digest %s: say so in madeDigest, which is %s", got, madeDigest)
	}
}
