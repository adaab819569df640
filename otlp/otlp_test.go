package otlp_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/otlp"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// full is a request with everything that is read.
const full = `{"resourceLogs":[{
	"resource":{"attributes":[
		{"key":"service.name","value":{"stringValue":"sandbox"}},
		{"key":"sandtrail.strategy.id","value":{"stringValue":"momentum"}}]},
	"scopeLogs":[{
		"scope":{"name":"runner","attributes":[{"key":"sandtrail.user.id","value":{"stringValue":"bob"}}]},
		"logRecords":[{
			"timeUnixNano":"1795521600123456789","observedTimeUnixNano":"1",
			"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
			"severityText":"INFO","body":{"stringValue":"validated"},
			"attributes":[
				{"key":"sandtrail.user.id","value":{"stringValue":"ada"}},
				{"key":"sandtrail.execution.type","value":{"stringValue":"VALIDATION"}},
				{"key":"sandtrail.success","value":{"boolValue":true}},
				{"key":"sandtrail.execution.time","value":{"intValue":"1204"}},
				{"key":"sandtrail.memory.used","value":{"doubleValue":87}},
				{"key":"sandtrail.cpu.usage","value":{"intValue":"93"}},
				{"key":"sandtrail.timed_out","value":{"boolValue":false}},
				{"key":"sandtrail.error.count","value":{"intValue":0}},
				{"key":"sandtrail.warning.count","value":{"intValue":1}},
				{"key":"sandtrail.classes.found","value":{"arrayValue":{"values":[{"stringValue":"Momentum"}]}}},
				{"key":"sandtrail.metadata","value":{"kvlistValue":{"values":[
					{"key":"commit","value":{"stringValue":"e83c516"}},
					{"key":"n","value":{"arrayValue":{"values":[{"intValue":"9007199254740993"},{}]}}}]}}}
			]}]}]}],"somethingNew":1}`

// decode is all log records of a request.
func decode(form otlp.Form, raw []byte) (all []otlp.Record, err error) {
	err = otlp.Decode(form, raw, func(r otlp.Record) error { all = append(all, r); return nil })
	return all, err
}

func TestDecode(t *testing.T) {
	got, err := decode(otlp.JSON, []byte(full))
	if err != nil || len(got) != 1 || got[0].Err != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	want := sandtrail.Draft{
		UserID: "ada", StrategyID: "momentum", Type: sandtrail.Validation, Success: new(true), ExecutionTime: new(1204),
		MemoryUsed: new(87), CPUUsage: new(93.0), ErrorCount: new(0), WarningCount: new(1), Classes: []string{"Momentum"},
		Metadata:  json.RawMessage(`{"commit":"e83c516","n":[9007199254740993,null],"trace":{"spanId":"eee19b7ec3c1b174","traceId":"5b8efff798038103d269b633813fc60c"}}`),
		CreatedAt: noon.Add(123456789),
	}
	draft := got[0].Draft
	if at, ok := draft.ID.Time(); !ok || !at.Equal(noon.Add(123*time.Millisecond)) {
		t.Errorf("the id %s does not say when", draft.ID)
	}
	again, _ := decode(otlp.JSON, []byte(full))
	if draft.ID != again[0].Draft.ID {
		t.Error("sent again it gets another id")
	}
	later, _ := decode(otlp.JSON, []byte(strings.Replace(full, "456789", "456790", 1)))
	if draft.ID == later[0].Draft.ID {
		t.Error("a nanosecond later it gets the same id")
	}
	draft.ID = sandtrail.ID{}
	if diff := cmp.Diff(want, draft); diff != "" {
		t.Error(diff)
	}
	if _, err := (sandtrail.Admission{Now: noon}).Admit(draft); err != nil {
		t.Error(err)
	}
}

