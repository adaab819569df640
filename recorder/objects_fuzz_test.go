//go:build linux

package recorder

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzObjects compares the reader of objects in an output with encoding/json,
// and wants the outermost object of an output to be the verdict.
func FuzzObjects(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-2.5e3,true,null,"\u0041\\"],"b":{}}`, `{"a":NaN,"b":-Infinity}`, `{"a":}`, `{"a":[}`, "{\"a\":\"\x00\"}", `{"a" : [ ] , "c":01}`, `{{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) == 0 || text[0] != '{' || bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) >= maxDepth/2 {
			return
		}
		o, broken := readObject(text, 0)
		if broken != nil {
			if broken.at < 1 || broken.at > len(text) || broken.open < 0 {
				t.Fatalf("broken at %d of %d, %d open", broken.at, len(text), broken.open)
			}
			if json.Valid(text) {
				t.Errorf("JSON is taken for broken at %d", broken.at)
			}
			return
		}
		if !bytes.Contains(text, []byte("NaN")) && !bytes.Contains(text, []byte("Infinity")) && !json.Valid(text[:o.end]) {
			t.Errorf("%q is taken for JSON", text[:o.end])
		}
		// Whatever stands in an object that fails, it stays a failure.
		outer := append(append([]byte(`{"success":false,"errors":[],"x":`), text[:o.end]...), '}')
		if r, _ := findReport(outer, false); r == nil || r.Success {
			t.Errorf("%q became %+v", outer, r)
		}
	})
}
