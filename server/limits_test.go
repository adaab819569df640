package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/server"
)

// limit is one documented limit of the API, with a request ten times over it.
type limit struct {
	what    string // as docs/security.md has it
	most    string // likewise; the refusal names it
	request request
	change  func(*server.Config)
}

func ndjson(body string) request {
	return request{method: "POST", path: "/v1/executions", body: body, header: []string{"Content-Type", "application/x-ndjson"}}
}

func posted(body string) request {
	return request{method: "POST", path: "/v1/executions", body: body}
}

// limits are those of single requests; TestLimitsOfManyRequests has the others.
func limits() []limit {
	text := func(n int) string { return strings.Repeat("x", 10*n) }
	nested := `{"a":` + strings.Repeat("[", 10*sandtrail.MaxNesting) + strings.Repeat("]", 10*sandtrail.MaxNesting) + "}"
	logs := func(records string) request {
		return request{method: "POST", path: "/v1/logs", body: logRequest(records)}
	}
	user := func(body string) request { return request{method: "PUT", path: "/v1/users/u9", body: body} }
	return []limit{
		{"A body of JSON or OTLP, decompressed", "67108864", posted("[" + strings.Repeat(" ", 10<<10) + "]"), func(c *server.Config) { c.Limits.BodyBytes = 1 << 10 }},
		{"Any other body", "1048576", user(`{"email":"a@example.com","name":"` + text(1<<20) + `"}`), nil},
		{"Executions in an array", "10000", posted("[" + strings.Repeat("{},", 10*sandtrail.MaxBatch) + "{}]"), nil},
		{"An execution, also as a line of NDJSON", "1048576", ndjson(text(1 << 20)), nil},
		{"An execution in an array", "1048576", posted(`[{"userId":"` + text(1<<20) + `"}]`), nil},
		{"`metadata`", "65536", posted(record(`metadata:{"x":"` + text(sandtrail.MaxMetadataBytes) + `"}`)), nil},
		{"Objects and arrays of `metadata` in each other", "1000", posted(strings.TrimSuffix(record(), "}") + `,"metadata":` + nested + "}"), nil},
		{"A name in `classesFound`", "255", posted(record(`classesFound:["` + text(sandtrail.MaxClassBytes) + `"]`)), nil},
		{"`cpuUsage`", "1000000", posted(record("cpuUsage:1e7")), nil},
		{"`executionTime`, `memoryUsed` and counts", "2147483647", posted(record("executionTime:21474836470")), nil},
		{"`createdAt` in the future", "5m0s", posted(record(`createdAt:"` + start.Add(50*time.Minute).Format(time.RFC3339) + `"`)), nil},
		{"An id of a user or strategy", "255", posted(record(`userId:"` + text(sandtrail.MaxKeyBytes) + `"`)), nil},
		{"An e-mail address", "320", user(`{"email":"a@` + text(sandtrail.MaxEmailBytes) + `"}`), nil},
		{"A name of a user, strategy or key", "1024", user(`{"email":"a@example.com","name":"` + text(sandtrail.MaxNameBytes) + `"}`), nil},
		{"Log records of `/v1/logs`, with their resources and scopes", "100000", logs(strings.Repeat("{},", 1_000_000) + "{}"), nil},
		{"A log record, a resource or a scope", "1048576", logs(`{"body":{"stringValue":"` + text(1<<20) + `"}}`), nil},
		{"A request to a witness", "65536", request{method: "POST", path: "/v1/ledger/witness/add-checkpoint", body: text(64 << 10)}, nil},
		{"Executions of a page", "1000", request{method: "GET", path: "/v1/executions?limit=10000"}, nil},
		{"A text that is searched for", "1024", request{method: "GET", path: "/v1/executions?text=" + text(sandtrail.MaxNameBytes)}, nil},
		{"Executions of a health check", "10000", request{method: "GET", path: "/v1/strategies/s1/health?last=100000"}, nil},
	}
}

// A request ten times over a limit is refused, with the limit named, and the
// server answers the next one.
func TestTenTimesEveryLimit(t *testing.T) {
	documented := documentedLimits(t)
	shared := newKit(t).owners()
	for _, l := range limits() {
		t.Run(l.what, func(t *testing.T) {
			k, most := shared, l.most
			if l.change != nil {
				k, most = newKit(t, l.change).owners(), "1024" // what it was changed to
			}
			before := k.count()
			got := k.do(l.request)
			said := refusal(t, got)
			if !strings.Contains(said, most) {
				t.Errorf("the limit of %s is not named: %.300s", most, said)
			}
			if got.status < 400 || got.status >= 500 {
				t.Errorf("status %d", got.status)
			}
			if n := k.count(); n != before {
				t.Errorf("%d executions were stored", n-before)
			}
			as[api.Appended](t, k.post("/v1/executions", record()), 201)
			if documented[l.what] != l.most {
				t.Errorf("docs/security.md lacks | %s | %s |", l.what, l.most)
			}
			delete(documented, l.what)
		})
	}
	for _, f := range floods() {
		if documented[f.what] != f.most {
			t.Errorf("docs/security.md lacks | %s | %s |", f.what, f.most)
		}
		delete(documented, f.what)
	}
	for what := range documented {
		t.Errorf("docs/security.md has a limit that no test exceeds: %s", what)
	}
}

// documentedLimits are the rows of the table of limits, by their first column.
func documentedLimits(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(raw), "| limit | at most |")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string]string{}
	for _, line := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(line, " | ")
		rows[strings.TrimPrefix(cells[0], "| ")] = strings.ReplaceAll(strings.Fields(cells[1])[0], ",", "")
	}
	return rows
}

