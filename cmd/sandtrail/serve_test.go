package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serving is a server that was started from the command line.
type serving struct {
	url  string
	stop func() (status int)
}

func startServe(t testing.TB, db string, flags ...string) serving {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	logged, log := io.Pipe()
	status := make(chan int, 1)
	go func() {
		arguments := append([]string{"serve", "--db", db, "--listen", "127.0.0.1:0", "--log-format", "json"}, flags...)
		status <- run(ctx, arguments, bare(io.Discard, log))
		log.Close()
	}()
	lines := bufio.NewScanner(logged)
	address := ""
	for address == "" && lines.Scan() {
		var line struct{ Msg, Address string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("log line %q: %v", lines.Text(), err)
		}
		address = line.Address
	}
	if address == "" {
		t.Fatalf("serve ended with status %d", <-status)
	}
	go func() { _, _ = io.Copy(io.Discard, logged) }()
	stop := func() int { cancel(); return <-status }
	t.Cleanup(cancel)
	return serving{url: "http://" + address, stop: stop}
}

// bare is an environment without variables.
func bare(out, err io.Writer) *deps {
	return &deps{
		in: strings.NewReader(""), out: out, err: err, now: time.Now, wait: wait,
		getenv: func(string) string { return "" },
	}
}

// command runs a command and returns what it printed.
func command(t testing.TB, wantStatus int, arguments ...string) string {
	t.Helper()
	var out, complaint bytes.Buffer
	if status := run(t.Context(), arguments, bare(&out, &complaint)); status != wantStatus {
		t.Fatalf("sandtrail %s: status %d, want %d: %s", strings.Join(arguments, " "), status, wantStatus, &complaint)
	}
	return out.String()
}

func TestServeFromFirstStartToStop(t *testing.T) {
	db := "sqlite:" + filepath.Join(t.TempDir(), "served.db")
	s := startServe(t, db)
	for path, want := range map[string]string{"/readyz": `"ok"`, "/v1/ledger/checkpoint": "\n— sandtrail/", "/": "<html", "/openapi.json": `"openapi"`} {
		response, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: status %d, %v: %.100s", path, response.StatusCode, err, body)
		}
	}
	key := strings.TrimSuffix(command(t, 0, "keys", "create", "--role", "admin", "--server", s.url), "\n")
	if !strings.HasPrefix(key, "st_") || strings.ContainsAny(key, " \n") {
		t.Fatalf("keys create printed %q, want the key alone", key)
	}
	with := []string{"--server", s.url, "--key", key}
	command(t, statusUsage, "users", "list", "--server", s.url)
	command(t, 0, append([]string{"users", "add", "ada", "--email", "ada@example.com"}, with...)...)
	if got := command(t, 0, append([]string{"users", "list", "-o", "csv"}, with...)...); !strings.Contains(got, "ada@example.com") {
		t.Errorf("users list: %s", got)
	}
	if got := command(t, 0, append([]string{"keys", "list", "-o", "ndjson"}, with...)...); strings.Contains(got, key) || !strings.Contains(got, `"role":"admin"`) {
		t.Errorf("keys list: %s", got)
	}
	if got := command(t, 0, append([]string{"doctor", "--outbox", t.TempDir(), "--deep", "-o", "csv"}, with...)...); !strings.Contains(got, "journal mode is wal") || !strings.Contains(got, "roll-ups") {
		t.Errorf("doctor: %s", got)
	}
	if status := s.stop(); status != 0 {
		t.Errorf("serve ended with status %d", status)
	}
	command(t, statusUnavailable, append([]string{"users", "list"}, with...)...)
	if got := command(t, 0, "users", "list", "--db", db, "-o", "csv"); !strings.Contains(got, "ada@example.com") {
		t.Errorf("after the stop: %s", got)
	}
}

func TestServeRefusals(t *testing.T) {
	db := "sqlite:" + filepath.Join(t.TempDir(), "served.db")
	for _, flags := range [][]string{
		{"--listen", "0.0.0.0:0"},
		{"--listen", "nowhere"},
		{"--tls-cert", "missing.pem"},
		{"--tls-cert", "missing.pem", "--tls-key", "missing.pem"},
		{"--retention", "soon"},
	} {
		command(t, statusUsage, append([]string{"serve", "--db", db, "--log-level", "error"}, flags...)...)
	}
	command(t, statusUsage, "serve", "--server", "http://127.0.0.1:1")
}
