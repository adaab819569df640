package client_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/server"
	"github.com/sandtrail/sandtrail/sqlite"
	"github.com/sandtrail/sandtrail/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// served is a store behind a server, with what only the database itself does.
type served struct {
	*client.Client
	schema
	clock *atomic.Pointer[time.Time] // of the server
}

// late is later than any record: a clock that refuses none.
var late = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// Append moves the server's clock to where the suite's is, which only a
// record shows whose time was filled in from it.
func (s served) Append(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	s.clock.Store(&late)
	for _, a := range batch {
		if a.TimeDefaulted {
			s.clock.Store(&a.Execution.CreatedAt)
		}
	}
	return s.Client.Append(ctx, batch)
}

// Executions does so for filters that depend on it.
func (s served) Executions(ctx context.Context, q sandtrail.Query, now time.Time) (sandtrail.Page, error) {
	if q.Filter.Within > 0 {
		s.clock.Store(&now)
	}
	return s.Client.Executions(ctx, q, now)
}

// schema is the part of a database that does not travel.
type schema interface {
	Migrations(ctx context.Context) ([]database.Migration, error)
	Migrate(ctx context.Context, now time.Time) ([]database.Migration, error)
	Maintain(ctx context.Context, now time.Time) error
	Upkeep() []database.UpkeepStep
}

func openDatabase(t *testing.T) *sqlite.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	return db
}

