package tracing

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/sandtrail/sandtrail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func env(variables ...string) func(string) string {
	set := map[string]string{}
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		set[name] = value
	}
	return func(name string) string { return set[name] }
}

func TestSettings(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=https://collector:4318/x"
	at := func(url string) settings { return settings{url: url, header: http.Header{}, timeout: 10 * time.Second} }
	full := settings{
		url: "http://t/v2", zip: true, timeout: 1500 * time.Millisecond,
		header: http.Header{"Authorization": {"Bearer x=y"}, "Tenant": {"a"}},
	}
	for _, test := range []struct {
		name string
		env  []string
		want settings
	}{
		{"nothing", nil, settings{}},
		{"an endpoint of all signals", []string{endpoint}, at("https://collector:4318/x/v1/traces")},
		{"one of traces", []string{endpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t"}, at("http://t")},
		{"an exporter alone", []string{"OTEL_TRACES_EXPORTER=otlp"}, at("http://localhost:4318/v1/traces")},
		{"no exporter", []string{endpoint, "OTEL_TRACES_EXPORTER=none"}, settings{}},
		{"disabled", []string{endpoint, "OTEL_SDK_DISABLED=true"}, settings{}},
		{"everything", []string{
			endpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t/v2", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
			"OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20x=y, tenant=a", "OTEL_EXPORTER_OTLP_TIMEOUT=9",
			"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=1500", "OTEL_EXPORTER_OTLP_COMPRESSION=gzip",
		}, full},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := read(env(test.env...))
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(settings{})); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for _, variable := range []string{
		"OTEL_TRACES_EXPORTER=zipkin",
		"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4317",
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc",
		"OTEL_EXPORTER_OTLP_HEADERS=secret",
		"OTEL_EXPORTER_OTLP_HEADERS=a=%zz",
		"OTEL_EXPORTER_OTLP_TIMEOUT=10s",
		"OTEL_EXPORTER_OTLP_TIMEOUT=0",
		"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=zstd",
	} {
		name, value, _ := strings.Cut(variable, "=")
		_, err := read(env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t", variable))
		if strings.HasSuffix(name, "_ENDPOINT") {
			_, err = read(env(variable))
		}
		if !errors.Is(err, sandtrail.CodeInvalid) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}

// collector takes what is sent to it, after some refusals.
type collector struct {
	refusals []int // statuses of the first answers
	got      []*traces.TracesData
}

func (c *collector) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := func(status int) (*http.Response, error) {
		return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: http.NoBody, Request: r}, nil
	}
	if len(c.refusals) > 0 {
		status := c.refusals[0]
		c.refusals = c.refusals[1:]
		if status == 0 {
			return nil, errors.New("no route")
		}
		return answer(status)
	}
	body, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(body)
	var spans traces.TracesData
	if err = errors.Join(err, proto.Unmarshal(raw, &spans)); err != nil {
		return nil, err
	}
	c.got = append(c.got, &spans)
	return answer(http.StatusOK)
}

func TestSenderTriesAgainWhereThatMakesSense(t *testing.T) {
	for _, test := range []struct {
		name     string
		refusals []int
		arrives  bool
	}{
		{"at once", nil, true},
		{"busy", []int{http.StatusServiceUnavailable, http.StatusTooManyRequests}, true},
		{"out of reach for a while", []int{0}, true},
		{"out of reach", []int{0, 0, 0}, false},
		{"refused", []int{http.StatusBadRequest}, false},
		{"sent elsewhere", []int{http.StatusTemporaryRedirect}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said strings.Builder
				s := newSender(settings{url: "http://collector/v1/traces", timeout: time.Second, zip: true}, slog.New(slog.NewTextHandler(&said, nil)))
				c := &collector{refusals: test.refusals}
				s.http.Transport = c
				if err := s.UploadTraces(t.Context(), []*traces.ResourceSpans{{SchemaUrl: "x"}}); err != nil {
					t.Error(err)
				}
				if arrived := len(c.got) == 1 && c.got[0].ResourceSpans[0].SchemaUrl == "x"; arrived != test.arrives || arrived != (said.Len() == 0) {
					t.Errorf("arrived: %t, want %t; the log says %q", arrived, test.arrives, &said)
				}
			})
		})
	}
}

func TestSpansArriveBeforeTheEnd(t *testing.T) {
	var got traces.TracesData
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err = errors.Join(err, proto.Unmarshal(raw, &got)); err != nil {
			t.Error(err)
		}
		header = r.Header
	}))
	defer server.Close()
	// The library looks for the names of services itself.
	t.Setenv("OTEL_SERVICE_NAME", "mine")
	on, err := Open(t.Context(), env("OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL, "OTEL_EXPORTER_OTLP_HEADERS=Tenant=a"), "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, span := on.Tracer().Start(t.Context(), "work")
	span.End()
	if err := on.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if header.Get("Tenant") != "a" || header.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("header: %v", header)
	}
	about := map[string]string{}
	for _, a := range got.ResourceSpans[0].Resource.Attributes {
		about[a.Key] = a.Value.GetStringValue()
	}
	if about["service.name"] != "mine" || about["service.version"] != "v1" || got.ResourceSpans[0].ScopeSpans[0].Spans[0].Name != "work" {
		t.Errorf("got %v", &got)
	}
}

func TestNoTracesCostNothing(t *testing.T) {
	off, err := Open(t.Context(), env(), "v1", nil)
	if err != nil || off.Tracer() != nil || off.Close(t.Context()) != nil {
		t.Errorf("%v, %v", off, err)
	}
}
