package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/internal/testneed"
)

// attackMemory is what a server under attack may have had of memory, all in all.
const attackMemory = 256 << 20

// attacked is a server in a process of its own.
type attacked struct {
	*testing.T
	url, address string
	process      *exec.Cmd
}

func newAttacked(t *testing.T) *attacked {
	t.Helper()
	database := "sqlite:" + filepath.Join(t.TempDir(), "attacked.db")
	prepare(t, database)
	a := &attacked{T: t, address: testneed.FreeAddress(t)}
	a.url = "http://" + a.address
	// As it is shipped: under the race detector it takes many times the memory.
	a.process = sandtrailCommand(t, database, "serve", "--listen", a.address, "--log-level", "error")
	if err := a.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.process.Process.Kill()
		_ = a.process.Wait() // killed
	})
	c, err := client.New(client.Options{URL: a.url, Attempts: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// peak is the most memory that the server has had.
func (a *attacked) peak() int {
	a.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.process.Process.Pid))
	if err != nil {
		a.Fatal(err)
	}
	kilobytes, err := strconv.Atoi(string(regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(status)[1]))
	if err != nil {
		a.Fatal(err)
	}
	return kilobytes << 10
}

// answers asks for a sign of life, on a connection of its own as probes do.
func (a *attacked) answers() {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/healthz", nil)
	if err != nil {
		a.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		a.Errorf("healthz: %v", err)
		return
	}
	response.Body.Close()
	if response.StatusCode != 200 {
		a.Errorf("healthz: status %d", response.StatusCode)
	}
}

// hostileBody is one that costs its sender little.
type hostileBody struct {
	name, path, contentType, encoding string
	body                              []byte
	parallel                          int
	status                            []int
}

// squeezed is a body of a head, many times a part, and a tail, compressed.
func squeezed(encoding, head, part string, size int, tail string) []byte {
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if encoding == "zstd" {
		w, _ = zstd.NewWriter(&b, zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1)) // options that are valid
	}
	chunk := strings.Repeat(part, max(1, 1<<16/len(part)))
	_, _ = io.WriteString(w, head) // a bytes.Buffer takes everything
	for written := 0; written < size; written += len(chunk) {
		_, _ = io.WriteString(w, chunk)
	}
	_, _ = io.WriteString(w, tail)
	_ = w.Close()
	return b.Bytes()
}

func hostileBodies() []hostileBody {
	const executions, logs = "/v1/executions", "/v1/logs"
	const object, lines, protobuf = "application/json", "application/x-ndjson", "application/x-protobuf"
	record := `{"userId":"ada","strategyId":"momentum","executionType":"TERMINAL","success":true,"executionTime":1`
	large := record + `,"metadata":{"x":"` + strings.Repeat("x", 60<<10) + `"}}`
	refused, taken := []int{400, 413, 422}, []int{200, 201, 400, 413, 422, 429, 503}
	return []hostileBody{
		{"zeros of 8 MiB", executions, object, "gzip", squeezed("gzip", "[", "0,", 8<<20, "0]"), 1, refused},
		{"zeros of 64 MiB", executions, object, "gzip", squeezed("gzip", "[", "0,", 63<<20, "0]"), 4, refused},
		{"empty log records", logs, object, "gzip", squeezed("gzip", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[`, "{},", 4<<20, `{}]}]}]}`), 2, refused},
		{"empty log records in protobuf", logs, protobuf, "gzip", squeezed("gzip", "", "\x0a\x04\x12\x02\x12\x00", 4<<20, ""), 2, refused},
		{"empty attributes", logs, object, "gzip", squeezed("gzip", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[`, "{},", 8<<20, `{}]}]}]}]}`), 2, refused},
		{"many large log records", logs, object, "gzip", squeezed("gzip", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[`, `{"attributes":[`+strings.Repeat("{},", 200<<10)+"{}]},", 2<<20, `{}]}]}]}`), 2, taken},
		{"blanks", executions, object, "gzip", squeezed("gzip", "", " ", 63<<20, ""), 30, refused},
		{"blank lines", executions, lines, "gzip", squeezed("gzip", "", " \n", 4<<20, ""), 4, taken},
		{"a line without end", executions, lines, "zstd", squeezed("zstd", "", "x", 63<<20, ""), 30, append([]int{429, 503}, refused...)},
		{"nesting", executions, object, "gzip", squeezed("gzip", "["+record+`,"metadata":{"a":`, "[", 30<<20, "0"), 4, refused},
		{"findings that are none", executions, object, "gzip", squeezed("gzip", "["+record+`,"metadata":{"errors":[`, "0,", 64<<10, "0]}}]"), 4, refused},
		{"classes without end", executions, object, "gzip", squeezed("gzip", "["+record+`,"classesFound":[`, `"",`, 60<<20, `""]}]`), 4, refused},
		{"ten thousand executions without anything", executions, object, "gzip", squeezed("gzip", "[", "{},", 9990*3, "{}]"), 8, refused},
		{"as many large executions as there may be", executions, object, "gzip", squeezed("gzip", "["+large, ","+large, 24<<20, "]"), 3, taken},
		{"a user", "/v1/users/x", object, "gzip", squeezed("gzip", `{"email":"`, "x", 63<<20, `"}`), 30, append([]int{404, 405}, refused...)},
	}
}

// A body of a few kilobytes takes neither the server's memory nor its attention.
func TestHostileBodiesTakeNoMemory(t *testing.T) {
	a := newAttacked(t)
	t.Logf("at first %d MiB", a.peak()>>20)
	for _, hostile := range hostileBodies() {
		t.Run(hostile.name, func(t *testing.T) {
			var senders sync.WaitGroup
			for range hostile.parallel {
				senders.Go(func() { a.send(t, hostile) })
			}
			for range 3 {
				a.answers()
			}
			senders.Wait()
			if peak := a.peak(); peak > attackMemory {
				t.Errorf("the server has had %d MiB", peak>>20)
			} else {
				t.Logf("%d bytes × %d: %d MiB", len(hostile.body), hostile.parallel, peak>>20)
			}
		})
	}
	a.answers()
}

func (a *attacked) send(t *testing.T, hostile hostileBody) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	method := http.MethodPost
	if strings.HasPrefix(hostile.path, "/v1/users") {
		method = http.MethodPut
	}
	request, err := http.NewRequestWithContext(ctx, method, a.url+hostile.path, bytes.NewReader(hostile.body))
	if err != nil {
		t.Error(err)
		return
	}
	request.Header.Set("Content-Type", hostile.contentType)
	request.Header.Set("Content-Encoding", hostile.encoding)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Errorf("the server gave no answer: %v", err)
		return
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	for _, status := range hostile.status {
		if response.StatusCode == status {
			return
		}
	}
	t.Errorf("status %d: %.200s", response.StatusCode, said)
}

// Connections that send a body and do not end it keep nobody out.
func TestStalledSendersKeepNobodyOut(t *testing.T) {
	a := newAttacked(t)
	for i := range 1100 {
		path := "/v1/executions"
		if i%2 == 0 {
			path = "/v1/ledger/witness/add-checkpoint"
		}
		conn, err := net.Dial("tcp", a.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{", path)
	}
	a.answers()
	for _, path := range []string{"/readyz", "/v1/executions", "/v1/users/ada/stats", "/metrics"} {
		response, err := http.Get(a.url + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 200 {
			t.Errorf("%s: status %d", path, response.StatusCode)
		}
	}
	if peak := a.peak(); peak > attackMemory {
		t.Errorf("the server has had %d MiB", peak>>20)
	}
}
