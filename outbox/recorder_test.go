package outbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/outbox"
	"github.com/sandtrail/sandtrail/server"
	"github.com/sandtrail/sandtrail/sqlite"
)

// program records and says the number of each record that was taken.
func program(arguments []string) error {
	from, errFrom := strconv.Atoi(arguments[2])
	to, errTo := strconv.Atoi(arguments[3])
	c, err := client.New(client.Options{URL: arguments[0], Attempts: 1})
	if err := errors.Join(err, errFrom, errTo); err != nil {
		return err
	}
	defer c.Close()
	r, err := outbox.NewRecorder(c, outbox.RecorderOptions{Policy: outbox.Spool, Dir: arguments[1]})
	if err != nil {
		return err
	}
	for i := from; i < to; i++ {
		if err := r.Record(context.Background(), numbered(i)); err != nil {
			return err
		}
		fmt.Println(i)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return r.Close(ctx)
}

// testDay is one time for a test and the programs that it starts, also while
// midnight passes.
var testDay = sync.OnceValue(func() time.Time {
	const env = "SANDTRAIL_TEST_DAY"
	day, err := time.Parse(time.RFC3339, os.Getenv(env))
	if err != nil {
		day = time.Now().UTC().Truncate(24 * time.Hour)
		os.Setenv(env, day.Format(time.RFC3339)) // the programs inherit it
	}
	return day
})

// numbered is a record that is the same whoever makes it.
func numbered(i int) sandtrail.Draft {
	return sandtrail.Draft{
		ID: sandtrail.ID{0: 1, 8: 0x80, 14: byte(i >> 8), 15: byte(i)}, UserID: "u", StrategyID: "s", Type: sandtrail.Validation,
		Success: new(true), ExecutionTime: &i, CreatedAt: testDay(),
	}
}

// runProgram records from a number on and kills the program when it has said
// until, unless that is the last. It returns the next number.
func runProgram(t *testing.T, url, dir string, from, until, all int) int {
	t.Helper()
	cmd := helper("recorder", url, dir, strconv.Itoa(from), strconv.Itoa(all))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	next := from
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, err := strconv.Atoi(lines.Text())
		if err != nil || n != next {
			t.Fatalf("the program said %q, want %d", lines.Text(), next)
		}
		if next++; next == until && until < all {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if err := cmd.Wait(); err != nil && until == all {
		t.Fatalf("the program: %v", err)
	}
	return next
}

// A program records while the server is down, is killed, and killed again
// while the server takes what waited: every record is there once.
func TestSpoolLosesNothing(t *testing.T) {
	const all = 300
	db, dir := withOwners(t), t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	listener.Close()

	next := runProgram(t, url, dir, 0, 100, all)
	serveAt(t, db, listener.Addr().String())
	next = runProgram(t, url, dir, next, 200, all)
	runProgram(t, url, dir, next, all, all)

	if n := stored(t, db); n != all {
		t.Errorf("%d records are stored, want %d", n, all)
	}
	for i := range all {
		e, err := db.Execution(t.Context(), numbered(i).ID)
		if err != nil || e.ExecutionTime != i {
			t.Fatalf("record %d: %+v, %v", i, e, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.records")); err != nil || len(left) > 0 {
		t.Errorf("left in the spool: %v, %v", left, err)
	}
}

func withOwners(t *testing.T) *sqlite.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Migrate(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.PutUser(t.Context(), sandtrail.User{ID: "u", Email: "u@example.com"}),
		db.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"}))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func stored(t *testing.T, db *sqlite.Store) int64 {
	t.Helper()
	n, err := db.CountBefore(t.Context(), sandtrail.Before(time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// serveAt serves a database at an address that was free just now.
func serveAt(t *testing.T, db *sqlite.Store, address string) {
	t.Helper()
	s, err := server.New(server.Config{Store: db})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// serve serves a database until the test ends.
func serve(t *testing.T, db *sqlite.Store, change ...func(*server.Config)) string {
	t.Helper()
	config := server.Config{Store: db}
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

func dial(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.Open(url, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func spool(t *testing.T, url string, change ...func(*outbox.RecorderOptions)) *outbox.Recorder {
	t.Helper()
	c, err := client.New(client.Options{URL: url, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	options := outbox.RecorderOptions{Policy: outbox.Spool, Dir: t.TempDir()}
	for _, f := range change {
		f(&options)
	}
	r, err := outbox.NewRecorder(c, options)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func closeNow(t *testing.T, r *outbox.Recorder) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return r.Close(ctx)
}

func TestStrictRefusesTheCaller(t *testing.T) {
	db := withOwners(t)
	url := serve(t, db)
	c := dial(t, url)
	r, err := outbox.NewRecorder(c, outbox.RecorderOptions{Policy: outbox.Strict})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Record(t.Context(), numbered(1)); err != nil {
		t.Error(err)
	}
	stranger := numbered(2)
	stranger.UserID = "nobody"
	if err := r.Record(t.Context(), stranger); !errors.Is(err, sandtrail.CodeInvalid) {
		t.Errorf("a record of nobody: %v", err)
	}
	if err := r.Close(t.Context()); err != nil || stored(t, db) != 1 {
		t.Errorf("%d stored, %v", stored(t, db), err)
	}
}

// What a full spool drops is counted, told to the caller, and recorded.
func TestDropsAreRecorded(t *testing.T) {
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	dir := t.TempDir()
	here := func(o *outbox.RecorderOptions) { o.Dir, o.MaxBytes = dir, 1000 }
	r := spool(t, gone.URL, here)
	taken, dropped := 0, 0
	for i := range 20 {
		switch err := r.Record(t.Context(), numbered(i)); {
		case err == nil:
			taken++
		case errors.Is(err, sandtrail.CodeTooLarge):
			dropped++
		default:
			t.Fatal(err)
		}
	}
	if state, err := r.State(); err != nil || state.Waiting != taken || taken == 0 || dropped == 0 {
		t.Errorf("%d taken, %d dropped: %+v, %v", taken, dropped, state, err)
	}
	if err := closeNow(t, r); err == nil {
		t.Error("closed without a word about what waits")
	}
	gone.Close()

	db := withOwners(t)
	r = spool(t, serve(t, db), here)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := db.Executions(t.Context(), sandtrail.Query{Filter: sandtrail.Filter{Success: new(false)}}, time.Now())
	if err != nil || len(page.Items) != 1 || stored(t, db) != int64(taken)+1 {
		t.Fatalf("%d stored, %d of them failed, %v", stored(t, db), len(page.Items), err)
	}
	want := fmt.Sprintf(`"dropped":{"count":%d,"reason":"full"`, dropped)
	if got := string(page.Items[0].Metadata); !strings.Contains(got, want) || page.Items[0].ErrorCount != 1 {
		t.Errorf("metadata %s, want %s", got, want)
	}
}

func TestWhatWaitsTooLongIsDropped(t *testing.T) {
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	dir := t.TempDir()
	r := spool(t, gone.URL, func(o *outbox.RecorderOptions) { o.Dir = dir })
	if err := r.Record(t.Context(), numbered(1), numbered(2)); err != nil {
		t.Fatal(err)
	}
	_ = closeNow(t, r) // as it must
	gone.Close()
	files, err := filepath.Glob(filepath.Join(dir, "*.records"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	lastWeek := time.Now().Add(-8 * 24 * time.Hour)
	if err := os.Chtimes(files[0], lastWeek, lastWeek); err != nil {
		t.Fatal(err)
	}
	db := withOwners(t)
	r = spool(t, serve(t, db), func(o *outbox.RecorderOptions) { o.Dir = dir })
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := db.Executions(t.Context(), sandtrail.Query{}, time.Now())
	if err != nil || len(page.Items) != 1 || !strings.Contains(string(page.Items[0].Metadata), `"count":2,"reason":"tooOld"`) {
		t.Errorf("%+v, %v", page.Items, err)
	}
}

func TestRecorderRefuses(t *testing.T) {
	c := dial(t, "http://127.0.0.1:1")
	for _, o := range []outbox.RecorderOptions{{}, {Policy: "hope"}, {Policy: outbox.Spool}} {
		if _, err := outbox.NewRecorder(c, o); !errors.Is(err, sandtrail.CodeInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	r := spool(t, "http://127.0.0.1:1")
	bad := numbered(1)
	bad.Success = nil
	if err := r.Record(t.Context(), bad); !errors.Is(err, sandtrail.CodeInvalid) {
		t.Errorf("a record without a verdict: %v", err)
	}
	if err := closeNow(t, r); err != nil {
		t.Errorf("nothing waits: %v", err)
	}
}

// How long executions are kept is the server's affair alone.
func TestAServersRulesAreTheServers(t *testing.T) {
	db := withOwners(t)
	url := serve(t, db, func(c *server.Config) { c.Retention = sandtrail.Periods{} })
	old := numbered(1)
	old.CreatedAt = time.Now().AddDate(0, 0, -100)
	for _, policy := range []outbox.Policy{outbox.Strict, outbox.Spool} {
		old.ID = sandtrail.NewID(time.Now())
		r, err := outbox.NewRecorder(dial(t, url), outbox.RecorderOptions{Policy: policy, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.Record(t.Context(), old), r.Close(t.Context())); err != nil {
			t.Errorf("%s: %v", policy, err)
		}
		if _, err := db.Execution(t.Context(), old.ID); err != nil {
			t.Errorf("%s: %v", policy, err)
		}
	}
}
