package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ingest"
	"github.com/sandtrail/sandtrail/sqlite"
)

func open(t *testing.T) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "ingest.db"), sqlite.Options{})
	check(t, err)
	t.Cleanup(func() { check(t, store.Close()) })
	_, err = store.Migrate(t.Context(), time.Now())
	check(t, err)
	check(t, store.PutUser(t.Context(), sandtrail.User{ID: "ada", Email: "ada@example.com"}))
	check(t, store.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"}))
	return store
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func admission() sandtrail.Admission { return sandtrail.Admission{} }

const good = `{"userId":"ada","strategyId":"s","executionType":"TERMINAL","success":true,"executionTime":1}`

// faults are lines that are refused at different steps, and the ends of their errors.
var faults = map[string][2]string{
	"JSON":  {`{"userId":`, "not valid JSON"},
	"field": {`{"user_id":"ada"}`, "user_id"},
	"rule":  {strings.Replace(good, ":1}", ":-1}", 1), "executionTime"},
	"owner": {strings.Replace(good, "ada", "eve", 1), "eve"},
	"long":  {`{"userId":"` + strings.Repeat("x", 2<<20) + `"}`, "1048576 bytes"},
}

// Everything before a faulty line is stored and nothing from it on, wherever in a
// batch it is and whichever step refuses it.
func TestStopsAtTheFaultyLine(t *testing.T) {
	const b = ingest.BatchRecords
	for name, fault := range faults {
		for _, line := range []int{1, b, b + 1, 2*b + 2} {
			t.Run(fmt.Sprint(name, "/", line), func(t *testing.T) {
				t.Parallel()
				lines := strings.Repeat(good+"\n", line-1) + fault[0] + "\n" + strings.Repeat(good+"\n", b)
				store := open(t)
				done, err := ingest.Import{Store: store, Admission: admission, Name: "test"}.Run(t.Context(), strings.NewReader(lines))
				if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("line %d: ", line)) || !strings.Contains(err.Error(), fault[1]) {
					t.Errorf("error %.200v", err)
				}
				if done.Accepted != int64(line-1) || done.Committed != line-1 || done.Duplicates != 0 {
					t.Errorf("%+v", done)
				}
				page, err := store.Executions(t.Context(), sandtrail.Query{Limit: 1000}, time.Now().Add(time.Minute))
				check(t, err)
				if want := min(line-1, 1000); len(page.Items) != want {
					t.Errorf("%d are stored, want %d", len(page.Items), want)
				}
			})
		}
	}
}

// An array is stored all or nothing, whichever step refuses one of its elements.
func TestStoresArraysWhole(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			elements := strings.Repeat(good+",\n", ingest.BatchRecords+1)
			done, err := ingest.Import{Store: open(t), Admission: admission}.Run(t.Context(), strings.NewReader("["+elements+fault[0]+",\n"+elements+good+"]"))
			if err == nil || done.Accepted != 0 || done.Committed != 0 {
				t.Errorf("%+v, %.200v", done, err)
			}
		})
	}
}

// gate is a store whose first append waits.
type gate struct {
	sandtrail.Appender
	open <-chan struct{}
}

func (g gate) Append(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	select {
	case <-g.open:
		return g.Appender.Append(ctx, batch)
	case <-ctx.Done():
		return sandtrail.Appended{}, ctx.Err()
	}
}

// The input is read and checked while a batch is stored, up to a limit.
func TestReadsWhileItStores(t *testing.T) {
	opened, read := make(chan struct{}), 0
	lines := []byte(strings.Repeat(good+"\n", 3*ingest.BatchRecords))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done, err := ingest.Import{
		Store: gate{open(t), opened}, Admission: admission,
		OnRead: func(n int) {
			if before := read; before <= 2*len(lines)/3 && before+n > 2*len(lines)/3 {
				close(opened)
			}
			read += n
		},
	}.Run(ctx, bytes.NewReader(lines))
	if err != nil || done.Accepted != 3*ingest.BatchRecords {
		t.Errorf("%+v, %v", done, err)
	}
}

// An import ends when its context does, also while the input has nothing to read.
func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := ingest.Import{Store: open(t), Admission: admission}.Run(ctx, out)
		ended <- err
	}()
	_, err := io.WriteString(in, good+"\n")
	check(t, err)
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it ended as if all were well")
		}
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
	check(t, in.Close())
}
