package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/server"
	"github.com/sandtrail/sandtrail/sqlite"
)

// clock is a time that tests move.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time           { return start.Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(by time.Duration) { c.ahead.Add(int64(by)) }

func TestWithoutKeysOnlyThisMachineIsAnswered(t *testing.T) {
	k := newKit(t)
	for _, test := range []struct {
		name   string
		header []string
		open   bool
	}{
		{"a program", nil, true},
		{"by the name localhost", []string{"Host", "localhost:8471"}, true},
		{"by IPv6", []string{"Host", "[::1]:8471"}, true},
		{"our own page", []string{"Host", "localhost:8471", "Origin", "http://localhost:8471"}, true},
		{"a name that an attacker made point here", []string{"Host", "evil.example"}, false},
		{"a page of another site", []string{"Origin", "https://evil.example"}, false},
		{"a page of another port", []string{"Host", "localhost:8471", "Origin", "http://localhost:3000"}, false},
		{"a file or a sandboxed page", []string{"Origin", "null"}, false},
		{"an image in another site's page", []string{"Sec-Fetch-Site", "cross-site"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := k.do(request{method: "GET", path: "/v1/users", header: test.header})
			if test.open {
				as[api.Page[sandtrail.User]](t, got, 200)
				return
			}
			problem(t, got, sandtrail.CodeForbidden)
		})
	}
}

// The page is as closed as the API while there are no keys, and identifies
// its readers itself when there are.
func TestPageBesideTheAPI(t *testing.T) {
	k := newKit(t, func(c *server.Config) {
		c.Page = func(api http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if path := map[string]string{"/asked": "/v1/users", "/live": "/v1/executions/stream"}[r.URL.Path]; path != "" {
					r.URL.Path = path
					api.ServeHTTP(w, r)
					return
				}
				_, _ = io.WriteString(w, "page "+r.URL.Path)
			})
		}
	}).owners()
	for _, path := range []string{"/", "/executions", "/nothing"} {
		if got := k.get(path); got.status != 200 || string(got.body) != "page "+path {
			t.Errorf("%s: status %d: %s", path, got.status, got.body)
		}
	}
	if users := as[api.Page[sandtrail.User]](t, k.get("/asked"), 200); len(users.Items) != 2 {
		t.Errorf("asked through the page: %+v", users)
	}
	problem(t, k.do(request{method: "GET", path: "/", header: []string{"Host", "evil.example"}}), sandtrail.CodeForbidden)
	problem(t, k.get("/v1/nothing"), sandtrail.CodeNotFound)

	stream := k.subscribeAt("/live")
	want := k.put("u1")
	if got := stream.records(1); got[0] != want {
		t.Errorf("followed through the page: %v, want %v", got, want)
	}
}

func TestTheFirstKeyClosesTheServer(t *testing.T) {
	var c clock
	k := newKit(t, func(config *server.Config) { config.Now = c.now })
	as[api.Page[sandtrail.User]](t, k.get("/v1/users"), 200)
	made := as[api.CreatedKey](t, k.post("/v1/keys", `{"role":"admin","name":"first","expiresIn":"1h"}`), 201)
	problem(t, k.get("/v1/users"), sandtrail.CodeUnauthorized)
	withKey := request{method: "GET", path: "/v1/users", key: made.Secret}
	as[api.Page[sandtrail.User]](t, k.do(withKey), 200)

	c.advance(time.Hour)
	problem(t, k.do(withKey), sandtrail.CodeUnauthorized)
	// Expired and revoked keys keep it closed.
	problem(t, k.get("/v1/users"), sandtrail.CodeUnauthorized)
}

// A key that another process makes or revokes counts within seconds.
func TestKeysChangeWhileServing(t *testing.T) {
	var c clock
	k := newKit(t, func(config *server.Config) { config.Now = c.now })
	as[api.Page[sandtrail.User]](t, k.get("/v1/users"), 200)
	secret := k.key(auth.RoleRead, "")
	c.advance(3 * time.Second)
	problem(t, k.get("/v1/users"), sandtrail.CodeUnauthorized)
	withKey := request{method: "GET", path: "/v1/users", key: secret}
	as[api.Page[sandtrail.User]](t, k.do(withKey), 200)

	keys, err := k.store.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := k.store.RevokeKey(t.Context(), keys[0].ID, c.now()); err != nil {
		t.Fatal(err)
	}
	c.advance(3 * time.Second)
	problem(t, k.do(withKey), sandtrail.CodeUnauthorized)
}

