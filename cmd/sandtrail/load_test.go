package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/internal/testneed"
)

// LoadEnv names the variable that makes TestLoad go on for a time, such as
// 10m, in place of a fixed number of records.
const LoadEnv = "SANDTRAIL_TEST_LOAD"

const (
	loadRecords = 3000 // by default
	loadWriters = 64
	loadReaders = 32
	loadStreams = 8
)

// load is two servers on one PostgreSQL, and what their clients saw.
type load struct {
	*testing.T
	ctx      context.Context // of the readers and streams
	database string
	key      string // the file of the ledger's key, which the servers share
	urls     [2]string
	servers  [2]*exec.Cmd
	until    time.Time // zero: as many as loadRecords
	tickets  atomic.Int64
	acked    atomic.Int64
	mu       sync.Mutex
	ids      map[sandtrail.ID]bool // of the acknowledged
	took     []time.Duration
	reads    atomic.Int64
	streams  [loadStreams]*tail
}

// Two servers on one PostgreSQL are written to, read from and followed by
// many. One server is killed and comes back, PostgreSQL crashes and comes
// back: every acknowledged record is there once, and every stream shows it
// once.
func TestLoad(t *testing.T) {
	own := pgtest.NewOwn(t)
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{T: t, ctx: ctx, database: own.URL(), key: filepath.Join(t.TempDir(), "ledger-key"), ids: map[sandtrail.ID]bool{}}
	if given := os.Getenv(LoadEnv); given != "" {
		length, err := time.ParseDuration(given)
		if err != nil {
			t.Fatalf("%s: %v", LoadEnv, err)
		}
		l.until = time.Now().Add(length)
	}
	prepare(t, l.database)
	for i := range l.servers {
		l.urls[i] = "http://" + testneed.FreeAddress(t)
		l.start(i)
	}
	t.Cleanup(l.stop)
	var readers, writers sync.WaitGroup
	for i := range l.streams {
		l.streams[i] = newTail(t, l.urls[i%2])
		readers.Go(func() { l.streams[i].follow(ctx) })
	}
	for i := range loadReaders {
		readers.Go(func() { l.read(i) })
	}
	begin := time.Now()
	for i := range loadWriters {
		writers.Go(func() { l.write(i) })
	}
	l.reached(1.0 / 3)
	before := l.memory()
	l.kill(1)
	l.start(1)
	l.reached(2.0 / 3)
	own.Crash()
	writers.Wait()
	length := time.Since(begin)
	after := l.memory()
	l.checkStored()
	for i, s := range l.streams {
		s.waitFor(t, l.ids)
		if s.twice > 0 {
			t.Errorf("stream %d showed %d records twice", i, s.twice)
		}
	}
	cancel()
	readers.Wait()
	slices.Sort(l.took)
	t.Logf("%d records in %s (%.0f/s), %d reads; append p50 %s, p99 %s, max %s; memory of the first server %s, then %s",
		l.acked.Load(), length.Round(time.Second), float64(l.acked.Load())/length.Seconds(), l.reads.Load(),
		l.took[len(l.took)/2], l.took[len(l.took)*99/100], l.took[len(l.took)-1], before, after)
}

func (l *load) start(i int) {
	l.Helper()
	cmd := racingCommand(l.T, l.database, "serve", "--listen", strings.TrimPrefix(l.urls[i], "http://"), "--log-level", "error",
		"--ledger-key", l.key)
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	l.servers[i] = cmd
	if err := l.client(i).Ping(l.Context()); err != nil {
		l.Fatal(err)
	}
}

func (l *load) kill(i int) {
	l.Helper()
	if err := l.servers[i].Process.Kill(); err != nil {
		l.Fatal(err)
	}
	_ = l.servers[i].Wait() // killed
}

func (l *load) stop() {
	for i := range l.servers {
		l.kill(i)
	}
}

// client is one that does not give up.
func (l *load) client(i int) *client.Client {
	l.Helper()
	c, err := client.New(client.Options{URL: l.urls[i%2], Attempts: 100})
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { c.Close() })
	return c
}

// write appends records until there are enough.
func (l *load) write(i int) {
	c := l.client(i)
	for l.more() {
		now := time.Now()
		batch, err := sandtrail.Admission{Now: now}.Admit(sandtrail.Draft{
			UserID: "ada", StrategyID: "momentum", Type: sandtrail.Validation, Success: new(i%3 > 0), ExecutionTime: &i,
			CreatedAt: now,
		})
		if err != nil {
			l.Error(err)
			return
		}
		done, err := c.Append(l.Context(), batch)
		if err != nil || done.Accepted+done.Duplicates != 1 {
			l.Errorf("append: %+v, %v", done, err)
			return
		}
		took := time.Since(now)
		l.mu.Lock()
		l.ids[batch[0].Execution.ID] = true
		l.took = append(l.took, took)
		l.mu.Unlock()
		l.acked.Add(1)
	}
}