// request is a request in protobuf with one record.
func request(t testing.TB, record *logs.LogRecord) []byte {
	t.Helper()
	raw, err := proto.Marshal(&logs.LogsData{ResourceLogs: []*logs.ResourceLogs{{ScopeLogs: []*logs.ScopeLogs{{LogRecords: []*logs.LogRecord{record}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func attribute(t testing.TB, key, value string) *common.KeyValue {
	t.Helper()
	var v common.AnyValue
	if err := protojson.Unmarshal([]byte(value), &v); err != nil {
		t.Fatal(err)
	}
	return &common.KeyValue{Key: key, Value: &v}
}

func TestDecodeProtobuf(t *testing.T) {
	id := sandtrail.NewID(noon)
	got, err := decode(otlp.Protobuf, request(t, &logs.LogRecord{
		ObservedTimeUnixNano: uint64(noon.UnixNano()), TraceId: []byte{0xab, 1}, SpanId: []byte{2},
		Body: attribute(t, "", `{"kvlistValue":{"values":[{"key":"k","value":{"bytesValue":"AAE="}}]}}`).GetValue(),
		Attributes: []*common.KeyValue{
			attribute(t, "sandtrail.id", `{"stringValue":"`+id.String()+`"}`),
			attribute(t, "sandtrail.execution.type", `{"stringValue":"TERMINAL"}`),
		},
	}))
	if err != nil || len(got) != 1 || got[0].Err != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	want := sandtrail.Draft{
		ID: id, Type: sandtrail.Terminal, CreatedAt: noon, Metadata: json.RawMessage(`{"k":"AAE=","trace":{"spanId":"02","traceId":"ab01"}}`),
	}
	if diff := cmp.Diff(want, got[0].Draft); diff != "" {
		t.Error(diff)
	}
}

func TestRecordsThatAreNoExecutions(t *testing.T) {
	for _, test := range []struct{ key, value, want string }{
		{"other", `{"stringValue":"x"}`, "no attribute sandtrail.execution.type"},
		{"sandtrail.execution.type", `{"intValue":"1"}`, "must be a string, got the number 1"},
		{"sandtrail.id", `{"stringValue":"7"}`, "must be a UUID"},
		{"sandtrail.user.id", `{}`, "sandtrail.user.id: must be a string, got nothing"},
		{"sandtrail.success", `{"stringValue":"true"}`, "must be a boolean, got a string"},
		{"sandtrail.execution.time", `{"doubleValue":1.5}`, "must be an integer, got the number 1.5"},
		{"sandtrail.execution.time", `{"doubleValue":1e300}`, "must be an integer"},
		{"sandtrail.execution.time", `{"intValue":"9223372036854775807"}`, "at most 31 bits"},
		{"sandtrail.memory.used", `{"bytesValue":"AA=="}`, "must be an integer, got bytes"},
		{"sandtrail.cpu.usage", `{"boolValue":true}`, "must be a number, got a boolean"},
		{"sandtrail.classes.found", `{"stringValue":"A,B"}`, "must be an array of strings"},
		{"sandtrail.classes.found", `{"arrayValue":{"values":[{"intValue":1}]}}`, "[0]: must be a string"},
		{"sandtrail.metadata", `{"arrayValue":{}}`, "must be a list of keys and values, or a string of JSON, got an array"},
		{"sandtrail.metadata", `{"stringValue":"null"}`, "must be a JSON object"},
		{"sandtrail.metadata", `{"stringValue":"{} {}"}`, "must be a JSON object"},
		{"sandtrail.metadata", strings.Repeat(`{"arrayValue":{"values":[`, 200) + "{}" + strings.Repeat("]}}", 200), "must be a list"},
		{
			"sandtrail.metadata", `{"kvlistValue":{"values":[{"key":"k","value":` +
				strings.Repeat(`{"arrayValue":{"values":[`, 200) + "{}" + strings.Repeat("]}}", 200) + "}]}}", "nested deeper than 100",
		},
		{"sandtrail.metadata", `{"kvlistValue":{"values":[{"key":"k","value":{"doubleValue":"NaN"}}]}}`, "NaN"},
	} {
		record := &logs.LogRecord{Attributes: []*common.KeyValue{attribute(t, test.key, test.value)}}
		if test.key != "other" && test.key != "sandtrail.execution.type" {
			record.Attributes = append(record.Attributes, attribute(t, "sandtrail.execution.type", `{"stringValue":"TERMINAL"}`))
		}
		got, err := decode(otlp.Protobuf, request(t, record))
		if err != nil || len(got) != 1 || got[0].Err == nil || !strings.Contains(got[0].Err.Error(), test.want) {
			t.Errorf("%s %.60s: %v, %v, want %q", test.key, test.value, got, err, test.want)
		}
	}
	late := &logs.LogRecord{TimeUnixNano: 1 << 63, Attributes: []*common.KeyValue{attribute(t, "sandtrail.execution.type", `{"stringValue":"TERMINAL"}`)}}
	if got, err := decode(otlp.Protobuf, request(t, late)); err != nil || got[0].Err == nil {
		t.Errorf("a time beyond all years: %v, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for form, raw := range map[otlp.Form]string{otlp.Protobuf: "\xff\xff", otlp.JSON: `{"resourceLogs":1}`} {
		if _, err := decode(form, []byte(raw)); !errors.Is(err, sandtrail.CodeInvalid) {
			t.Errorf("%s: got %v, want CodeInvalid", form, err)
		}
	}
	for header, want := range map[string]bool{
		"application/x-protobuf": true, "application/json; charset=utf-8": true, "": false, "text/plain": false, "application/grpc": false,
	} {
		if _, err := otlp.FormOf(header); (err == nil) != want {
			t.Errorf("Content-Type %q: %v", header, err)
		}
	}
}

// The answers, byte for byte as the messages of the specification encode.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		name string
		got  func() ([]byte, error)
		want string
	}{
		{"success", func() ([]byte, error) { return otlp.Response(otlp.Protobuf, 0, "") }, ""},
		{"success in JSON", func() ([]byte, error) { return otlp.Response(otlp.JSON, 0, "") }, "{}"},
		{"partial", func() ([]byte, error) { return otlp.Response(otlp.Protobuf, 300, "bad") }, "\n\x08\x08\xac\x02\x12\x03bad"},
		{
			"partial in JSON", func() ([]byte, error) { return otlp.Response(otlp.JSON, 300, "bad") },
			`{"partialSuccess":{"errorMessage":"bad","rejectedLogRecords":"300"}}`,
		},
		{"status", func() ([]byte, error) { return otlp.Status(otlp.Protobuf, sandtrail.CodeUnavailable, "gone") }, "\x08\x0e\x12\x04gone"},
		{"status in JSON", func() ([]byte, error) { return otlp.Status(otlp.JSON, sandtrail.CodeInvalid, "bad") }, `{"code":3,"message":"bad"}`},
	} {
		if got, err := test.got(); err != nil || string(got) != test.want {
			t.Errorf("%s: %q, %v, want %q", test.name, got, err, test.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(false, []byte(full))
	f.Add(true, request(f, &logs.LogRecord{Attributes: []*common.KeyValue{
		attribute(f, "sandtrail.execution.type", `{"stringValue":"TERMINAL"}`),
		attribute(f, "sandtrail.metadata", `{"stringValue":"{\"a\":1}"}`),
	}}))
	f.Fuzz(func(t *testing.T, binary bool, raw []byte) {
		form := otlp.JSON
		if binary {
			form = otlp.Protobuf
		}
		got, err := decode(form, raw)
		if err != nil {
			return
		}
		again, err := decode(form, raw)
		if err != nil {
			t.Fatal(err)
		}
		for i, record := range got {
			if record.Err == nil && (record.Draft.ID.IsZero() || record.Draft.ID != again[i].Draft.ID) {
				t.Errorf("%s: id %s, then %s", record.Where, record.Draft.ID, again[i].Draft.ID)
			}
			_, _ = sandtrail.Admission{Now: noon}.Admit(record.Draft) // must not panic
		}
	})
}