func TestRevokingByCallCountsAtOnce(t *testing.T) {
	k := newKit(t)
	admin := k.key(auth.RoleAdmin, "")
	made := as[api.CreatedKey](t, k.do(request{method: "POST", path: "/v1/keys", body: `{"role":"read"}`, key: admin}), 201)
	withKey := request{method: "GET", path: "/v1/users", key: made.Secret}
	as[api.Page[sandtrail.User]](t, k.do(withKey), 200)
	if got := k.do(request{method: "DELETE", path: "/v1/keys/" + made.ID.String(), key: admin}); got.status != 204 {
		t.Fatalf("revoke: status %d: %s", got.status, got.body)
	}
	problem(t, k.do(withKey), sandtrail.CodeUnauthorized)
	problem(t, k.do(request{method: "DELETE", path: "/v1/keys/" + sandtrail.NewID(start).String(), key: admin}), sandtrail.CodeNotFound)
}

func TestRateLimit(t *testing.T) {
	var c clock
	k := newKit(t, func(config *server.Config) { config.Limits.Rate, config.Now = 1, c.now })
	one, two := k.key(auth.RoleRead, ""), k.key(auth.RoleAuditor, "")
	ask := func(key string) reply { return k.do(request{method: "GET", path: "/v1/users", key: key}) }
	for range 3 {
		as[api.Page[sandtrail.User]](t, ask(one), 200)
	}
	got := ask(one)
	problem(t, got, sandtrail.CodeRateLimited)
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "1" {
		t.Errorf("status %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
	}
	as[api.Page[sandtrail.User]](t, ask(two), 200) // each key has its own
	c.advance(time.Second)
	as[api.Page[sandtrail.User]](t, ask(one), 200)
}

func TestAccessLogTellsWhoDidWhat(t *testing.T) {
	k := newKit(t).owners()
	admin, reader := k.key(auth.RoleAdmin, ""), k.key(auth.RoleRead, "u1")
	for _, q := range []request{
		{method: "GET", path: "/v1/executions", key: reader}, // reading is not logged
		{method: "GET", path: "/v1/export?format=csv", key: reader},
		{method: "DELETE", path: "/v1/users/u2", key: reader},
		{method: "GET", path: "/v1/users", key: ""},
		{method: "DELETE", path: "/v1/users/u2", key: admin},
	} {
		k.do(q)
	}
	lines, err := k.store.Accesses(t.Context(), auth.AccessQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		Actor, Action, Object string
		Outcome               auth.Outcome
		Keyed                 bool
	}
	want := map[line]int{
		{"readu1", "export", "/v1/export?format=csv", auth.Allowed, true}: 1,
		{"readu1", "delete user", "/v1/users/u2", auth.Denied, true}:      1,
		{"anonymous", "GET /v1/users", "/v1/users", auth.Denied, false}:   1,
		{"admin", "delete user", "/v1/users/u2", auth.Allowed, true}:      1,
	}
	got := map[line]int{}
	for _, l := range lines {
		got[line{l.Actor, l.Action, l.Object, l.Outcome, l.KeyID != nil}]++
		if l.Remote != "127.0.0.1" || !l.At.Equal(start) {
			t.Errorf("line: %+v", l)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("access log:\n%s", diff)
	}
}

// forgetful is an access log that cannot be written.
type forgetful struct{ auth.AccessLog }

func (forgetful) LogAccess(context.Context, auth.Access) error {
	return sandtrail.Errorf(sandtrail.CodeUnavailable, "the disk is full")
}

func TestWhatCannotBeLoggedIsNotDone(t *testing.T) {
	k := newKit(t, func(c *server.Config) { c.Services = forgetful{} }).owners()
	problem(t, k.do(request{method: "DELETE", path: "/v1/users/u1"}), sandtrail.CodeUnavailable)
	if _, err := k.store.User(t.Context(), "u1"); err != nil {
		t.Errorf("the user: %v", err)
	}
}

func TestServeRefusesANetworkWithoutKeys(t *testing.T) {
	k := newKit(t)
	serve := func(address string) error {
		s, err := server.New(server.Config{Store: k.store})
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, listener) }()
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		if response, err := k.http.Get("http://127.0.0.1:" + port + "/healthz"); err == nil {
			response.Body.Close()
		}
		cancel()
		return <-served
	}
	if err := serve("0.0.0.0:0"); !errors.Is(err, server.ErrOpenAddress) {
		t.Errorf("without keys on all addresses: got %v, want ErrOpenAddress", err)
	}
	if err := serve("127.0.0.1:0"); err != nil {
		t.Errorf("without keys on loopback: %v", err)
	}
	k.key(auth.RoleRead, "")
	if err := serve("0.0.0.0:0"); err != nil {
		t.Errorf("with a key on all addresses: %v", err)
	}
}

func TestLastUseIsNoted(t *testing.T) {
	touched := make(chan sandtrail.ID, 1)
	k := newKit(t, func(c *server.Config) { c.Services = touchSpy{c.Services.(*sqlite.Store), touched} })
	secret := k.key(auth.RoleRead, "")
	k.do(request{method: "GET", path: "/v1/users", key: secret})
	<-touched
	keys, err := k.store.Keys(t.Context())
	if err != nil || keys[0].LastUsedAt == nil || !keys[0].LastUsedAt.Equal(start) {
		t.Errorf("keys: %+v, %v", keys, err)
	}
}