// refusal is what a refusal says, in either form.
func refusal(t *testing.T, r reply) string {
	t.Helper()
	var said struct {
		Detail, Message string
		Errors          json.RawMessage
	}
	if err := json.Unmarshal(r.body, &said); err != nil {
		t.Fatalf("status %d: %v: %.200s", r.status, err, r.body)
	}
	if (r.status == 429 || r.status == 503) != (r.header.Get("Retry-After") != "") {
		t.Errorf("status %d with Retry-After %q", r.status, r.header.Get("Retry-After"))
	}
	return said.Detail + said.Message + string(said.Errors)
}

// flood is a documented limit of many requests together.
type flood struct {
	what, most string
	change     func(*server.Limits) // to a tenth of the requests of the test
	hold       bool                 // by a store that answers only when the test ends
	open       func(t *testing.T, k *kit)
	names      string // in the refusal
	status     int
}

func floods() []flood {
	return []flood{
		{
			"Requests a second of one key", "10000", func(l *server.Limits) { l.Rate = 1 }, false,
			func(_ *testing.T, k *kit) { _ = k.do(request{method: "GET", path: "/v1/executions", key: k.secret}) }, "1 requests a second", 429,
		},
		{
			"Requests at once", "1024", func(l *server.Limits) { l.Requests = 1 }, true,
			func(t *testing.T, k *kit) { k.stall(t, "POST", "/v1/executions", record(), true) }, "1 requests at once", 503,
		},
		{
			"Requests at once of one key or address", "512", func(l *server.Limits) { l.Requests = 2 }, true,
			func(t *testing.T, k *kit) { k.stall(t, "POST", "/v1/executions", record(), true) }, "1 requests at once", 429,
		},
		{
			"Bodies on their way", "512", func(l *server.Limits) { l.Bodies = 1 }, false,
			func(t *testing.T, k *kit) { k.stall(t, "POST", "/v1/executions", record(), false) }, "1 bodies on their way", 503,
		},
		{
			"Live streams", "1024", func(l *server.Limits) { l.Streams = 1 }, false,
			func(t *testing.T, k *kit) { k.stall(t, "GET", "/v1/executions/stream", "", true) }, "1 live streams", 503,
		},
		{
			"Live streams of one key or address", "128", func(l *server.Limits) { l.Streams = 10 }, false,
			func(t *testing.T, k *kit) { k.stall(t, "GET", "/v1/executions/stream", "", true) }, "1 live streams", 429,
		},
		{
			"Bytes of memory for bodies that are decoded", "67108864", func(l *server.Limits) { l.BodyMemory, l.WaitTime = 2<<10, 50*time.Millisecond }, true,
			func(t *testing.T, k *kit) { k.stall(t, "POST", "/v1/executions", record(), true) }, "2048 bytes of memory", 503,
		},
	}
}

// waiting is a store whose appends end with the test.
type waiting struct {
	sandtrail.Store
	began chan struct{}
	end   context.Context
}

func (w waiting) Append(ctx context.Context, _ []sandtrail.Admitted) (sandtrail.Appended, error) {
	select {
	case w.began <- struct{}{}:
	default:
	}
	<-w.end.Done()
	return sandtrail.Appended{}, w.end.Err()
}

// Ten callers where one has its share: one of them is served, the others are told
// how many there may be, and health checks are answered meanwhile.
func TestLimitsOfManyRequests(t *testing.T) {
	for _, f := range floods() {
		t.Run(f.what, func(t *testing.T) {
			end, stop := context.WithCancel(context.Background())
			defer stop()
			began := make(chan struct{}, 1)
			k := newKit(t, func(c *server.Config) {
				f.change(&c.Limits)
				if f.hold {
					c.Store = waiting{c.Store, began, end}
				}
			}).owners()
			k.secret = k.key(auth.RoleAdmin, "")
			for range 10 {
				f.open(t, k)
			}
			if f.hold {
				<-began
			}
			q := request{method: "POST", path: "/v1/executions", body: record(), key: k.secret}
			if strings.Contains(f.what, "treams") {
				q = request{method: "GET", path: "/v1/executions/stream", key: k.secret}
			}
			got := k.do(q)
			if said := refusal(t, got); got.status != f.status || !strings.Contains(said, f.names) {
				t.Errorf("status %d, want %d naming %q: %s", got.status, f.status, f.names, said)
			}
			for _, path := range []string{"/healthz", "/readyz"} {
				if got := k.get(path); got.status != 200 {
					t.Errorf("%s: status %d: %s", path, got.status, got.body)
				}
			}
			stop()
		})
	}
}

// stall sends a request on a connection of its own and waits for no answer. Of one
// that is not whole the last byte is missing; one of which the server sends
// something is waited for until then.
func (k *kit) stall(t *testing.T, method, path, body string, whole bool) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(k.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	sent := body
	if !whole {
		sent = body[:len(body)-1]
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n%s",
		method, path, k.secret, len(body), sent)
	// Either the server has begun to read the body, or it has answered.
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		t.Fatal(err)
	}
}

// The time of an answer is not cut short by the deadline of its body.
func TestAnAnswerHasItsWholeTime(t *testing.T) {
	slow := slowStore{}
	k := newKit(t, func(c *server.Config) {
		slow.Store, c.Store = c.Store, &slow
		c.Limits.IdleTime = time.Second
	})
	as[sandtrail.User](t, k.do(request{method: "PUT", path: "/v1/users/u1", body: `{"email":"a@example.com"}`}), http.StatusOK)
}

// slowStore takes longer than callers may be idle.
type slowStore struct{ sandtrail.Store }

func (s *slowStore) PutUser(ctx context.Context, u sandtrail.User) error {
	timer := time.NewTimer(1200 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return s.Store.PutUser(ctx, u)
	}
}
