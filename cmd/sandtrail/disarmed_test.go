package main

import (
	"bytes"
	"database/sql"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestTriggersThatAreGone: a tool has dropped a trigger of the file, before a command
// and below a server.
func TestTriggersThatAreGone(t *testing.T) {
	t.Chdir(t.TempDir())
	const db = "sqlite:flags.db"
	seedFlags(t, db)
	served := startServe(t, db)
	file, err := sql.Open("sqlite", "file:flags.db?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.ExecContext(t.Context(), "DROP TRIGGER sandtrail_execution_inserted"); err != nil {
		t.Fatal(err)
	}
	const missing = "trigger sandtrail_execution_inserted of table sandbox_execution_logs"
	for _, arguments := range [][]string{
		{"users", "add", "eve", "--email", "eve@example.com", "--db", db},
		{"cleanup", "--older-than", "1d", "--db", db},
		{"migrate", "--db", db},
		{"doctor", "--db", db},
		{"verify", "--db", db},
	} {
		var out, complaint bytes.Buffer
		status := run(t.Context(), arguments, bare(&out, &complaint))
		if said := out.String() + complaint.String(); status == 0 || !strings.Contains(said, missing) {
			t.Errorf("%s: status %d: %s", strings.Join(arguments, " "), status, said)
		} else if arguments[0] != "verify" && !strings.Contains(said, "sandtrail migrate --repair") {
			t.Errorf("%s names no remedy: %s", strings.Join(arguments, " "), said)
		}
	}
	response, err := http.Get(served.url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d %s, %v", response.StatusCode, body, err)
	}
	if said := command(t, 0, "migrate", "--repair", "--db", db); !strings.Contains(said, "made "+missing) {
		t.Errorf("migrate --repair: %s", said)
	}
	var out, complaint bytes.Buffer
	if status := run(t.Context(), []string{"migrate", "--repair", "-o", "json", "--db", db}, bare(&out, &complaint)); status != 0 ||
		strings.TrimSpace(out.String()) != "[]" || !strings.Contains(complaint.String(), "counted all executions anew") {
		t.Errorf("migrate --repair -o json: status %d: %s%s", status, &out, &complaint)
	}
	for _, arguments := range [][]string{{"users", "add", "eve", "--email", "eve@example.com", "--db", db}, {"migrate", "--db", db}, {"doctor", "--deep", "--db", db}, {"verify", "--db", db}} {
		command(t, 0, arguments...)
	}
}