type touchSpy struct {
	*sqlite.Store
	touched chan sandtrail.ID
}

func (s touchSpy) TouchKey(ctx context.Context, id sandtrail.ID, now time.Time) error {
	err := s.Store.TouchKey(ctx, id, now)
	s.touched <- id
	return err
}

// countingKeys counts what is asked of a keyring.
type countingKeys struct {
	*sqlite.Store
	lookups atomic.Int64
}

func (c *countingKeys) KeyByHash(ctx context.Context, hash auth.KeyHash) (auth.Key, error) {
	c.lookups.Add(1)
	return c.Store.KeyByHash(ctx, hash)
}

// emptied is keys that were made once, and of which the database knows nothing any more.
type emptied struct {
	*sqlite.Store
	empty atomic.Bool
}

func (e *emptied) Keyed(ctx context.Context) (bool, error) {
	if e.empty.Load() {
		return false, nil
	}
	return e.Store.Keyed(ctx)
}

func TestDeletingKeysOpensNothing(t *testing.T) {
	keys, at := &emptied{}, start
	k := newKit(t, func(c *server.Config) {
		keys.Store, c.Services = c.Services.(*sqlite.Store), keys
		c.Now = func() time.Time { return at }
	})
	k.key(auth.RoleAdmin, "")
	problem(t, k.do(request{method: "GET", path: "/v1/executions"}), sandtrail.CodeUnauthorized)
	keys.empty.Store(true)
	at = at.Add(time.Hour) // whatever the server remembers for a while
	problem(t, k.do(request{method: "GET", path: "/v1/executions"}), sandtrail.CodeUnauthorized)
}

// A server that has just started meets all keys for the first time.
func TestManyValidKeysAtOnce(t *testing.T) {
	k := newKit(t)
	for range 250 {
		as[any](t, k.do(request{method: "GET", path: "/v1/executions", key: k.key(auth.RoleRead, "")}), 200)
	}
}

// A stranger with a key of the right form costs the store nothing that grows with
// the number of attempts, and a key that is made works at once.
func TestUnknownKeysCostNothing(t *testing.T) {
	keys := &countingKeys{}
	k := newKit(t, func(c *server.Config) { keys.Store, c.Services = c.Services.(*sqlite.Store), keys })
	admin := k.key(auth.RoleAdmin, "")
	as[any](t, k.do(request{method: "GET", path: "/v1/keys", key: admin}), 200)
	keys.lookups.Store(0)
	_, secret := auth.NewKey("x", auth.RoleRead, "", start)
	for range 50 {
		problem(t, k.do(request{method: "GET", path: "/v1/executions", key: secret}), sandtrail.CodeUnauthorized)
	}
	if n := keys.lookups.Load(); n != 1 {
		t.Errorf("one unknown key was looked up %d times", n)
	}
	refused := map[int]int{}
	for range 400 {
		_, other := auth.NewKey("x", auth.RoleRead, "", start)
		refused[k.do(request{method: "GET", path: "/v1/executions", key: other}).status]++
	}
	if n := keys.lookups.Load(); n > 250 || refused[401] == 0 || refused[429] == 0 || refused[401]+refused[429] != 400 {
		t.Errorf("%d lookups for 400 unknown keys, answers %v", n, refused)
	}
	made := as[api.CreatedKey](t, k.do(request{method: "POST", path: "/v1/keys", key: admin, body: `{"name":"n","role":"read"}`}), 201)
	if got := k.do(request{method: "GET", path: "/v1/executions", key: made.Secret}); got.status != 200 {
		t.Errorf("a new key: status %d: %s", got.status, got.body)
	}
}

// A name that an attacker points at this machine gets nothing of a server without
// keys, but for what probes ask.
func TestForeignHostsSeeNothingWithoutKeys(t *testing.T) {
	k := newKit(t)
	paths := map[string]bool{"/healthz": true, "/readyz": true, "/metrics": false, "/openapi.json": false, "/docs": false, "/v1/executions": false}
	for path, open := range paths {
		if got := k.do(request{method: "GET", path: path, header: []string{"Host", "rebound.example"}}); (got.status == 200) != open {
			t.Errorf("%s: status %d", path, got.status)
		}
	}
	k.key(auth.RoleAdmin, "")
	k = newKit(t, func(c *server.Config) { c.Services = k.store }) // one that has keys
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"} {
		if got := k.do(request{method: "GET", path: path, header: []string{"Host", "sandtrail.example"}}); got.status != 200 {
			t.Errorf("%s with keys: status %d", path, got.status)
		}
	}
}
