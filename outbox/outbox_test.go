package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/filelock"
	"github.com/sandtrail/sandtrail/outbox"
)

// The test binary is also the other processes that share an outbox.
const roleVariable = "OUTBOX_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "putter":
		putMany(os.Args[1], os.Args[2])
	case "runner":
		beginAndWait(os.Args[1], os.Args[2])
	case "recorder":
		if err := program(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		goleak.VerifyTestMain(m)
	}
}

func helper(role string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var now = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)

func open(t *testing.T, o outbox.Options) *outbox.Outbox {
	t.Helper()
	o.Now = func() time.Time { return now }
	b, err := outbox.Open(filepath.Join(t.TempDir(), "outbox"), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, b *outbox.Outbox, drafts ...sandtrail.Draft) []sandtrail.Draft {
	t.Helper()
	kept, err := b.Put(drafts...)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func draft(user string) sandtrail.Draft {
	yes, ms := true, 12
	return sandtrail.Draft{
		UserID: user, StrategyID: "s", Type: sandtrail.Validation, Success: &yes, ExecutionTime: &ms,
		Metadata: json.RawMessage(`{"run":{"command":"true"}}`),
	}
}

// store is an Appender that follows the contract as far as an outbox relies on it.
type store struct {
	mu    sync.Mutex
	known map[string]bool // users; nil: all
	rows  map[sandtrail.ID]sandtrail.Execution
	calls int
	fail  func(call int) (before, after error) // of each call
}

func (s *store) Append(_ context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	var after error
	if s.fail != nil {
		before, later := s.fail(s.calls)
		if before != nil {
			return sandtrail.Appended{}, before
		}
		after = later
	}
	for i, a := range batch {
		if s.known != nil && !s.known[a.Execution.UserID] {
			path := "userId"
			if len(batch) > 1 {
				path = fmt.Sprintf("[%d].userId", i)
			}
			return sandtrail.Appended{}, &sandtrail.Error{Code: sandtrail.CodeInvalid, Fields: []sandtrail.FieldError{{Path: path, Message: "no such user"}}}
		}
	}
	fresh, duplicates, err := database.Merge(batch, s.rows)
	if err != nil {
		return sandtrail.Appended{}, err
	}
	for _, e := range fresh {
		if s.rows == nil {
			s.rows = map[sandtrail.ID]sandtrail.Execution{}
		}
		s.rows[e.ID] = e
	}
	return sandtrail.Appended{Accepted: len(fresh), Duplicates: duplicates}, after
}

func admission() sandtrail.Admission { return sandtrail.Admission{Now: now} }

func flush(t *testing.T, b *outbox.Outbox, s *store) outbox.Delivery {
	t.Helper()
	return flushAt(t, b, s, now)
}

func flushAt(t *testing.T, b *outbox.Outbox, s *store, at time.Time) outbox.Delivery {
	t.Helper()
	done, err := b.Flush(context.Background(), s, sandtrail.Admission{Now: at})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// holds compares the outbox's state, sizes and ages left out.
func holds(t *testing.T, b *outbox.Outbox, want outbox.State) {
	t.Helper()
	_, got, err := b.Waiting(0)
	if err != nil {
		t.Fatal(err)
	}
	got.Bytes, got.Oldest = 0, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the outbox's state differs (-want +got)\n%s", diff)
	}
}

func TestPutFixesIDAndTime(t *testing.T) {
	b := open(t, outbox.Options{})
	kept := put(t, b, draft("ada"), draft("bob"))
	for _, d := range kept {
		if d.ID.IsZero() || !d.CreatedAt.Equal(now) {
			t.Errorf("kept %v at %v", d.ID, d.CreatedAt)
		}
	}
	waiting, _, err := b.Waiting(0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(kept, waiting); diff != "" {
		t.Errorf("waiting differs from kept (-kept +waiting)\n%s", diff)
	}
}

func TestFilesArePrivate(t *testing.T) {
	b := open(t, outbox.Options{})
	put(t, b, draft("ada"))
	err := filepath.WalkDir(b.Dir(), func(path string, entry fs.DirEntry, err error) error {
		info := must(entry.Info())
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFlushDeliversEachRecordOnce(t *testing.T) {
	unreachable := sandtrail.Errorf(sandtrail.CodeUnavailable, "cannot be reached")
	onCall := func(call, which int) error {
		if call == which {
			return unreachable
		}
		return nil
	}
	tests := map[string]func(call int) (before, after error){
		"at the first try":                 nil,
		"failed before it was applied":     func(call int) (error, error) { return onCall(call, 1), nil },
		"applied, but reported as failed":  func(call int) (error, error) { return nil, onCall(call, 1) },
		"failing in the middle, each form": func(call int) (error, error) { return onCall(call, 2), onCall(call, 3) },
	}
	for name, fail := range tests {
		t.Run(name, func(t *testing.T) {
			b, s := open(t, outbox.Options{}), &store{fail: fail}
			const n = 603 // several deliveries
			for range n / 3 {
				put(t, b, draft("ada"), draft("bob"), draft("cid"))
			}
			for range 5 {
				if _, err := b.Flush(context.Background(), s, admission()); err != nil && !errors.Is(err, sandtrail.CodeUnavailable) {
					t.Fatal(err)
				}
			}
			if len(s.rows) != n {
				t.Errorf("the store has %d records, want %d", len(s.rows), n)
			}
			holds(t, b, outbox.State{})
		})
	}
}

func TestFlushStopsWithTheContext(t *testing.T) {
	b := open(t, outbox.Options{})
	put(t, b, draft("ada"))
	s := &store{fail: func(int) (error, error) { return context.DeadlineExceeded, nil }}
	if _, err := b.Flush(context.Background(), s, admission()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
	holds(t, b, outbox.State{Waiting: 1})
}

func TestUnknownOwnersWaitForThem(t *testing.T) {
	b, s := open(t, outbox.Options{}), &store{known: map[string]bool{"ada": true}}
	put(t, b, draft("ada"), draft("bob"), draft("ada"))
	if done := flush(t, b, s); done.Delivered != 2 || done.Stayed != 1 || done.Why == nil {
		t.Errorf("got %+v, want 2 delivered and 1 stayed", done)
	}
	s.known["bob"] = true
	if done := flushAt(t, b, s, now.Add(time.Minute)); done.Delivered != 1 {
		t.Errorf("got %+v once bob is known, want 1 delivered", done)
	}
	if len(s.rows) != 3 {
		t.Errorf("the store has %d records, want 3", len(s.rows))
	}
}

func TestRefusedRecordsAreSetAsideWithTheReason(t *testing.T) {
	b, s := open(t, outbox.Options{}), &store{}
	bad := draft("ada")
	bad.Success = nil
	put(t, b, draft("ada"), bad, draft("bob"))
	if done := flush(t, b, s); done.Delivered != 2 || done.Refused != 1 {
		t.Errorf("got %+v, want 2 delivered and 1 refused", done)
	}
	files := must(filepath.Glob(filepath.Join(b.Dir(), "refused", "*.json")))
	if len(files) != 1 {
		t.Fatalf("refused holds %v, want one file", files)
	}
	var aside struct{ Reason string }
	if err := json.Unmarshal(must(os.ReadFile(files[0])), &aside); err != nil || aside.Reason != "invalid execution: success: required" {
		t.Errorf("reason %q, %v", aside.Reason, err)
	}
	holds(t, b, outbox.State{Refused: 1})
}

func TestDamagedBatchesAreSetAsideAndCounted(t *testing.T) {
	damages := map[string]func([]byte) []byte{
		"torn in a line":     func(raw []byte) []byte { return raw[:len(raw)/2] },
		"torn after a line":  func(raw []byte) []byte { return raw[:len(raw)-23] },
		"a flipped bit":      func(raw []byte) []byte { raw[40] ^= 1; return raw },
		"empty":              func([]byte) []byte { return nil },
		"something appended": func(raw []byte) []byte { return append(raw, '\n') },
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			b, s := open(t, outbox.Options{}), &store{}
			put(t, b, draft("ada"), draft("bob"))
			file := must(filepath.Glob(filepath.Join(b.Dir(), "*.records")))[0]
			if err := os.WriteFile(file, damage(must(os.ReadFile(file))), 0o600); err != nil {
				t.Fatal(err)
			}
			put(t, b, draft("cid"))
			if done := flush(t, b, s); done.Damaged != 1 || done.Delivered != 1 {
				t.Errorf("got %+v, want 1 damaged and 1 delivered", done)
			}
			holds(t, b, outbox.State{Damaged: 1})
		})
	}
}

func TestFullOutboxRefusesWhatIsNew(t *testing.T) {
	const bound = 2000
	b := open(t, outbox.Options{MaxBytes: bound})
	accepted := 0
	for range 20 {
		_, err := b.Put(draft("ada"))
		if err == nil {
			accepted++
		} else if !errors.Is(err, sandtrail.CodeTooLarge) {
			t.Fatal(err)
		}
	}
	_, s, err := b.Waiting(0)
	if err != nil {
		t.Fatal(err)
	}
	if s.Waiting != accepted || accepted == 0 || accepted == 20 || s.Bytes > bound {
		t.Errorf("%d of 20 accepted, %d wait in %d bytes", accepted, s.Waiting, s.Bytes)
	}
	if left := must(filepath.Glob(filepath.Join(b.Dir(), "*.tmp"))); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func putMany(dir, count string) {
	b := must(outbox.Open(dir, outbox.Options{}))
	for i := range must(strconv.Atoi(count)) {
		must(b.Put(draft("user-" + strconv.Itoa(i))))
	}
}

func TestManyProcessesPutWhileOthersFlush(t *testing.T) {
	b, s := open(t, outbox.Options{}), &store{}
	const processes, each = 8, 25
	var putters []*exec.Cmd
	for range processes {
		cmd := helper("putter", b.Dir(), strconv.Itoa(each))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		putters = append(putters, cmd)
	}
	live := sandtrail.Admission{Now: time.Now()}
	for _, cmd := range putters {
		if _, err := b.Flush(context.Background(), s, live); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Flush(context.Background(), s, live); err != nil {
		t.Fatal(err)
	}
	if len(s.rows) != processes*each {
		t.Errorf("the store has %d records, want %d", len(s.rows), processes*each)
	}
}

func lost(begun sandtrail.Draft, seen time.Duration) sandtrail.Draft {
	no, ms := false, int(seen.Milliseconds())
	begun.Success, begun.ExecutionTime = &no, &ms
	return begun
}

func sweep(t *testing.T, b *outbox.Outbox, want int) {
	t.Helper()
	if n, err := b.Sweep(lost); n != want || err != nil {
		t.Errorf("sweep found %d lost runs, %v; want %d", n, err, want)
	}
}

// beginAndWait leaves a trace and stays, with a finished record if asked.
func beginAndWait(dir, finished string) {
	b := must(outbox.Open(dir, outbox.Options{}))
	trace := must(b.Begin(draft("ada")))
	if finished == "finished" {
		d := draft("ada")
		d.CreatedAt = now
		must(0, b.Finish(trace, d))
	}
	fmt.Println("begun", trace.ID())
	select {}
}

// killRunner starts a recorder and kills it once it has left its trace.
func killRunner(t *testing.T, b *outbox.Outbox, finished string, alive func()) {
	t.Helper()
	cmd := helper("runner", b.Dir(), finished)
	out := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	alive()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

func TestKilledRecorderLeavesALostRun(t *testing.T) {
	b := open(t, outbox.Options{})
	killRunner(t, b, "", func() {
		sweep(t, b, 0)
		holds(t, b, outbox.State{Running: 1})
	})
	holds(t, b, outbox.State{Lost: 1})
	sweep(t, b, 1)
	sweep(t, b, 0)
	holds(t, b, outbox.State{Waiting: 1})
}

func TestRecorderKilledDuringDeliveryLosesNothing(t *testing.T) {
	b, s := open(t, outbox.Options{}), &store{}
	killRunner(t, b, "finished", func() { sweep(t, b, 0) })
	sweep(t, b, 0)
	if done := flush(t, b, s); done.Delivered != 1 {
		t.Errorf("got %+v, want 1 delivered", done)
	}
	for _, e := range s.rows {
		if !e.Success {
			t.Errorf("the finished record was not the one delivered: %+v", e)
		}
	}
	holds(t, b, outbox.State{})
}

func TestEndedRunLeavesNoTrace(t *testing.T) {
	b := open(t, outbox.Options{})
	trace, err := b.Begin(draft("ada"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(trace.Beat(now.Add(time.Minute)), b.End(trace)); err != nil {
		t.Error(err)
	}
	sweep(t, b, 0)
	holds(t, b, outbox.State{})
}

func TestStateTellsOfAgeAndDrops(t *testing.T) {
	b := open(t, outbox.Options{})
	state := func() outbox.State {
		t.Helper()
		_, s, err := b.Waiting(1)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := state(); s != (outbox.State{}) || !s.Clear() {
		t.Errorf("a new outbox: %+v", s)
	}
	if err := b.Drop(outbox.Full, draft("u1"), draft("u1")); err != nil {
		t.Fatal(err)
	}
	if s := state(); s.Dropped != 2 || s.Oldest != nil || s.Clear() {
		t.Errorf("after drops: %+v", s)
	}
	if _, err := b.AccountForDrops(); err != nil {
		t.Fatal(err)
	}
	if s := state(); s.Dropped != 0 || s.Waiting != 1 || s.Oldest == nil || time.Since(*s.Oldest) > time.Hour {
		t.Errorf("after the account of them: %+v", s)
	}
}

// TestLockThatIsNeverGivenBack has another process, which was stopped or means
// harm, hold the locks.
func TestLockThatIsNeverGivenBack(t *testing.T) {
	dir := t.TempDir()
	box, err := outbox.Open(dir, outbox.Options{})
	check(t, err)
	box.SetLockTimeout(50 * time.Millisecond)
	for _, name := range []string{"lock", "flush"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
		check(t, err)
		defer f.Close()
		check(t, filelock.Lock(f))
	}
	if _, err := box.Put(sandtrail.Draft{UserID: "u", StrategyID: "s"}); !errors.Is(err, filelock.ErrLocked) {
		t.Errorf("Put: %v", err)
	}
	if err := box.Drop(outbox.Full, sandtrail.Draft{UserID: "u", StrategyID: "s"}); !errors.Is(err, filelock.ErrLocked) {
		t.Errorf("Drop: %v", err)
	}
	if done, err := box.Flush(t.Context(), nil, sandtrail.Admission{}); err != nil || done != (outbox.Delivery{}) {
		t.Errorf("Flush: %+v, %v", done, err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestStateOfALargeOutboxReadsNoMoreThanItReturns takes the content of files
// away.
func TestStateOfALargeOutboxReadsNoMoreThanItReturns(t *testing.T) {
	dir := t.TempDir()
	box, err := outbox.Open(dir, outbox.Options{})
	check(t, err)
	for range 3 {
		_, err := box.Put(draft("ada"), draft("ada"))
		check(t, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.records"))
	check(t, err)
	var bytes int64
	for i, file := range files {
		info, err := os.Stat(file)
		check(t, err)
		bytes += info.Size()
		if i > 0 {
			check(t, os.Truncate(file, 0))
		}
	}
	drafts, state, err := box.Waiting(1)
	check(t, err)
	if len(drafts) != 1 || state.Waiting != 6 || state.Bytes != bytes || state.Damaged != 0 {
		t.Errorf("%d records, %+v", len(drafts), state)
	}
}
