package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/server"
)

// event is what a live stream sends between two blank lines.
type event struct {
	id, data, comment string
}

// subscriber reads a live stream.
type subscriber struct {
	t      *testing.T
	lines  *bufio.Scanner
	cancel context.CancelFunc
	last   string // id
}

func (k *kit) subscribe(query, key, lastEventID string) *subscriber {
	k.t.Helper()
	header := http.Header{}
	if key != "" {
		header.Set("Authorization", "Bearer "+key)
	}
	if lastEventID != "" {
		header.Set("Last-Event-ID", lastEventID)
	}
	return k.subscribeAt("/v1/executions/stream"+query, header)
}

func (k *kit) subscribeAt(path string, header ...http.Header) *subscriber {
	k.t.Helper()
	ctx, cancel := context.WithCancel(k.t.Context())
	k.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", k.url+path, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	for _, h := range header {
		r.Header = h
	}
	response, err := k.http.Do(r)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { response.Body.Close() })
	if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || got != "text/event-stream" {
		k.t.Fatalf("status %d, Content-Type %q", response.StatusCode, got)
	}
	s := &subscriber{t: k.t, lines: bufio.NewScanner(response.Body), cancel: cancel}
	s.next() // where the stream begins
	return s
}

// next reads one event of any kind; false at the end of the stream.
func (s *subscriber) next() (event, bool) {
	var e event
	for s.lines.Scan() {
		line := s.lines.Text()
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "id":
			e.id, s.last = value, value
		case "data":
			e.data = value
		case "":
			if line == "" {
				return e, true
			}
			e.comment = value
		}
	}
	return e, false
}

// records reads n records.
func (s *subscriber) records(n int) []sandtrail.ID {
	s.t.Helper()
	var ids []sandtrail.ID
	for len(ids) < n {
		e, ok := s.next()
		if !ok {
			s.t.Fatalf("the stream ended after %d of %d records: %v", len(ids), n, s.lines.Err())
		}
		if e.data == "" {
			continue
		}
		var record sandtrail.Execution
		if err := json.Unmarshal([]byte(e.data), &record); err != nil || record.User == nil || e.id == "" {
			s.t.Fatalf("event %+v: %v", e, err)
		}
		ids = append(ids, record.ID)
	}
	return ids
}

func TestStreamMeetsEveryRecordOnce(t *testing.T) {
	k := newKit(t).owners()
	k.put("u1") // before
	first, second := k.subscribe("", "", ""), k.subscribe("", "", "")
	var want []sandtrail.ID
	for i := range 30 {
		if i%2 == 0 {
			want = append(want, k.put("u1")) // as another process does
			continue
		}
		want = append(want, as[api.Appended](t, k.post("/v1/executions", record()), 201).IDs...)
	}
	if diff := cmp.Diff(want, first.records(30)); diff != "" {
		t.Errorf("first:\n%s", diff)
	}
	if diff := cmp.Diff(want[:10], second.records(10)); diff != "" {
		t.Errorf("second:\n%s", diff)
	}
	second.cancel()
	want = append(want, k.put("u2"))
	resumed := k.subscribe("", "", second.last)
	if diff := cmp.Diff(want[10:], resumed.records(21)); diff != "" {
		t.Errorf("resumed:\n%s", diff)
	}
}

func TestStreamShowsWhatIsAskedForAndAllowed(t *testing.T) {
	k := newKit(t).owners()
	bound, all := k.key(auth.RoleRead, "u1"), k.key(auth.RoleRead, "")
	own, foreign := k.subscribe("", bound, ""), k.subscribe("?userId=u2&success=false", all, "")
	precise := k.subscribe("?text=needle&minTime=200&maxTime=300&minMemory=1&maxMemory=64", all, "")
	var u1, u2 []sandtrail.ID
	for range 5 {
		u1, u2 = append(u1, k.put("u1")), append(u2, k.put("u2"))
	}
	if diff := cmp.Diff(u1, own.records(5)); diff != "" {
		t.Errorf("bound:\n%s", diff)
	}
	if diff := cmp.Diff(u2, foreign.records(5)); diff != "" {
		t.Errorf("filtered:\n%s", diff)
	}
	var found []sandtrail.ID
	for _, body := range []string{
		record(`"executionTime":250`, `"memoryUsed":64`), // and none of the text
		record(`"executionTime":301`, `"memoryUsed":64`, `"metadata":{"x":"a Needle"}`),
		record(`"executionTime":250`, `"metadata":{"x":"a Needle"}`),
		record(`"executionTime":250`, `"memoryUsed":64`, `"metadata":{"x":"a Needle"}`),
	} {
		found = as[api.Appended](t, k.do(request{
			method: "POST", path: "/v1/executions", body: body, key: k.key(auth.RoleIngest, ""), header: []string{"Content-Type", "application/json"},
		}), http.StatusCreated).IDs
	}
	if diff := cmp.Diff(found, precise.records(1)); diff != "" {
		t.Errorf("filtered by measures and text:\n%s", diff)
	}
}

