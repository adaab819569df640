package sandtrail_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/follow"
)

// tagged has the fields of an execution and their tags, without its method.
type tagged sandtrail.Execution

func encodable() map[string]sandtrail.Execution {
	name, cpu, mib := "Zoë \u2028 <b>", 0.1, 34
	whole := sandtrail.Execution{
		ID: sandtrail.NewID(noon), UserID: `a"b\c` + "\n", StrategyID: "日本 \xff", Type: sandtrail.Validation, Success: true, ExecutionTime: 1,
		MemoryUsed: &mib, CPUUsage: &cpu, TimedOut: true, ErrorCount: 2, WarningCount: 3, Classes: []string{"A", "<B>&"},
		Metadata: json.RawMessage(`{"a": [1, "<&>"]}`), CreatedAt: noon.Add(120 * time.Millisecond),
		User: &sandtrail.User{ID: "u", Email: "u@example.com", Name: &name}, Strategy: &sandtrail.Strategy{ID: "s", Name: "S"},
	}
	bare := sandtrail.Execution{CreatedAt: noon}
	nobody := whole
	nobody.User, nobody.Classes, nobody.CPUUsage = &sandtrail.User{ID: "u"}, []string{}, new(1e-9)
	zoned := whole
	zoned.CreatedAt = noon.In(time.FixedZone("", 3600))
	return map[string]sandtrail.Execution{"whole": whole, "bare": bare, "no names": nobody, "in a zone": zoned}
}

// TestExecutionIsWrittenAsItsTagsSay compares with what package json makes of
// the fields.
func TestExecutionIsWrittenAsItsTagsSay(t *testing.T) {
	for name, e := range encodable() {
		for how, encode := range map[string]func(any) ([]byte, error){"EncodeJSON": sandtrail.EncodeJSON, "json.Marshal": json.Marshal} {
			want, err := encode(tagged(e))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := encode(e); err != nil || string(got) != string(want) {
				t.Errorf("%s, %s: %v\n%s\nwant\n%s", name, how, err, got, want)
			}
		}
	}
	if _, err := sandtrail.EncodeJSON(sandtrail.Execution{Metadata: json.RawMessage("{")}); err == nil {
		t.Error("metadata that is no JSON is written")
	}
}

// TestWhatEmbedsAnExecutionKeepsItsFields encodes what an execution is a part
// of.
func TestWhatEmbedsAnExecutionKeepsItsFields(t *testing.T) {
	for name, e := range encodable() {
		followed := follow.Followed{Execution: e, Place: "the-place"}
		raw, err := sandtrail.EncodeJSON(followed)
		if err != nil || !strings.Contains(string(raw), `"the-place"`) {
			t.Errorf("%s: %v: %s", name, err, raw)
		}
		var back follow.Followed
		if err := json.Unmarshal(raw, &back); err != nil || back.Place != followed.Place || back.ID != e.ID || !back.CreatedAt.Equal(e.CreatedAt) {
			t.Errorf("%s: %v: %+v", name, err, back)
		}
	}
	if n := reflect.TypeFor[follow.Followed]().NumField(); n != 2 {
		t.Errorf("a followed execution has %d fields, of which 2 are written", n)
	}
}

func BenchmarkMarshalExecution(b *testing.B) {
	e := sandtrail.Execution{
		ID: sandtrail.NewID(noon), UserID: "user-1", StrategyID: "strategy-1", Type: sandtrail.Validation, CreatedAt: noon,
		Metadata: json.RawMessage(`{"run":{"command":"python3 strategy.py","exitCode":0},"errors":[{"severity":"error","message":"` + strings.Repeat("x", 300) + `"}]}`),
	}
	for name, value := range map[string]any{"execution": e, "tags alone": tagged(e)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sandtrail.EncodeJSON(value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
