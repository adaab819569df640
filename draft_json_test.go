package sandtrail_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
)

func TestDraftJSONRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"null":             {`null`, []string{""}},
		"an array":         {`[]`, []string{""}},
		"a string":         {`"x"`, []string{""}},
		"unknown field":    {`{"userID":"u"}`, []string{"userID"}},
		"field twice":      {`{"userId":"u","userId":"u"}`, []string{""}},
		"escaped twice":    {`{"userId":"u","user\u0049d":"v"}`, []string{""}},
		"nameless":         {`{"":1}`, []string{""}},
		"id no UUID":       {`{"id":"x"}`, []string{"id"}},
		"id of zeros":      {`{"id":"00000000-0000-0000-0000-000000000000"}`, []string{"id"}},
		"id a number":      {`{"id":1}`, []string{"id"}},
		"user a number":    {`{"userId":1}`, []string{"userId"}},
		"user an object":   {`{"userId":{}}`, []string{"userId"}},
		"success as text":  {`{"success":"true"}`, []string{"success"}},
		"success a number": {`{"success":1}`, []string{"success"}},
		"time as text":     {`{"executionTime":"12"}`, []string{"executionTime"}},
		"time a fraction":  {`{"executionTime":1.5}`, []string{"executionTime"}},
		"time huge":        {`{"executionTime":1e400}`, []string{"executionTime"}},
		"time beyond int":  {`{"executionTime":99999999999999999999}`, []string{"executionTime"}},
		"memory a boolean": {`{"memoryUsed":true}`, []string{"memoryUsed"}},
		"CPU as text":      {`{"cpuUsage":"1"}`, []string{"cpuUsage"}},
		"CPU too large":    {`{"cpuUsage":1e999}`, []string{"cpuUsage"}},
		"classes a number": {`{"classesFound":3}`, []string{"classesFound"}},
		"a class a number": {`{"classesFound":["A",3]}`, []string{"classesFound"}},
		"date alone":       {`{"createdAt":"2026-11-24"}`, []string{"createdAt"}},
		"time, no zone":    {`{"createdAt":"2026-11-24T12:00:00"}`, []string{"createdAt"}},
		"a decimal comma":  {`{"createdAt":"2026-11-24T12:00:00,5Z"}`, []string{"createdAt"}},
		"an hour's digit":  {`{"createdAt":"2026-11-24T9:00:00Z"}`, []string{"createdAt"}},
		"no such day":      {`{"createdAt":"2026-02-30T12:00:00Z"}`, []string{"createdAt"}},
		"a Unix time":      {`{"createdAt":1764000000}`, []string{"createdAt"}},
		"the zero time":    {`{"createdAt":"0001-01-01T00:00:00Z"}`, []string{"createdAt"}},
		"no UTF-8":         {"{\"userId\":\"\xff\"}", []string{""}},
		"all faults": {
			`{"zzz":1,"createdAt":"x","userId":1,"aaa":2}`,
			[]string{"aaa", "createdAt", "userId", "zzz"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var d sandtrail.Draft
			err := json.Unmarshal([]byte(test.text), &d)
			if diff := cmp.Diff(test.want, paths(err)); diff != "" || !errors.Is(err, sandtrail.CodeInvalid) {
				t.Errorf("%v\n(-want +got)\n%s", err, diff)
			}
		})
	}
}

// TestUnknownFieldsAreAnsweredWithTheRightOnes writes fields as other programs do.
func TestUnknownFieldsAreAnsweredWithTheRightOnes(t *testing.T) {
	for typed, meant := range map[string]string{
		`"user":"ada"`: "userId", `"strategy":"momentum"`: "strategyId", `"user_id":"ada"`: "userId", `"userID":"ada"`: "userId", `"strategyid":"s"`: "strategyId",
		`"execution_time":1`: "executionTime", `"executonTime":1`: "executionTime", `"duration":1`: "executionTime", `"duration_ms":1`: "executionTime",
		`"memory":1`: "memoryUsed", `"cpu_percent":1`: "cpuUsage", `"timestamp":"x"`: "createdAt", `"status":"ok"`: "success", `"sucess":true`: "success",
		`"timeout":true`: "timedOut", `"errors":[]`: "metadata.errors", `"exit_code":1`: "metadata.run.exitCode", `"classes":[]`: "classesFound", `"type":"x"`: "executionType",
	} {
		var d sandtrail.Draft
		err := json.Unmarshal([]byte("{"+typed+"}"), &d)
		if err == nil || !strings.HasSuffix(err.Error(), "did you mean "+meant+"?") {
			t.Errorf("%s: got %v, want to read that %s is meant", typed, err, meant)
		}
	}
	var d sandtrail.Draft
	if err := json.Unmarshal([]byte(`{"hostname":"h"}`), &d); err == nil || !strings.Contains(err.Error(), "goes into metadata") {
		t.Errorf("a field like none: %v", err)
	}
}

