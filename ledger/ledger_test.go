package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
)

func TestRecordRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		want := sample(r)
		got, err := DecodeRecord(EncodeRecord(want))
		check(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	}
}

// TestEncodingTellsApart: what a record says decides its encoding, and nothing
// else does.
func TestEncodingTellsApart(t *testing.T) {
	base := func() sandtrail.Execution { return sandtrail.Execution{CreatedAt: now} }
	tests := map[string]struct {
		change func(*sandtrail.Execution)
		same   bool
	}{
		"null and zero memory":           {func(e *sandtrail.Execution) { e.MemoryUsed = ptr(0) }, false},
		"null and zero CPU":              {func(e *sandtrail.Execution) { e.CPUUsage = ptr(0.0) }, false},
		"null and no classes":            {func(e *sandtrail.Execution) { e.Classes = []string{} }, false},
		"null and empty metadata":        {func(e *sandtrail.Execution) { e.Metadata = json.RawMessage(`{}`) }, false},
		"text moved from field to field": {func(e *sandtrail.Execution) { e.UserID = "\x00" }, false},
		"CPU that is not a number":       {func(e *sandtrail.Execution) { e.CPUUsage = ptr(math.NaN()) }, false},
		"the owners' names":              {func(e *sandtrail.Execution) { e.User = &sandtrail.User{ID: "u"} }, true},
		"another zone":                   {func(e *sandtrail.Execution) { e.CreatedAt = e.CreatedAt.Local() }, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			changed := base()
			tt.change(&changed)
			if got := bytes.Equal(EncodeRecord(base()), EncodeRecord(changed)); got != tt.same {
				t.Errorf("same encoding: %v, want %v", got, tt.same)
			}
		})
	}
	spaced, compact := base(), base()
	spaced.Metadata, compact.Metadata = json.RawMessage("{ \"a \\\" b\":\t1 }\n"), json.RawMessage(`{"a \" b":1}`)
	if !bytes.Equal(EncodeRecord(spaced), EncodeRecord(compact)) {
		t.Error("blanks around JSON change the encoding")
	}
}

// vector is one line of testdata/vectors.json, for other implementations.
type vector struct {
	Record  sandtrail.Execution `json:"record"`
	Salt    []byte              `json:"salt"`
	Encoded []byte              `json:"encoded"`
	Checks  []byte              `json:"checks"`
	Leaf    []byte              `json:"leafHash"`
}

func TestVectors(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	check(t, err)
	var vectors []vector
	check(t, json.Unmarshal(raw, &vectors))
	for i, v := range vectors {
		entry, hash := Seal(v.Record, Salt(v.Salt))
		got := vector{v.Record, v.Salt, EncodeRecord(v.Record), entry.Checks[:], hash[:]}
		if diff := cmp.Diff(v, got); diff != "" {
			t.Errorf("vector %d (-want +got)\n%s", i, diff)
		}
	}
	if len(vectors) < 3 {
		t.Errorf("only %d vectors", len(vectors))
	}
}

func TestRemovalRoundTrip(t *testing.T) {
	want := Removal{At: now, Reason: "retention", By: "sandtrail", Unsealed: 3, Leaves: Spans([]int64{9, 7, 8, 2, 2, 1 << 40})}
	got, err := ParseRemoval(want.Marshal())
	check(t, err)
	if diff := cmp.Diff(want, got); diff != "" || want.Count() != 8 {
		t.Errorf("count %d, want 8; (-want +got)\n%s", want.Count(), diff)
	}
}

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 4 {
		f.Add(EncodeRecord(sample(r)))
	}
	f.Add(Removal{At: now, Reason: "user", Leaves: []Span{{1, 5}, {9, 9}}}.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := DecodeRecord(b); err == nil && !bytes.Equal(EncodeRecord(e), b) {
			t.Error("a record decodes from bytes that it does not encode to")
		}
		if r, err := ParseRemoval(b); err == nil && !bytes.Equal(r.Marshal(), b) {
			t.Error("a removal parses from bytes that it does not marshal to")
		}
		if p, err := parsePage(b); err == nil && !bytes.Equal(p.marshal(), b) && len(b) > 0 {
			t.Error("a page parses from bytes that it does not marshal to")
		}
	})
}

