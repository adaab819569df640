package main

import (
	"database/sql"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

// TestRotationReachesServers: a server that runs signs with the new key soon, and goes
// on with the one it has where the file is replaced by another log's.
func TestRotationReachesServers(t *testing.T) {
	t.Chdir(t.TempDir())
	const db = "sqlite:flags.db"
	seedFlags(t, db)
	command(t, 0, "ledger", "key", "--db", db) // in the default place: opens the database
	first, _, _ := strings.Cut(command(t, 0, "ledger", "key", "--db", db, "--ledger-key", "key"), "\n")
	served := startServe(t, db, "--ledger-key", "key", "--checkpoint-every", "1s")
	checkpoint := func() string {
		response, err := http.Get(served.url + "/v1/ledger/checkpoint")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%d %s, %v", response.StatusCode, body, err)
		}
		return string(body)
	}
	if n := strings.Count(checkpoint(), "\n— "); n != 1 {
		t.Fatalf("%d signatures before the rotation", n)
	}
	said := command(t, 0, "ledger", "rotate", "--db", db, "--ledger-key", "key")
	_, said, _ = strings.Cut(said, "The new key: ")
	second, _, _ := strings.Cut(said, ". Servers")
	if second == first || !strings.HasPrefix(second, "sandtrail/") {
		t.Errorf("rotate says that the new key is %q", second)
	}
	file, err := sql.Open("sqlite", "file:flags.db?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var object string
	if err := file.QueryRowContext(t.Context(), "SELECT object FROM sandtrail_access_log WHERE action = 'rotate ledger key'").Scan(&object); err != nil || object != second {
		t.Errorf("the access log has the rotation to %q, %v", object, err)
	}
	var lines int
	if err := file.QueryRowContext(t.Context(), "SELECT count(*) FROM sandtrail_access_log WHERE action LIKE '%ledger key'").Scan(&lines); err != nil || lines != 1 {
		t.Errorf("the access log has %d lines of keys, %v; want one of the rotation: that the key was printed is no act", lines, err)
	}
	command(t, 0, "users", "add", "eve", "--email", "eve@example.com", "--db", db)
	record := func() {
		t.Helper()
		if err := os.WriteFile("run.ndjson", []byte(`{"userId":"eve","strategyId":"momentum","executionType":"VALIDATION","success":true,"executionTime":1}`+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		command(t, 0, "record", "run.ndjson", "--db", db)
	}
	signatures := func(n int) func() bool {
		return func() bool { record(); return strings.Count(checkpoint(), "\n— ") == n }
	}
	eventually(t, "the new key beside the old one", signatures(2))
	command(t, 0, "ledger", "key", "--ledger-key", "other", "--db", "sqlite:other.db")
	if err := os.Rename("other", "key"); err != nil {
		t.Fatal(err)
	}
	if status := run(t.Context(), []string{"ledger", "checkpoint", "--db", db, "--ledger-key", "key"}, bare(io.Discard, io.Discard)); status == 0 {
		t.Error("another log's key is taken by a command")
	}
	eventually(t, "checkpoints with the keys that the server has", signatures(2))
}
