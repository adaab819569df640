package ledger

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
)

// exported makes an export of n records and its manifest.
func exported(t *testing.T, n int, keys Keys) (file []byte, m Manifest) {
	t.Helper()
	r := rand.New(rand.NewPCG(19, 19))
	store := newMemory()
	for range n {
		store.add(sample(r))
	}
	sealed := store.seal(t, r)
	service := Service{Log: store, Keys: keys}
	for _, id := range store.order {
		e := store.records[id]
		refs, err := service.LeafRefs(t.Context(), []sandtrail.Execution{e})
		check(t, err)
		file, err = AppendExported(file, e, refs[0])
		check(t, err)
	}
	return file, Manifest{
		Origin: keys.Origin(), Format: "ndjson", Records: int64(n), SHA256: sha256.Sum256(file), Size: sealed.Size, Root: sealed.Root, At: now,
	}
}

func TestExport(t *testing.T) {
	keys := testKeys(t)
	file, m := exported(t, 300, keys)
	signed, err := keys.SignManifest(m)
	check(t, err)
	opened, err := keys.OpenManifest(signed)
	check(t, err)
	if opened != m {
		t.Errorf("opened %+v, want %+v", opened, m)
	}
	lines := bytes.SplitAfter(file, []byte("\n"))
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"as it was":       {file, ""},
		"a field":         {bytes.Replace(file, []byte(`"errorCount":`), []byte(`"errorCount":1`), 1), "altered altered"},
		"without a tail":  {bytes.Join(lines[:200], nil), "truncated altered"},
		"a line repeated": {append(bytes.Clone(lines[0]), file...), "truncated altered"},
		"not sealed":      {[]byte("{}\n"), "truncated altered"},
		"no records":      {[]byte("[]\nx\n"), "altered altered truncated altered"},
	} {
		t.Run(name, func(t *testing.T) {
			var found []string
			_, err := VerifyExport(bytes.NewReader(c.file), opened, func(f Finding) { found = append(found, string(f.Kind)) })
			check(t, err)
			if got := strings.Join(found, " "); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func TestManifestsAreNoCheckpoints(t *testing.T) {
	keys := testKeys(t)
	_, m := exported(t, 3, keys)
	signed, err := keys.SignManifest(m)
	check(t, err)
	if c, err := keys.Open(signed); err == nil {
		t.Errorf("a manifest is taken for the checkpoint %+v", c)
	}
	checkpoint, err := keys.Sign(m.Size, m.Root)
	check(t, err)
	for name, text := range map[string]string{
		"a checkpoint":    string(checkpoint),
		"another number":  strings.Replace(string(signed), "records 3", "records 4", 1),
		"another log":     strings.Replace(string(signed), m.Origin, "example.com/other", 1),
		"no signature":    m.text(),
		"nothing at all":  "",
		"a number spaced": strings.Replace(string(signed), "records 3", "records  3", 1),
	} {
		if got, err := keys.OpenManifest([]byte(text)); err == nil {
			t.Errorf("%s: opened %+v", name, got)
		}
	}
}
