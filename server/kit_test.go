package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/server"
	"github.com/sandtrail/sandtrail/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// ledgerKeys sign the checkpoints of all servers here.
var ledgerKeys, _ = ledger.GenerateKeys(rand.Reader, "example.com/audit")

// kit is a server on a fresh SQLite database.
type kit struct {
	t     *testing.T
	store *sqlite.Store
	url   string
	http  *http.Client

	secret string // of the key that requests are made with, where a test has one
}

func newKit(t *testing.T, change ...func(*server.Config)) *kit {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	if _, err := store.Migrate(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	config := server.Config{
		Store: store, Services: store, Now: func() time.Time { return start },
		Retention: sandtrail.Periods{Keep: sandtrail.DefaultRetention},
		Ledger:    withClosed{ledger.Service{Log: store, Keys: ledgerKeys}},
		Witness:   ledger.Witness{Memory: store, Logs: ledgerKeys.Verifiers, Keys: func() ledger.Keys { return ledgerKeys }},
	}
	config.Limits.PollEvery = 10 * time.Millisecond
	for _, c := range change {
		c(&config)
	}
	s, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	h := httptest.NewServer(s.Handler())
	k := &kit{t: t, store: store, url: h.URL, http: h.Client()}
	t.Cleanup(func() {
		stop() // ends live streams, for which Close would wait
		h.Close()
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return k
}

// withClosed is a ledger with a closed log before it, of the same entries: SQLite has
// none.
type withClosed struct{ ledger.Service }

func (l withClosed) Closed(context.Context) ([]ledger.ClosedLog, error) {
	return []ledger.ClosedLog{{At: start, How: "its table had been dropped from outside", Leaves: 1}}, nil
}

func (l withClosed) ClosedTile(ctx context.Context, at time.Time, path string) ([]byte, error) {
	if !at.Equal(start) {
		return l.Service.ClosedTile(ctx, at, path)
	}
	return l.Tile(ctx, path)
}

// owners makes users u1, u2 and strategies s1, s2.
func (k *kit) owners() *kit {
	k.t.Helper()
	for _, n := range []string{"1", "2"} {
		if err := k.store.PutUser(k.t.Context(), sandtrail.User{ID: "u" + n, Email: "u" + n + "@example.com"}); err != nil {
			k.t.Fatal(err)
		}
		if err := k.store.PutStrategy(k.t.Context(), sandtrail.Strategy{ID: "s" + n, Name: "Strategy " + n}); err != nil {
			k.t.Fatal(err)
		}
	}
	return k
}

// key makes a key and returns its secret.
func (k *kit) key(role auth.Role, userID string) string {
	k.t.Helper()
	key, secret := auth.NewKey(string(role)+userID, role, userID, start)
	if err := k.store.CreateKey(k.t.Context(), key); err != nil {
		k.t.Fatal(err)
	}
	return secret
}

// record is an execution as JSON, with changes such as `"success":false`.
func record(changes ...string) string {
	fields := map[string]json.RawMessage{
		"userId": []byte(`"u1"`), "strategyId": []byte(`"s1"`), "executionType": []byte(`"VALIDATION"`),
		"success": []byte("true"), "executionTime": []byte("100"),
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, ":")
		fields[strings.Trim(name, `"`)] = []byte(value)
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// request is one call; header holds names and values in turn.
type request struct {
	method, path, body, key string
	header                  []string
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (k *kit) do(q request) reply {
	k.t.Helper()
	r, err := http.NewRequestWithContext(k.t.Context(), q.method, k.url+q.path, strings.NewReader(q.body))
	if err != nil {
		k.t.Fatal(err)
	}
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if q.key != "" {
		r.Header.Set("Authorization", "Bearer "+q.key)
	}
	for i := 0; i < len(q.header); i += 2 {
		r.Header.Set(q.header[i], q.header[i+1])
		if q.header[i] == "Host" {
			r.Host = q.header[i+1]
		}
	}
	response, err := k.http.Do(r)
	if err != nil {
		k.t.Fatalf("%s %s: %v", q.method, q.path, err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		k.t.Fatalf("%s %s: %v", q.method, q.path, err)
	}
	return reply{status: response.StatusCode, header: response.Header, body: raw}
}

func (k *kit) get(path string) reply { k.t.Helper(); return k.do(request{method: "GET", path: path}) }

func (k *kit) post(path, body string) reply {
	k.t.Helper()
	return k.do(request{method: "POST", path: path, body: body})
}

// as reads the body of a reply that must have a status.
func as[T any](t *testing.T, r reply, status int) (value T) {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("body: %v: %s", err, r.body)
	}
	return value
}

// problem checks that a reply is a problem document of a code and returns
// where it says the faults are.
func problem(t *testing.T, r reply, code sandtrail.Code) (api.Problem, []string) {
	t.Helper()
	if got := r.header.Get("Content-Type"); got != api.ProblemType {
		t.Fatalf("status %d with Content-Type %q, want %s: %s", r.status, got, api.ProblemType, r.body)
	}
	p := as[api.Problem](t, r, r.status)
	if p.Code != code || p.Status != r.status || p.Detail == "" || p.Title == "" {
		t.Fatalf("status %d, want a problem of code %s: %s", r.status, code, r.body)
	}
	var places []string
	for _, e := range p.Errors {
		if e.Message == "" {
			t.Errorf("%s: no message", e.Location)
		}
		places = append(places, e.Location)
	}
	return p, places
}

// count is how many executions are stored.
func (k *kit) count() int64 {
	k.t.Helper()
	n, err := k.store.CountBefore(k.t.Context(), sandtrail.Before(start.Add(time.Hour)))
	if err != nil {
		k.t.Fatal(err)
	}
	return n
}

func repeat(n int, line func(i int) string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, line(i))
	}
	return b.String()
}

// doNoStream is do for calls that may answer with a stream without end: it
// reads only what comes first of those.
func (k *kit) doNoStream(q request) reply {
	k.t.Helper()
	if !strings.HasPrefix(q.path, "/v1/executions/stream") {
		return k.do(q)
	}
	ctx, cancel := context.WithCancel(k.t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, q.method, k.url+q.path, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+q.key)
	response, err := k.http.Do(r)
	if err != nil {
		k.t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, 4096)
	n, err := response.Body.Read(first)
	if err != nil && err != io.EOF {
		k.t.Fatal(err)
	}
	return reply{status: response.StatusCode, header: response.Header, body: first[:n]}
}