// rfc6962 are the leaves and roots of the tests of the Certificate
// Transparency reference implementation.
var rfc6962 = []struct{ leaf, root string }{
	{"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
	{"\x00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
	{"\x10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
	{"\x20\x21", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
	{"\x30\x31", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
	{"\x40\x41\x42\x43", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
	{"\x50\x51\x52\x53\x54\x55\x56\x57", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
	{"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
}

func TestPublishedVectors(t *testing.T) {
	tiles := map[TileID][]byte{}
	read := func(id TileID) ([]byte, error) { return tiles[id], nil }
	var tree frontier
	for i, v := range rfc6962 {
		leaf := tlog.RecordHash([]byte(v.leaf))
		root, changed, err := Append(int64(i), []Hash{leaf}, read)
		check(t, err)
		for id, hashes := range changed {
			tiles[id] = hashes
		}
		tree.add(leaf)
		for how, got := range map[string]Hash{"tiles": root, "frontier": tree.root()} {
			if fmt.Sprintf("%x", got[:]) != v.root {
				t.Errorf("%s: root of %d leaves = %x, want %s", how, i+1, got[:], v.root)
			}
		}
	}
}

// TestTree grows a tree in steps of random size past two tile levels, and
// proves and checks throughout with the library's own checker.
func TestTree(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	tiles := map[TileID][]byte{}
	read := func(id TileID) ([]byte, error) { return tiles[id], nil }
	var tree frontier
	var leaves []Hash
	older := Checkpoint{Root: emptyRoot}
	for tree.size < 70_000 {
		batch := make([]Hash, 1+r.IntN(9000))
		for i := range batch {
			batch[i] = tlog.RecordHash(fmt.Append(nil, tree.size))
			tree.add(batch[i])
		}
		root, changed, err := Append(int64(len(leaves)), batch, read)
		check(t, err)
		for id, hashes := range changed {
			tiles[id] = hashes
		}
		leaves = append(leaves, batch...)
		if root != tree.root() {
			t.Fatalf("roots of %d leaves differ", tree.size)
		}
		newer := Checkpoint{Size: tree.size, Root: root}
		at := r.Int64N(tree.size)
		proof, err := ProveInclusion(tree.size, at, read)
		check(t, err)
		check(t, tlog.CheckRecord(proof, tree.size, root, at, leaves[at]))
		if older.Size > 0 {
			proof, err = ProveConsistency(newer.Size, older.Size, read)
			check(t, err)
			check(t, CheckConsistency(proof, newer, older))
			forked := older
			forked.Root[0] ^= 1
			if CheckConsistency(proof, newer, forked) == nil {
				t.Fatal("a fork passes as consistent")
			}
		}
		older = newer
	}
	if _, err := Root(tree.size+BlockLeaves, read); err == nil {
		t.Error("the root of more leaves than there are is no error")
	}
}

func TestTilePaths(t *testing.T) {
	tests := []struct {
		id    TileID
		width int
		path  string
	}{
		{TileID{0, 0}, 256, "tile/0/000"},
		{TileID{1, 67}, 3, "tile/1/067.p/3"},
		{TileID{0, 1234067}, 256, "tile/0/x001/x234/067"},
		{TileID{2, 1000000}, 1, "tile/2/x001/x000/000.p/1"},
	}
	for _, tt := range tests {
		if got := tt.id.Path(tt.width); got != tt.path {
			t.Errorf("path of %+v = %s, want %s", tt.id, got, tt.path)
		}
		id, width, err := ParseTilePath(tt.path)
		if err != nil || id != tt.id || width != tt.width {
			t.Errorf("ParseTilePath(%s) = %+v, %d, %v", tt.path, id, width, err)
		}
	}
	for _, bad := range []string{
		"", "tile/0", "tile/0/1", "tile/0/x1/000", "tile/0/001/000", "tile/0/000.p/0",
		"tile/0/000.p/256", "tile/0/000.p/257", "tile/64/000", "tile/-1/000", "tile/0/x000/000", "tile/8/0/000",
	} {
		if _, _, err := ParseTilePath(bad); err == nil {
			t.Errorf("%q is taken for a tile", bad)
		}
	}
}

func FuzzTilePath(f *testing.F) {
	f.Add("tile/0/x001/234.p/7")
	f.Fuzz(func(t *testing.T, path string) {
		if id, width, err := ParseTilePath(path); err == nil && id.Path(width) != path {
			t.Errorf("%q parses to another path's tile", path)
		}
	})
}

func testKeys(t testing.TB) Keys {
	t.Helper()
	keys, err := GenerateKeys(randomBytes{rand.New(rand.NewPCG(4, 4))}, "example.com/audit")
	check(t, err)
	return keys
}

func TestKeyRotation(t *testing.T) {
	first := testKeys(t)
	second, err := first.Rotate(randomBytes{rand.New(rand.NewPCG(5, 5))})
	check(t, err)
	third, err := second.Rotate(randomBytes{rand.New(rand.NewPCG(6, 6))})
	check(t, err)
	text, err := third.MarshalText()
	check(t, err)
	reread, err := ParseKeys(text)
	check(t, err)
	if diff := cmp.Diff(third.Public(), reread.Public()); diff != "" {
		t.Errorf("public keys after writing and reading (-want +got)\n%s", diff)
	}

	want := Checkpoint{Origin: "example.com/audit", Size: 7, Root: emptyRoot}
	sign := func(k Keys) []byte {
		signed, err := k.Sign(want.Size, want.Root)
		check(t, err)
		return signed
	}
	tests := map[string]struct {
		by    []byte
		known Keys
		ok    bool
	}{
		"the first key's, after two rotations":   {sign(first), reread, true},
		"the second's, known by the first alone": {sign(second), first, true},
		"the third's, known by the first alone":  {sign(third), first, false},
		"the third's, known by the second":       {sign(third), second, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tt.known.Open(tt.by)
			if (err == nil) != tt.ok || (err != nil && !errors.Is(err, ErrSignature)) {
				t.Fatalf("error %v, want success: %v", err, tt.ok)
			}
			if tt.ok && got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestCheckpointFaults(t *testing.T) {
	keys := testKeys(t)
	forge := func(text string) []byte {
		signed, err := note.Sign(&note.Note{Text: text}, keys.signers...)
		check(t, err)
		return signed
	}
	root := "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	good, err := keys.Sign(7, emptyRoot)
	check(t, err)
	tests := map[string][]byte{
		"no note":            []byte("hello\n"),
		"size changed":       bytes.Replace(good, []byte("\n7\n"), []byte("\n8\n"), 1),
		"of another log":     forge("example.com/other\n7\n" + root + "\n"),
		"negative size":      forge("example.com/audit\n-7\n" + root + "\n"),
		"size with a zero":   forge("example.com/audit\n07\n" + root + "\n"),
		"root hash cut":      forge("example.com/audit\n7\n" + root[:8] + "\n"),
		"root hash missing":  forge("example.com/audit\n7\n"),
		"nothing but origin": forge("example.com/audit\n"),
	}
	for name, signed := range tests {
		t.Run(name, func(t *testing.T) {
			if c, err := keys.Open(signed); err == nil {
				t.Errorf("opened as %+v", c)
			}
		})
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.key")
	made, err := EnsureKeys(path, "example.com/audit")
	check(t, err)
	again, err := EnsureKeys(path, "ignored.example.com")
	check(t, err)
	if diff := cmp.Diff(made.Public(), again.Public()); diff != "" {
		t.Errorf("a second start makes another key\n%s", diff)
	}
	rotated, err := again.Rotate(randomBytes{rand.New(rand.NewPCG(5, 5))})
	check(t, err)
	check(t, WriteKeys(path, rotated, (*durable.File).Replace))
	reread, err := LoadKeys(path)
	check(t, err)
	if len(reread.Public()) != 2 {
		t.Errorf("%d public keys after a rotation, want 2", len(reread.Public()))
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".ledger-key-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	check(t, os.Chmod(path, 0o644))
	if _, err := LoadKeys(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: error %v, want advice to chmod 600", err)
	}
}

func TestKeysMalformed(t *testing.T) {
	other, err := GenerateKeys(randomBytes{rand.New(rand.NewPCG(6, 6))}, "example.com/other")
	check(t, err)
	secret := testKeys(t).private[0]
	tests := map[string]string{
		"empty":          "",
		"no private key": testKeys(t).Public()[0],
		"cut short":      secret[:len(secret)-6],
		"two logs":       secret + "\n" + other.private[0],
		"not a key":      secret + "\nhello",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseKeys([]byte(text))
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "PRIVATE+KEY+example") {
				t.Errorf("the error quotes the private key: %v", err)
			}
		})
	}
}

func TestReceipt(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	m, keys := newMemory(), testKeys(t)
	for range 300 {
		m.add(sample(r))
	}
	m.seal(t, r)
	id := m.order[17]
	e := m.records[id]
	e.User = &sandtrail.User{ID: e.UserID, Email: "ada@example.com"}
	m.records[id] = e
	service := Service{Log: m, Keys: keys}
	receipt, err := service.Receipt(t.Context(), m.records[id], now)
	check(t, err)
	raw, err := json.Marshal(receipt)
	check(t, err)
	if bytes.Contains(raw, []byte("ada@example.com")) {
		t.Error("the receipt tells the user's e-mail, which it does not prove")
	}

	got, c, err := VerifyReceipt(raw, keys.Verifiers)
	check(t, err)
	e.User = nil
	if diff := cmp.Diff(e, got); diff != "" || c.Size != 300 {
		t.Errorf("size %d, want 300; record (-want +got)\n%s", c.Size, diff)
	}

	stranger, err := GenerateKeys(randomBytes{r}, "example.com/audit")
	check(t, err)
	if _, _, err := VerifyReceipt(raw, stranger.Verifiers); !errors.Is(err, ErrSignature) {
		t.Errorf("by a stranger's key: %v, want ErrSignature", err)
	}
	tests := map[string]func(*Receipt){
		"other type":        func(r *Receipt) { r.Type = "x" },
		"record changed":    func(r *Receipt) { r.Record.ExecutionTime++ },
		"leaf moved":        func(r *Receipt) { r.Leaf++ },
		"leaf out of tree":  func(r *Receipt) { r.Leaf = 300 },
		"leaf negative":     func(r *Receipt) { r.Leaf = -1 },
		"data changed":      func(r *Receipt) { r.Data[20] ^= 1 },
		"data cut":          func(r *Receipt) { r.Data = r.Data[:3] },
		"proof cut":         func(r *Receipt) { r.Proof = r.Proof[1:] },
		"hash cut":          func(r *Receipt) { r.Proof[0] = r.Proof[0][1:] },
		"checkpoint forged": func(r *Receipt) { r.Checkpoint = strings.Replace(r.Checkpoint, "300", "301", 1) },
	}
	for name, forge := range tests {
		t.Run(name, func(t *testing.T) {
			var forged Receipt
			check(t, json.Unmarshal(raw, &forged))
			forge(&forged)
			text, err := json.Marshal(forged)
			check(t, err)
			if _, _, err := VerifyReceipt(text, keys.Verifiers); err == nil {
				t.Error("a forged receipt verifies")
			}
		})
	}
}

func (m *memory) entry(t *testing.T, id sandtrail.ID) (Entry, int64) {
	t.Helper()
	found, err := locate(context.Background(), m, []sandtrail.Execution{m.records[id]})
	check(t, err)
	return found[id].entry, found[id].leaf
}

func TestService(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	m, keys := newMemory(), testKeys(t)
	service := Service{Log: m, Keys: keys}
	empty, err := service.Checkpoint(t.Context(), now)
	check(t, err)
	for range 300 {
		m.add(sample(r))
	}
	id := m.order[0]
	if _, err := service.Proof(t.Context(), m.records[id], now); !errors.Is(err, sandtrail.CodeNotFound) {
		t.Errorf("proof of an unsealed record: %v, want CodeNotFound", err)
	}
	m.seal(t, r)
	signed, err := service.Checkpoint(t.Context(), now)
	check(t, err)
	again, err := service.Checkpoint(t.Context(), now)
	check(t, err)
	if bytes.Equal(empty, signed) || !bytes.Equal(signed, again) || len(m.checkpoints) != 2 {
		t.Errorf("%d checkpoints for two sizes of the log", len(m.checkpoints))
	}

	proof, err := service.Proof(t.Context(), m.records[id], now)
	check(t, err)
	c, err := keys.Open([]byte(proof.Checkpoint))
	check(t, err)
	var path tlog.RecordProof
	for _, hash := range proof.Proof {
		path = append(path, Hash(hash))
	}
	check(t, tlog.CheckRecord(path, c.Size, c.Root, proof.Leaf, Hash(proof.Hash)))

	for path, size := range map[string]int{"tile/0/000": 256 * 32, "tile/0/001.p/44": 44 * 32, "tile/0/001.p/7": 7 * 32, "tile/1/000.p/1": 32} {
		tile, err := service.Tile(t.Context(), path)
		if err != nil || len(tile) != size {
			t.Errorf("%s: %d bytes, want %d; error %v", path, len(tile), size, err)
		}
	}
	for _, path := range []string{"tile/0/001", "tile/0/002", "tile/x", "entries/0"} {
		if _, err := service.Tile(t.Context(), path); !errors.Is(err, sandtrail.CodeNotFound) {
			t.Errorf("%s: %v, want CodeNotFound", path, err)
		}
	}
	sum, err := VerifyLog(t.Context(), m, Verification{Trusted: keys.Verifiers})
	check(t, err)
	if sum.Intact != 300 || sum.Checkpoints != 2 || sum.FindingsN != 0 {
		t.Errorf("verified %+v", sum)
	}
}

// tileClient reads the log as a client written by others does: by C2SP paths,
// and checking every tile against the checkpoint.
type tileClient struct {
	fetch func(path string) ([]byte, error)
}

func (tileClient) Height() int { return tileHeight }

func (c tileClient) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		hashes, err := c.fetch(TileID{tile.L, tile.N}.Path(tile.W))
		if err != nil {
			return nil, err
		}
		data = append(data, hashes)
	}
	return data, nil
}

func (tileClient) SaveTiles([]tlog.Tile, [][]byte) {}

func TestTileClient(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 16))
	m, keys := newMemory(), testKeys(t)
	service := Service{Log: m, Keys: keys}
	for range 1000 {
		m.add(sample(r))
	}
	m.seal(t, r)
	signed, err := service.Checkpoint(t.Context(), now)
	check(t, err)
	verifier, err := note.NewVerifier(keys.Public()[0])
	check(t, err)
	opened, err := note.Open(signed, note.VerifierList(verifier))
	check(t, err)
	c, err := parseCheckpoint(opened.Text)
	check(t, err)
	client := tileClient{func(path string) ([]byte, error) { return service.Tile(t.Context(), path) }}
	reader := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, client)
	for _, leaf := range []int64{0, 255, 256, 700, 999} {
		proof, err := tlog.ProveRecord(c.Size, leaf, reader)
		check(t, err)
		hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, leaf)})
		check(t, err)
		check(t, tlog.CheckRecord(proof, c.Size, c.Root, leaf, hashes[0]))
	}

	m.tiles[TileID{0, 1}][5] ^= 1
	if _, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, 300)}); err == nil {
		t.Error("a client takes a tile that was changed")
	}
}

func FuzzReceipt(f *testing.F) {
	f.Add([]byte(`{"type":"sandtrail-receipt/v1","leaf":0,"data":"AQ==","proof":[],"checkpoint":""}`))
	keys := testKeys(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, _, err := VerifyReceipt(raw, keys.Verifiers); err == nil {
			t.Error("a receipt that nobody signed verifies")
		}
	})
}