// TestDraftJSONDirectly calls the decoder without json.Unmarshal's own checks
// before it.
func TestDraftJSONDirectly(t *testing.T) {
	for _, text := range []string{"", " ", "{", `{"userId"`, `{"userId":}`, `{"userId":"u"`, "{} {}", "{}}", "{}]", "{},", "{}x", "\x00"} {
		var d sandtrail.Draft
		if err := d.UnmarshalJSON([]byte(text)); !errors.Is(err, sandtrail.CodeInvalid) {
			t.Errorf("%q: got %v, want it refused", text, err)
		}
	}
}

// The caller of UnmarshalJSON may use its bytes for the next record.
func TestDraftKeepsNothingOfItsJSON(t *testing.T) {
	raw := []byte(`{"id":"6ba7b810-9dad-41d1-80b4-00c04fd430c8","userId":"u","strategyId":"s","executionType":"VALIDATION","classesFound":["A"],"metadata":{"a":"b"}}`)
	var d, same sandtrail.Draft
	if err := errors.Join(d.UnmarshalJSON(raw), same.UnmarshalJSON(bytes.Clone(raw))); err != nil {
		t.Fatal(err)
	}
	clear(raw)
	if diff := cmp.Diff(same, d); diff != "" {
		t.Errorf("changed with the bytes it was read from:\n%s", diff)
	}
}

func TestDraftJSONForms(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want sandtrail.Draft
	}{
		"empty":             {`{}`, sandtrail.Draft{}},
		"everything null":   {`{"id":null,"memoryUsed":null,"cpuUsage":null,"classesFound":null,"metadata":null,"createdAt":null,"errorCount":null}`, sandtrail.Draft{}},
		"integral forms":    {`{"executionTime":12.0,"memoryUsed":1.2e3}`, sandtrail.Draft{ExecutionTime: new(12), MemoryUsed: new(1200)}},
		"classes as text":   {`{"classesFound":" A, B ,"}`, sandtrail.Draft{Classes: []string{"A", "B"}}},
		"no classes":        {`{"classesFound":""}`, sandtrail.Draft{Classes: []string{}}},
		"no class in array": {`{"classesFound":[]}`, sandtrail.Draft{Classes: []string{}}},
		"upper-case id":     {`{"id":"0192D3A4-7B1C-7DEF-8A90-1B2C3D4E5F60"}`, sandtrail.Draft{ID: mustID("0192d3a4-7b1c-7def-8a90-1b2c3d4e5f60")}},
		"time with offset":  {`{"createdAt":"2026-11-24T13:00:00.5+01:00"}`, sandtrail.Draft{CreatedAt: noon.Add(time.Second / 2)}},
		"large integers":    {`{"metadata":{"n":12345678901234567890}}`, sandtrail.Draft{Metadata: json.RawMessage(`{"n":12345678901234567890}`)}},
	} {
		t.Run(name, func(t *testing.T) {
			var got sandtrail.Draft
			if err := json.Unmarshal([]byte(test.text), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func mustID(s string) sandtrail.ID {
	id, err := sandtrail.ParseID(s)
	if err != nil {
		panic(err) // a constant of the tests
	}
	return id
}

func FuzzDraftJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"userId":"u","strategyId":"s","executionType":"VALIDATION","success":true,"executionTime":12}`,
		`{"id":"0192d3a4-7b1c-7def-8a90-1b2c3d4e5f60","classesFound":"A,B","metadata":{"errors":[{"message":"x"}]}}`,
		`{"createdAt":"2026-11-24T12:00:00Z","cpuUsage":1e-9,"memoryUsed":null}`, `{"metadata":{"a":"\\\u0000<>"}}`, `[1`, `{"a":1,"a":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var d sandtrail.Draft
		err := d.UnmarshalJSON(text)
		if err == nil && !json.Valid(text) {
			t.Fatalf("%q was taken, and is not JSON", text)
		}
		if err != nil {
			if !errors.Is(err, sandtrail.CodeInvalid) {
				t.Fatalf("%q: %v has no code", text, err)
			}
			return
		}
		batch, err := sandtrail.Admission{Now: noon}.Admit(d)
		if err != nil {
			if !errors.Is(err, sandtrail.CodeInvalid) || len(paths(err)) == 0 {
				t.Fatalf("%q: %v does not say where", text, err)
			}
			return
		}
		// What was admitted survives a trip through its own JSON.
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var back sandtrail.Draft
		if err := json.Unmarshal(again, &back); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		back.ID = batch[0].Execution.ID
		same, err := sandtrail.Admission{Now: noon}.Admit(back)
		if err != nil || !same[0].SameContent(batch[0].Execution) {
			t.Fatalf("%q became %s: %v", text, again, err)
		}
	})
}
