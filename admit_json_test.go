package sandtrail_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
)

// FuzzAdmitJSON compares with a draft that is read, then admitted.
func FuzzAdmitJSON(f *testing.F) {
	seeds := []string{ordinary, `{`, `[]`, `{"userId":"ada"}`}
	for _, metadata := range []string{
		`{}`, ` { } `, `null`, `7`, `{"a":1,"a":2}`, `{"a":"\u0000"}`, `{"a":"\\u0000"}`, "{\n\t\"a\" : [ 1 , \" \\\" \" ] }",
		`{"errors":[]}`, `{"errors":null}`, `{"errors":7}`, `{"errors":[7,null,"x",[]]}`, `{"errors":[{}]}`,
		`{"errors":[{"message":"a"}],"warnings":[{"message":"b"},{"severity":"low","message":"c","line":3,"column":0}]}`,
		`{"errors":[{"message":null}]}`, `{"errors":[{"message":7}]}`, `{"errors":[{"Message":"a"}]}`, `{"errors":[{"mess\u0061ge":"a"}]}`,
		`{"errors":[{"message":"a","message":null}]}`, `{"errors":[{"message":"a","line":-1}]}`, `{"errors":[{"message":"a","line":1.5}]}`,
		`{"errors":[{"message":"a","line":99999999999999999999}]}`, `{"errors":[{"message":"a","line":"3"}]}`, `{"errors":[{"message":"a","line":null}]}`,
		`{"errors":[{"message":"a","more":{"b":[1]}}]}`, `{"errors":[{"message":"a","severity":[]}]}`, `{"warnings":[{"message":"\ud800"}]}`,
	} {
		seeds = append(seeds, `{"userId":"ada","strategyId":"s","executionType":"TERMINAL","success":true,"executionTime":1,"metadata":`+metadata+`}`)
	}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		admission := sandtrail.Admission{Now: noon}
		given := append([]byte(nil), text...)
		got, hasID, err := admission.AdmitJSON(given)
		var draft sandtrail.Draft
		var want []sandtrail.Admitted
		wantErr := draft.UnmarshalJSON(text)
		if wantErr == nil {
			want, wantErr = admission.Admit(draft)
		}
		if diff := cmp.Diff(said(t, wantErr), said(t, err)); diff != "" {
			t.Fatalf("%q: error (-want +got):\n%s", text, diff)
		}
		if err != nil {
			return
		}
		clear(given) // the caller's
		if hasID != !draft.ID.IsZero() {
			t.Fatalf("%q: hasID %v", text, hasID)
		}
		if !hasID {
			got.Execution.ID = want[0].Execution.ID
		}
		if diff := cmp.Diff(want[0], got); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", text, diff)
		}
	})
}

// said is an error as JSON.
func said(t *testing.T, err error) string {
	if err == nil {
		return ""
	}
	text, encoded := json.Marshal(err)
	if encoded != nil {
		t.Fatal(encoded)
	}
	return err.Error() + string(text)
}

// ordinary is an execution with as much metadata as many have.
const ordinary = `{"id":"0193e2a0-0000-7000-8000-000000000001","userId":"u-0001","strategyId":"s-0001","executionType":"VALIDATION","success":false,` +
	`"executionTime":1250,"memoryUsed":120,"cpuUsage":87.5,"timedOut":false,"classesFound":["Momentum","Reversal"],` +
	`"metadata":{"run":{"status":"exited","exitCode":1,"command":["python3","strategy.py"],"cpuTime":1093,"memoryPeakBytes":125829120,"method":"cgroup"},` +
	`"errors":[{"severity":"error","message":"KeyError: 'close' of a frame that has none","line":42,"code":"KeyError","traceback":"Traceback (most recent call last):\n  File \"strategy.py\", line 42, in run\n"}],` +
	`"warnings":[{"severity":"warning","message":"deprecated"}]},"createdAt":"2026-11-24T11:59:00.000Z"}`

// BenchmarkAdmitJSON reads and admits an execution.
func BenchmarkAdmitJSON(b *testing.B) {
	admission := sandtrail.Admission{Now: noon}
	b.SetBytes(int64(len(ordinary)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := admission.AdmitJSON([]byte(ordinary)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadThenAdmit does that one after the other.
func BenchmarkReadThenAdmit(b *testing.B) {
	admission := sandtrail.Admission{Now: noon}
	b.ReportAllocs()
	for b.Loop() {
		var draft sandtrail.Draft
		if err := draft.UnmarshalJSON([]byte(ordinary)); err != nil {
			b.Fatal(err)
		}
		if _, err := admission.Admit(draft); err != nil {
			b.Fatal(err)
		}
	}
}
