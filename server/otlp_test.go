package server_test

import (
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/server"
)

// logRecord is an OTLP log record in JSON, an execution of u1 and s1 with
// changes such as `"sandtrail.user.id":{"stringValue":"u2"}`.
func logRecord(changes ...string) string {
	values := map[string]string{
		"sandtrail.user.id": `{"stringValue":"u1"}`, "sandtrail.strategy.id": `{"stringValue":"s1"}`,
		"sandtrail.execution.type": `{"stringValue":"TERMINAL"}`, "sandtrail.success": `{"boolValue":true}`,
		"sandtrail.execution.time": `{"intValue":"5"}`,
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, ":")
		values[strings.Trim(name, `"`)] = value
	}
	var attributes []string
	for name, value := range values {
		attributes = append(attributes, `{"key":"`+name+`","value":`+value+`}`)
	}
	return `{"timeUnixNano":"1795521600000000000","attributes":[` + strings.Join(attributes, ",") + `]}`
}

func logRequest(records ...string) string {
	return `{"resourceLogs":[{"scopeLogs":[{"logRecords":[` + strings.Join(records, ",") + `]}]}]}`
}

func TestLogsBecomeExecutions(t *testing.T) {
	k := newKit(t).owners()
	body := logRequest(logRecord(), logRecord(`"sandtrail.execution.time":{"intValue":"6"}`))
	for _, test := range []struct {
		name, body string
		header     []string
	}{
		{"at first", body, nil},
		{"again", body, nil},
		{"gzip", zip(body), []string{"Content-Encoding", "gzip"}},
		{"nothing", "{}", nil},
	} {
		got := k.do(request{method: "POST", path: "/v1/logs", body: test.body, header: test.header})
		if got.status != 200 || string(got.body) != "{}" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: status %d: %s", test.name, got.status, got.body)
		}
	}
	if n := k.count(); n != 2 {
		t.Errorf("%d stored, want 2", n)
	}
}

func TestLogsAreTakenInPart(t *testing.T) {
	k := newKit(t).owners()
	id := sandtrail.NewID(start).String()
	got := k.post("/v1/logs", logRequest(
		logRecord(`"sandtrail.id":{"stringValue":"`+id+`"}`),
		logRecord(`"sandtrail.execution.time":{"intValue":"-1"}`),
		logRecord(`"sandtrail.user.id":{"stringValue":"nobody"}`),
		`{"body":{"stringValue":"an ordinary line"}}`,
		logRecord(`"sandtrail.id":{"stringValue":"`+id+`"}`, `"sandtrail.success":{"boolValue":false}`),
		logRecord(),
	))
	answer := as[struct {
		PartialSuccess struct{ RejectedLogRecords, ErrorMessage string }
	}](t, got, 200).PartialSuccess
	if answer.RejectedLogRecords != "4" {
		t.Errorf("rejected %s, want 4: %s", answer.RejectedLogRecords, answer.ErrorMessage)
	}
	for _, want := range []string{
		"logRecords[1]: invalid execution: executionTime: ", `there is no user "nobody"`,
		"logRecords[3]: no execution", "logRecords[4]: conflicting execution",
	} {
		if !strings.Contains(answer.ErrorMessage, want) {
			t.Errorf("%q is not in %s", want, answer.ErrorMessage)
		}
	}
	if n := k.count(); n != 2 {
		t.Errorf("%d stored, want 2", n)
	}
}

func TestLogsThatCannotBeTaken(t *testing.T) {
	protobuf := []string{"Content-Type", "application/x-protobuf"}
	for _, test := range []struct {
		name, body string
		header     []string
		change     func(*server.Config)
		status     int
		want       string
	}{
		{"not JSON", "{", nil, nil, 400, `"code":3`},
		{"not protobuf", "\xff", protobuf, nil, 400, "\x08\x03\x12"},
		{"another form", "{}", []string{"Content-Type", "text/plain"}, nil, 400, `"code":3`},
		{"another compression", "{}", []string{"Content-Encoding", "br"}, nil, 400, `"code":3`},
		{"too large", logRequest(logRecord()), nil, func(c *server.Config) { c.Limits.BodyBytes = 100 }, 413, `"code":8`},
		{"an unknown key", "{}", []string{"Authorization", "Bearer st_x"}, nil, 401, `"code":16`},
		{"a store that is gone", logRequest(logRecord()), nil, func(c *server.Config) {
			c.Store = &failing{Store: c.Store, err: sandtrail.Errorf(sandtrail.CodeUnavailable, "the disk is gone")}
		}, 503, `"code":14`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var changes []func(*server.Config)
			if test.change != nil {
				changes = append(changes, test.change)
			}
			k := newKit(t, changes...).owners()
			got := k.do(request{method: "POST", path: "/v1/logs", body: test.body, header: test.header})
			if got.status != test.status || !strings.Contains(string(got.body), test.want) {
				t.Errorf("status %d, want %d: %q", got.status, test.status, got.body)
			}
			if (got.status == http.StatusServiceUnavailable) != (got.header.Get("Retry-After") != "") {
				t.Errorf("Retry-After: %q", got.header.Get("Retry-After"))
			}
			if n := k.count(); n != 0 {
				t.Errorf("%d stored", n)
			}
		})
	}
}

// A program that exports OpenTelemetry needs no code of ours.
func TestOpenTelemetryExporter(t *testing.T) {
	k := newKit(t).owners()
	key := k.key(auth.RoleIngest, "")
	exporter, err := otlploghttp.New(t.Context(), otlploghttp.WithEndpointURL(k.url+"/v1/logs"),
		otlploghttp.WithHeaders(map[string]string{"Authorization": "Bearer " + key}),
		otlploghttp.WithCompression(otlploghttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewSimpleProcessor(exporter)))
	var record log.Record
	record.SetTimestamp(start)
	record.AddAttributes(
		attribute.String("sandtrail.user.id", "u1"), attribute.String("sandtrail.strategy.id", "s1"),
		attribute.String("sandtrail.execution.type", "VALIDATION"), attribute.Bool("sandtrail.success", false),
		attribute.Int("sandtrail.execution.time", 7),
		attribute.Map("sandtrail.metadata", attribute.Slice("errors", attribute.MapValue(attribute.String("message", "no such class")))),
	)
	provider.Logger("sandbox").Emit(t.Context(), record)
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := k.store.Executions(t.Context(), sandtrail.Query{}, start)
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("%d stored, %v", len(page.Items), err)
	}
	if e := page.Items[0]; e.UserID != "u1" || e.Success || e.ExecutionTime != 7 || e.ErrorCount != 1 || !e.CreatedAt.Equal(start) {
		t.Errorf("stored %+v", e)
	}
}
