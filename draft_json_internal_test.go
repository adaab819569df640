package sandtrail

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzObjectMembers compares with encoding/json what an object is split into.
func FuzzObjectMembers(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { "a" : 1 , "b" : [ 1 , { } ] } `, `{"a\"\\":"\"}","b":{"c":"]"},"d":-1.5e3,"e":true,"f":null}`, `{"\u0061":1,"a":2}`,
		`[]`, `null`, `{"a":1}x`, `{"a"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) {
			return // refused before
		}
		members, err := objectMembers(text)
		var want map[string]json.RawMessage
		if wantErr := json.Unmarshal(text, &want); wantErr != nil || want == nil {
			if err == nil {
				t.Fatalf("%q was taken: %v", text, wantErr)
			}
			return
		}
		if err != nil {
			return // a repeated name, which TestDraftJSONRefuses has
		}
		if len(members) != len(want) {
			t.Fatalf("%q: got %d members, want %d", text, len(members), len(want))
		}
		for _, m := range members {
			if value, found := want[m.name]; !found || string(value) != string(m.value) {
				t.Fatalf("%q: %q is %q, want %q", text, m.name, m.value, value)
			}
		}
	})
}