func (l *load) more() bool {
	if l.until.IsZero() {
		return l.tickets.Add(1) <= loadRecords
	}
	return time.Now().Before(l.until)
}

// reached waits until a share of the load is done.
func (l *load) reached(share float64) {
	began := time.Now()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for range again.C {
		switch {
		case l.Failed():
			return
		case l.until.IsZero() && float64(l.acked.Load()) >= share*loadRecords:
			return
		case !l.until.IsZero() && time.Since(began) >= time.Duration(float64(time.Until(l.until)+time.Since(began))*share):
			return
		}
	}
}

// read asks questions until the end.
func (l *load) read(i int) {
	c := l.client(i)
	questions := []func() error{
		func() error { _, err := c.Executions(l.ctx, sandtrail.Query{Limit: 20}, time.Time{}); return err },
		func() error { _, err := c.StrategyStats(l.ctx, "momentum"); return err },
		func() error { _, err := c.UserStats(l.ctx, "ada"); return err },
		func() error {
			now := time.Now()
			_, err := c.WindowStats(l.ctx, sandtrail.Window{Since: now.Add(-time.Hour), Until: now})
			return err
		},
	}
	for n := i; l.ctx.Err() == nil; n++ {
		if err := questions[n%len(questions)](); err != nil && l.ctx.Err() == nil {
			l.Errorf("read: %v", err)
			return
		}
		l.reads.Add(1)
	}
}

// memory is what the first server, which is not killed, has resident.
func (l *load) memory() string {
	l.Helper()
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(l.servers[0].Process.Pid), "status"))
	if err != nil {
		l.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if size, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(size)
		}
	}
	return "unknown"
}

// checkStored compares what is stored with what was acknowledged. Every
// record whose answer was lost was sent again until it was acknowledged.
func (l *load) checkStored() {
	l.Helper()
	stored := map[sandtrail.ID]int{}
	q := sandtrail.Query{Limit: sandtrail.MaxLimit}
	for c := l.client(0); ; {
		page, err := c.Executions(l.Context(), q, time.Time{})
		if err != nil {
			l.Fatal(err)
		}
		for _, e := range page.Items {
			stored[e.ID]++
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			break
		}
	}
	for id, n := range stored {
		if n != 1 || !l.ids[id] {
			l.Errorf("record %s is stored %d times, acknowledged: %t", id, n, l.ids[id])
		}
	}
	if len(stored) != len(l.ids) {
		l.Errorf("%d records are stored, %d were acknowledged", len(stored), len(l.ids))
	}
}

// tail follows a live stream over every interruption.
type tail struct {
	url   string
	mu    sync.Mutex
	place string
	seen  map[sandtrail.ID]bool
	twice int
	grew  chan struct{} // of one: something was seen
}

// newTail begins a stream, so that it shows everything from now on.
func newTail(t *testing.T, url string) *tail {
	t.Helper()
	s := &tail{url: url, seen: map[sandtrail.ID]bool{}, grew: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := s.once(ctx, func() bool { return s.place == "" }); err != nil || s.place == "" {
		t.Fatalf("stream: it begins at %q, %v", s.place, err)
	}
	return s
}

// follow reads until the context ends, coming back after each interruption.
func (s *tail) follow(ctx context.Context) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for ctx.Err() == nil {
		_ = s.once(ctx, func() bool { return true }) // whatever it was, it comes back
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

// once reads one connection as long as it should go on.
func (s *tail) once(ctx context.Context, goOn func() bool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/executions/stream", nil)
	if err != nil {
		return err
	}
	if s.place != "" {
		request.Header.Set("Last-Event-ID", s.place)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return readEvents(response.Body, func(id, data string) bool { s.take(id, data); return goOn() })
}

func (s *tail) take(id, data string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.place = id
	if data == "" {
		return
	}
	var e struct{ ID sandtrail.ID }
	if err := json.Unmarshal([]byte(data), &e); err != nil || s.seen[e.ID] {
		s.twice++
	}
	s.seen[e.ID] = true
	select {
	case s.grew <- struct{}{}:
	default:
	}
}

// waitFor waits until the stream has shown the records.
func (s *tail) waitFor(t *testing.T, ids map[sandtrail.ID]bool) {
	t.Helper()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	for {
		s.mu.Lock()
		missing := len(ids) - len(s.seen)
		s.mu.Unlock()
		if missing <= 0 {
			break
		}
		select {
		case <-s.grew:
		case <-end.C:
			t.Fatalf("%d records were not shown", missing)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.seen {
		if !ids[id] {
			t.Fatal(fmt.Errorf("record %s was shown and not acknowledged", id))
		}
	}
}

// readEvents hands out server-sent events, each with its id and data, until
// the stream ends or it is told to stop. Events without data move the place.
func readEvents(body io.Reader, take func(id, data string) bool) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	var id, data string
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			id = value
		case "data":
			data = value
		case "":
			if lines.Text() != "" || id == "" {
				continue // a comment, or nothing yet
			}
			if !take(id, data) {
				return nil
			}
			data = ""
		}
	}
	return lines.Err()
}