// serve serves a database and returns the server's URL.
func serve(t *testing.T, db *sqlite.Store, change ...func(*server.Config)) string {
	t.Helper()
	config := server.Config{
		Store: db, Services: db, Now: func() time.Time { return noon },
	}
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
	t.Cleanup(func() {
		stop()
		h.Close()
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return h.URL
}

func open(t *testing.T, url, key string) *client.Client {
	t.Helper()
	c, err := client.Open(url, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// openPatient opens a client that waits for an answer however slow the machine
// is: one that asks again finds duplicates where the model finds news.
func openPatient(t *testing.T, url string) *client.Client {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	c, err := client.New(client.Options{URL: url, HTTP: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return c
}

// A server is a store like any other.
func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) database.Database {
		db, clock := openDatabase(t), new(atomic.Pointer[time.Time])
		clock.Store(&late)
		url := serve(t, db, func(c *server.Config) {
			c.Now = func() time.Time { return *clock.Load() }
			c.Limits.RequestTime = time.Hour
		})
		return served{Client: openPatient(t, url), schema: db, clock: clock}
	})
}

// Every error of a store comes out of the client as it went into the server.
func TestErrorsHoldAcrossTheWire(t *testing.T) {
	for _, want := range []*sandtrail.Error{
		{Code: sandtrail.CodeInvalid, Message: "invalid execution", Fields: []sandtrail.FieldError{{Path: "userId", Message: "required"}, {Path: "metadata.errors[0].message", Message: "required: say what"}}},
		{Code: sandtrail.CodeInvalid, Fields: []sandtrail.FieldError{{Path: "tz", Message: "unknown"}}},
		{Code: sandtrail.CodeInvalid, Message: "the value as a whole", Fields: []sandtrail.FieldError{{Path: "", Message: "want an object"}}},
		{Code: sandtrail.CodeNotFound, Message: "there is no such user: nobody"},
		{Code: sandtrail.CodeConflict, Message: "conflicting execution", Fields: []sandtrail.FieldError{{Path: "[3].id", Message: "taken"}}},
		{Code: sandtrail.CodeUnauthorized, Message: "no key"},
		{Code: sandtrail.CodeForbidden, Message: "may not"},
		{Code: sandtrail.CodeHeld, Message: "a legal hold"},
		{Code: sandtrail.CodeRateLimited, Message: "slower"},
		{Code: sandtrail.CodeTooLarge, Message: "too large"},
		{Code: sandtrail.CodeUnavailable, Message: "gone"},
	} {
		t.Run(string(want.Code), func(t *testing.T) {
			db := openDatabase(t)
			url := serve(t, db, func(c *server.Config) { c.Store = failingUsers{db, want} })
			c, err := client.New(client.Options{URL: url, Attempts: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.UserStats(t.Context(), "u")
			var got *sandtrail.Error
			if !errors.As(err, &got) || !errors.Is(err, want.Code) {
				t.Fatalf("got %v, want code %s", err, want.Code)
			}
			if got.Error() != want.Error() {
				t.Errorf("got the words %q, want %q", got, want)
			}
			if diff := cmp.Diff(want.Fields, got.Fields); diff != "" {
				t.Errorf("fields:\n%s", diff)
			}
		})
	}
}

type failingUsers struct {
	sandtrail.Store
	err error
}

func (f failingUsers) UserStats(context.Context, string) (sandtrail.UserStats, error) {
	return sandtrail.UserStats{}, f.err
}

func TestAFaultOfTheServerTellsNothing(t *testing.T) {
	db := openDatabase(t)
	url := serve(t, db, func(c *server.Config) { c.Store = failingUsers{db, errors.New("password=hunter2")} })
	_, err := open(t, url, "").UserStats(t.Context(), "u")
	told := regexp.MustCompile(`^The server met an error of its own; its log says more\. Its operator finds it there as request [0-9a-f-]{36}\.$`)
	if sandtrail.CodeOf(err) != sandtrail.CodeInternal || !told.MatchString(err.Error()) {
		t.Errorf("got %v", err)
	}
}

// flaky answers some requests itself before the server sees them, or after.
type flaky struct {
	next   http.Handler
	before func(n int32, w http.ResponseWriter) bool // true: answered
	after  func(n int32) bool                        // true: the answer is lost
	n      atomic.Int32
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := f.n.Add(1)
	if f.before != nil && f.before(n, w) {
		_, _ = io.Copy(io.Discard, r.Body)
		return
	}
	if f.after != nil && f.after(n) {
		f.next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	f.next.ServeHTTP(w, r)
}

// behind starts a server behind something flaky.
func behind(t *testing.T, db *sqlite.Store, f *flaky) *client.Client {
	t.Helper()
	s, err := server.New(server.Config{Store: db, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	f.next = s.Handler()
	h := httptest.NewServer(f)
	t.Cleanup(func() { h.Close(); stop(); <-ran })
	return open(t, h.URL, "")
}

func admitted(t *testing.T) []sandtrail.Admitted {
	t.Helper()
	success, took := true, 1
	batch, err := sandtrail.Admission{Now: noon}.Admit(sandtrail.Draft{
		UserID: "u", StrategyID: "s", Type: sandtrail.Validation, Success: &success, ExecutionTime: &took,
	})
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func putOwners(t *testing.T, db *sqlite.Store) {
	t.Helper()
	err := errors.Join(
		db.PutUser(t.Context(), sandtrail.User{ID: "u", Email: "u@example.com"}),
		db.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"}))
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatMayHelpIsRepeated(t *testing.T) {
	refuse := func(status int) func(int32, http.ResponseWriter) bool {
		return func(n int32, w http.ResponseWriter) bool {
			if n > 2 {
				return false
			}
			w.WriteHeader(status)
			return true
		}
	}
	for _, test := range []struct {
		name     string
		flaky    *flaky
		attempts int32
		code     sandtrail.Code // "": it succeeds
	}{
		{"503 twice", &flaky{before: refuse(503)}, 3, ""},
		{"502 of a proxy twice", &flaky{before: refuse(502)}, 3, ""},
		{"429 twice", &flaky{before: refuse(429)}, 3, ""},
		{"the answer is lost", &flaky{after: func(n int32) bool { return n == 1 }}, 2, ""},
		{"500", &flaky{before: refuse(500)}, 1, sandtrail.CodeInternal},
		{"403", &flaky{before: refuse(403)}, 1, sandtrail.CodeForbidden},
		{"400", &flaky{before: refuse(400)}, 1, sandtrail.CodeInvalid},
		{"always 503", &flaky{before: func(_ int32, w http.ResponseWriter) bool { w.WriteHeader(503); return true }}, 4, sandtrail.CodeUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := openDatabase(t)
			putOwners(t, db)
			_, err := behind(t, db, test.flaky).Append(t.Context(), admitted(t))
			if got := sandtrail.CodeOf(err); got != test.code {
				t.Errorf("got %v, want code %q", err, test.code)
			}
			if got := test.flaky.n.Load(); got != test.attempts {
				t.Errorf("%d attempts, want %d", got, test.attempts)
			}
			stored, err := db.CountBefore(t.Context(), sandtrail.Before(noon.Add(time.Hour)))
			if want := map[bool]int64{true: 1}[test.code == ""]; err != nil || stored != want {
				t.Errorf("%d stored, want %d (%v)", stored, want, err)
			}
		})
	}
}

// awayFor is a server that answers 503 to so many requests.
type awayFor int

func (n *awayFor) RoundTrip(*http.Request) (*http.Response, error) {
	*n--
	status := http.StatusOK
	if *n >= 0 {
		status = http.StatusServiceUnavailable
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

func TestManyAttemptsOutlastAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := awayFor(1000)
		c, err := client.New(client.Options{URL: "http://server", HTTP: &http.Client{Transport: &away}, Attempts: 1001})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := c.Ping(t.Context()); err != nil || time.Since(begin) < time.Hour {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
	})
}

func TestARemovalIsNotRepeatedWhenItsAnswerIsLost(t *testing.T) {
	db := openDatabase(t)
	putOwners(t, db)
	f := &flaky{after: func(int32) bool { return true }}
	if _, err := behind(t, db, f).DeleteUser(t.Context(), "u"); !errors.Is(err, sandtrail.CodeUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if n := f.n.Load(); n != 1 {
		t.Errorf("%d attempts, want 1", n)
	}
}

func TestAnUnreachableServerIsUnavailable(t *testing.T) {
	h := httptest.NewServer(http.NotFoundHandler())
	h.Close()
	c, err := client.New(client.Options{URL: h.URL, Attempts: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(t.Context()); !errors.Is(err, sandtrail.CodeUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

func TestExport(t *testing.T) {
	db := openDatabase(t)
	url := serve(t, db, func(c *server.Config) { c.Store = manyPages{db} })
	last := 0
	err := open(t, url, "").Export(t.Context(), sandtrail.Filter{Success: new(false)}, func(page []sandtrail.Execution) error {
		for _, e := range page {
			if last++; e.ExecutionTime != last || e.Success {
				return fmt.Errorf("the execution at %d is %+v", last, e)
			}
		}
		return nil
	})
	if want := exportedPages * sandtrail.MaxLimit; err != nil || last != want {
		t.Errorf("%d executions, %v; want %d", last, err, want)
	}
}

func TestExportThatIsCutShort(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{}\n{}\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer h.Close()
	used := 0
	err := open(t, h.URL, "").Export(t.Context(), sandtrail.Filter{}, func(page []sandtrail.Execution) error {
		used += len(page)
		return nil
	})
	if used != 2 || !errors.Is(err, sandtrail.CodeUnavailable) {
		t.Errorf("%d executions were used, then %v; want 2 and that the server is unavailable", used, err)
	}
}

const exportedPages = 3

// manyPages has full pages of executions whose times count on.
type manyPages struct{ sandtrail.Store }

func (manyPages) Executions(_ context.Context, q sandtrail.Query, _ time.Time) (page sandtrail.Page, err error) {
	n := len(q.Cursor)
	for i := range q.Limit {
		page.Items = append(page.Items, sandtrail.Execution{ID: sandtrail.ID{1}, ExecutionTime: n*q.Limit + i + 1, Success: *q.Filter.Success})
	}
	if n+1 < exportedPages {
		page.NextCursor = q.Cursor + "+"
	}
	return page, nil
}

func TestDoctorOverTheWire(t *testing.T) {
	db := openDatabase(t)
	open := func(url string) *client.Client {
		c, err := client.Open(url, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	url := serve(t, db)
	for _, depth := range []database.Depth{database.Shallow, database.Deep} {
		want, err := db.Doctor(t.Context(), depth, noon)
		if err != nil {
			t.Fatal(err)
		}
		got, err := open(url).Doctor(t.Context(), depth, noon)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	if _, err := open(serve(t, db, func(c *server.Config) { c.Services = struct{ auth.Keyring }{db} })).Doctor(t.Context(), database.Shallow, noon); !errors.Is(err, sandtrail.CodeNotFound) {
		t.Errorf("without an examiner: %v", err)
	}
}

// A body is for the server that was named, whatever that says.
func TestRedirectionsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request went elsewhere") }))
	defer elsewhere.Close()
	h := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/T0KEN", http.StatusTemporaryRedirect))
	defer h.Close()
	c, err := client.New(client.Options{URL: h.URL, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, err := range map[string]error{
		"a read":  c.Ping(t.Context()),
		"a write": c.PutUser(t.Context(), sandtrail.User{ID: "u", Email: "u@example.com"}),
	} {
		if err == nil || !strings.Contains(err.Error(), "redirections are not followed (to "+elsewhere.URL+")") || strings.Contains(err.Error(), "T0KEN") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestBadURLs(t *testing.T) {
	for _, url := range []string{"", "localhost:8471", "ftp://x", "http://", "http://[::1"} {
		if _, err := client.Open(url, ""); !errors.Is(err, sandtrail.CodeInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", url, err)
		}
	}
	if _, err := client.Open("http://localhost:8471", "st_key\n"); !errors.Is(err, sandtrail.CodeInvalid) {
		t.Errorf("a key with a line break: got %v, want ErrInvalid", err)
	}
}

func TestKeysOverTheWire(t *testing.T) {
	db := openDatabase(t)
	url := serve(t, db)
	ctx := t.Context()
	made, err := open(t, url, "").CreateKey(ctx, api.NewKey{Name: "first", Role: auth.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	admin := open(t, url, made.Secret)
	other, err := admin.CreateKey(ctx, api.NewKey{Role: auth.RoleRead, UserID: "u", ExpiresIn: "30d"})
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.RevokeKey(ctx, other.ID); err != nil {
		t.Fatal(err)
	}
	keys, err := admin.Keys(ctx)
	i := slices.IndexFunc(keys, func(k auth.Key) bool { return k.ID == other.ID })
	if err != nil || len(keys) != 2 || keys[i].RevokedAt == nil || !keys[i].ExpiresAt.Equal(noon.AddDate(0, 0, 30)) {
		t.Errorf("keys: %+v, %v", keys, err)
	}
	if err := open(t, url, other.Secret).PutUser(ctx, sandtrail.User{ID: "u", Email: "u@x"}); !errors.Is(err, sandtrail.CodeUnauthorized) {
		t.Errorf("with a revoked key: got %v, want ErrUnauthorized", err)
	}
	log, err := admin.Accesses(ctx, auth.AccessQuery{Limit: 10})
	acts := []string{}
	for _, a := range log.Items {
		acts = append(acts, fmt.Sprint(a.Outcome, " ", a.Action))
	}
	want := []string{"allowed read access log", "denied put user", "allowed revoke key", "allowed create key", "allowed create key"}
	slices.Sort(acts)
	slices.Sort(want)
	if diff := cmp.Diff(want, acts); err != nil || diff != "" {
		t.Errorf("access log: %v\n%s", err, diff)
	}
}

// Users and strategies that another program called so can be asked for, and none
// is made with such a name.
func TestDotsAreNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dots.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	file, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Exec(`INSERT INTO users (id, email) VALUES ('.', 'a@example.com'), ('..', 'b@example.com');
		INSERT INTO strategies (id, name) VALUES ('.', 'A'), ('..', 'B')`); err != nil {
		t.Fatal(err)
	}
	c := open(t, serve(t, db), "")
	for _, id := range []string{".", ".."} {
		if u, err := c.User(t.Context(), id); err != nil || u.ID != id {
			t.Errorf("user %q: %+v, %v", id, u, err)
		}
		if s, err := c.StrategyStats(t.Context(), id); err != nil || s.StrategyID != id {
			t.Errorf("statistics of strategy %q: %+v, %v", id, s, err)
		}
		for name, err := range map[string]error{
			"user":     c.PutUser(t.Context(), sandtrail.User{ID: id, Email: "c@example.com"}),
			"strategy": db.PutStrategy(t.Context(), sandtrail.Strategy{ID: id, Name: "C"}),
		} {
			if !errors.Is(err, sandtrail.CodeInvalid) {
				t.Errorf("a %s %q was made: %v", name, id, err)
			}
		}
	}
}