func TestStreamRefusesAPlaceThatIsNone(t *testing.T) {
	k := newKit(t)
	problem(t, k.do(request{method: "GET", path: "/v1/executions/stream", header: []string{"Last-Event-ID", "nonsense"}}), sandtrail.CodeInvalid)
}

// A database that is put back to an earlier state knows the place no longer: to
// come back with it would be refused.
func TestStreamSaysHowToGoOn(t *testing.T) {
	bad := sandtrail.Errorf(sandtrail.CodeInvalid, "the place is not one of this database; begin anew without one")
	gone := sandtrail.Errorf(sandtrail.CodeUnavailable, "out of reach; try again later")
	for err, want := range map[*sandtrail.Error]string{bad: "begin anew without Last-Event-ID", gone: "come back with Last-Event-ID"} {
		k := newKit(t, func(c *server.Config) { c.Services = &lost{Follower: c.Services.(follow.Follower), err: err} })
		e, ok := k.subscribe("", "", "").next()
		if !ok || !strings.HasSuffix(e.comment, want) {
			t.Errorf("%v: the stream ended with %q, want %q", err, e.comment, want)
		}
	}
}

// lost is a store that answers once.
type lost struct {
	follow.Follower
	asked atomic.Bool
	err   error
}

func (l *lost) Follow(ctx context.Context, after follow.Place, limit int) ([]follow.Followed, error) {
	if l.asked.Swap(true) {
		return nil, l.err
	}
	return l.Follower.Follow(ctx, after, limit)
}

// A stream over the limit is refused and does not take the place of requests.
func TestStreamsAreBounded(t *testing.T) {
	k := newKit(t, func(c *server.Config) { c.Limits.Streams, c.Limits.Requests = 1, 1 })
	k.subscribe("", "", "")
	problem(t, k.get("/v1/executions/stream"), sandtrail.CodeUnavailable)
	as[api.Page[sandtrail.User]](t, k.get("/v1/users"), 200)
}

// When the server is told to stop, requests in flight are answered, streams
// are told, and readiness is withdrawn first.
func TestServeDrains(t *testing.T) {
	k := newKit(t).owners()
	release, entered := make(chan struct{}), make(chan struct{})
	s, err := server.New(server.Config{
		Store: slowAppends{k.store, entered, release}, Services: k.store, Now: func() time.Time { return start },
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	k.url = "http://" + listener.Addr().String()

	stream := k.subscribe("", "", "")
	answered := make(chan reply, 1)
	go func() { answered <- k.post("/v1/executions", record()) }()
	<-entered
	stop()
	for {
		e, ok := stream.next()
		if !ok {
			t.Fatal("the stream ended without a word")
		}
		if strings.Contains(e.comment, "stopping") {
			break
		}
	}
	close(release)
	if got := as[api.Appended](t, <-answered, 201); got.Accepted != 1 {
		t.Errorf("the request in flight: %+v", got)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	if n := k.count(); n != 1 {
		t.Errorf("%d stored, want 1", n)
	}
}

type slowAppends struct {
	sandtrail.Store
	entered, release chan struct{}
}

func (s slowAppends) Append(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	close(s.entered)
	<-s.release
	return s.Store.Append(ctx, batch)
}

func TestReadyz(t *testing.T) {
	k := newKit(t, func(c *server.Config) { c.Store = unreachable{c.Store} })
	if got := k.get("/readyz"); got.status != 503 || !strings.Contains(string(got.body), "unavailable") {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if got := k.get("/healthz"); got.status != 200 {
		t.Errorf("healthz: status %d", got.status)
	}
}

type unreachable struct{ sandtrail.Store }

func (unreachable) Ping(context.Context) error {
	return sandtrail.Errorf(sandtrail.CodeUnavailable, "gone")
}

func TestMetricsCountWhatHappened(t *testing.T) {
	k := newKit(t).owners()
	as[api.Appended](t, k.post("/v1/executions", "["+record()+","+record()+"]"), 201)
	k.post("/v1/executions", record(`userId:"nobody"`))
	text := string(k.get("/metrics").body)
	for _, want := range []string{
		"sandtrail_executions_accepted_total 2\n",
		`sandtrail_append_errors_total{code="invalid"} 1` + "\n",
		"sandtrail_group_commit_records_count 2\n",
		`sandtrail_http_request_duration_seconds_count{route="POST /v1/executions",status="201"} 1` + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
}

func TestPanicIsAnsweredAndCounted(t *testing.T) {
	k := newKit(t, func(c *server.Config) { c.Store = panicking{c.Store} })
	problem(t, k.get("/v1/users"), sandtrail.CodeInternal)
	if text := string(k.get("/metrics").body); !strings.Contains(text, "sandtrail_panics_total 1\n") {
		t.Error("the panic was not counted")
	}
}

type panicking struct{ sandtrail.Store }

func (panicking) Users(context.Context, sandtrail.OwnerQuery) (sandtrail.OwnerPage[sandtrail.User], error) {
	panic("a fault")
}
