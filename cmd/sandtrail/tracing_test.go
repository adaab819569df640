package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector is where a server sends its spans to.
type collector struct {
	*httptest.Server
	spans []*traces.Span // complete once the server has stopped
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message traces.TracesData
		raw, err := io.ReadAll(r.Body)
		if err = errors.Join(err, proto.Unmarshal(raw, &message)); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		for _, resource := range message.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// of are the spans of a trace by name.
func (c *collector) of(trace string) map[string]*traces.Span {
	found := map[string]*traces.Span{}
	for _, span := range c.spans {
		if hex.EncodeToString(span.TraceId) == trace {
			found[span.Name] = span
		}
	}
	return found
}

func attributeOf(span *traces.Span, key string) string {
	for _, a := range span.GetAttributes() {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// logLine is what a test wants to know of a line.
type logLine struct{ Msg, Address, Request, Trace string }

// saidOf yields the lines of a log that say something of interest.
func saidOf(log io.Reader, messages ...string) <-chan logLine {
	said := make(chan logLine, 100)
	go func() {
		defer close(said)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			var line logLine
			if err := json.Unmarshal(lines.Bytes(), &line); err == nil && slices.Contains(messages, line.Msg) {
				said <- line
			}
		}
	}()
	return said
}

// A request's spans continue the caller's trace, and the log, the answer and
// the span name the same request.
func TestServeSendsTraces(t *testing.T) {
	c := newCollector(t)
	db := "sqlite:" + filepath.Join(t.TempDir(), "traced.db")
	for _, owner := range []string{"users add ada --email ada@example.com", "strategies add momentum --name Momentum"} {
		command(t, 0, append(strings.Fields(owner), "--db", db)...)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	logged, log := io.Pipe()
	d := bare(io.Discard, log)
	d.getenv = func(name string) string {
		return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL}[name]
	}
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, []string{"serve", "--db", db, "--listen", "127.0.0.1:0", "--log-format", "json"}, d)
		log.Close()
	}()
	said := saidOf(logged, "serving", "cleanup")
	url := "http://" + (<-said).Address

	const appending, cleaning = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"
	const caller = "00f067aa0ba902b7"
	post := func(path, body, trace string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("traceparent", "00-"+trace+"-"+caller+"-01")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response
	}
	record := `{"userId":"ada","strategyId":"momentum","executionType":"VALIDATION","success":true,"executionTime":5}`
	if response := post("/v1/executions", record, appending); response.StatusCode != http.StatusCreated {
		t.Fatalf("append: %s", response.Status)
	}
	answer := post("/v1/cleanup", `{"olderThan":"90d"}`, cleaning)
	line := <-said
	cancel()
	if got := <-status; got != 0 {
		t.Fatalf("serve ended with status %d", got)
	}

	spans := c.of(cleaning)
	request := attributeOf(spans["POST /v1/cleanup"], "sandtrail.request.id")
	if request == "" || request != line.Request || request != answer.Header.Get("X-Request-Id") || line.Trace != cleaning {
		t.Errorf("request %q in the span, %q in the answer; the log's line is of request %q, trace %q",
			request, answer.Header.Get("X-Request-Id"), line.Request, line.Trace)
	}
	spans = c.of(appending)
	whole, commit := spans["POST /v1/executions"], spans["commit"]
	if whole == nil || hex.EncodeToString(whole.ParentSpanId) != caller {
		t.Fatalf("the spans of the caller's trace: %v", spans)
	}
	if commit == nil || string(commit.ParentSpanId) != string(whole.SpanId) {
		t.Errorf("the commit is not part of the request: %v", commit)
	}
}
