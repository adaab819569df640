package server_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/server"
)

const (
	longLines  = 16_000 // of about 2 kB
	memoryLook = 4_000  // lines from one look at the memory to the next
	// memoryRoom is what may be under way: a quarter of all lines.
	memoryRoom = 8 << 20
)

// endless is a store that keeps nothing of what it gets and has as many
// executions as are asked for. It looks at the memory now and then.
type endless struct {
	sandtrail.Store
	lines    int
	memory   []uint64 // of the process, after collection, look by look
	metadata []byte
}

func (e *endless) count(n int) {
	before := e.lines
	e.lines += n
	if before/memoryLook == e.lines/memoryLook {
		return
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	e.memory = append(e.memory, m.HeapAlloc)
}

func (e *endless) Append(_ context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	e.count(len(batch))
	fresh, _, err := database.Merge(batch, nil)
	return database.NewAppended(batch, fresh), err
}

func (e *endless) Executions(_ context.Context, q sandtrail.Query, _ time.Time) (page sandtrail.Page, err error) {
	e.count(q.Limit)
	for range q.Limit {
		page.Items = append(page.Items, sandtrail.Execution{ID: sandtrail.NewID(start), Type: sandtrail.Validation, Metadata: e.metadata})
	}
	if e.lines < longLines {
		page.NextCursor = "more"
	}
	return page, nil
}

// check finds what grows with the number of lines.
func (e *endless) check(t *testing.T) {
	t.Helper()
	if e.lines != longLines {
		t.Errorf("%d lines went through, want %d", e.lines, longLines)
	}
	for i, bytes := range e.memory {
		if bytes > e.memory[0]+memoryRoom {
			t.Errorf("after %d lines %d MiB are held, after %d it was %d MiB", (i+1)*memoryLook, bytes>>20, memoryLook, e.memory[0]>>20)
		}
	}
}

func newEndless(t *testing.T) (*endless, *kit) {
	t.Helper()
	e := &endless{metadata: []byte(`{"note":"` + strings.Repeat("x", 1800) + `"}`)}
	return e, newKit(t, func(c *server.Config) { e.Store, c.Store = c.Store, e })
}

func TestLongNDJSONTakesNoMemory(t *testing.T) {
	e, k := newEndless(t)
	line := record("metadata:"+string(e.metadata)) + "\n"
	body, send := io.Pipe()
	go func() {
		out := bufio.NewWriter(send)
		for range longLines {
			if _, err := out.WriteString(line); err != nil {
				break
			}
		}
		send.CloseWithError(out.Flush())
	}()
	response, err := k.http.Post(k.url+"/v1/executions", "application/x-ndjson", body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Errorf("status %d", response.StatusCode)
	}
	e.check(t)
}

// A reader that is slower than the store holds the export back.
func TestLongExportTakesNoMemory(t *testing.T) {
	e, k := newEndless(t)
	response, err := k.http.Get(k.url + "/v1/export")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := 0
	for scanner := bufio.NewScanner(response.Body); scanner.Scan(); lines++ {
	}
	if lines != longLines {
		t.Errorf("%d lines came, want %d", lines, longLines)
	}
	e.check(t)
}
