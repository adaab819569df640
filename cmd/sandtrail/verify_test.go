package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/sqlite"
)

// audited is a database with records, used from the command line.
type audited struct {
	*testing.T
	path string
}

func newAudited(t *testing.T, records int) *audited {
	a := &audited{t, filepath.Join(t.TempDir(), "test.db")}
	a.ok("", "users", "add", "ada", "--email", "ada@example.com")
	a.ok("", "strategies", "add", "s", "--name", "S")
	var lines strings.Builder
	for i := range records {
		fmt.Fprintf(&lines, `{"userId":"ada","strategyId":"s","executionType":"VALIDATION","success":true,"executionTime":%d}`+"\n", i)
	}
	a.ok(lines.String(), "record", "-")
	return a
}

func (a *audited) run(in string, args ...string) (out string, status int) {
	a.Helper()
	var stdout, stderr bytes.Buffer
	status = run(a.Context(), append(args, "--db", "sqlite:"+a.path), &deps{
		in: strings.NewReader(in), out: &stdout, err: &stderr, now: time.Now,
		getenv: func(string) string { return "" },
	})
	return stdout.String() + stderr.String(), status
}

func (a *audited) ok(in string, args ...string) string {
	a.Helper()
	out, status := a.run(in, args...)
	if status != 0 {
		a.Fatalf("sandtrail %v: status %d\n%s", args, status, out)
	}
	return out
}

// verify returns the JSON summary and the exit status.
func (a *audited) verify(args ...string) (v verified, status int) {
	a.Helper()
	out, status := a.run("", append([]string{"verify", "-o", "json"}, args...)...)
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&v); err != nil { // warnings follow
		a.Fatalf("%v: %s", err, out)
	}
	return v, status
}

// behind does something to the records past the triggers.
func (a *audited) behind(text string) {
	a.Helper()
	db, err := sql.Open("sqlite", a.path)
	if err != nil {
		a.Fatal(err)
	}
	defer db.Close()
	var trigger string
	if err := db.QueryRow("SELECT sql FROM sqlite_schema WHERE name = 'sandtrail_execution_deleted'").Scan(&trigger); err != nil {
		a.Fatal(err)
	}
	if _, err := db.Exec(`DROP TRIGGER sandtrail_execution_deleted;` + text + ";" + trigger); err != nil {
		a.Fatal(err)
	}
}

func (a *audited) file(text string) string {
	a.Helper()
	path := filepath.Join(a.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		a.Fatal(err)
	}
	return path
}

func TestVerify(t *testing.T) {
	a := newAudited(t, 5)
	checkpoint := a.file(a.ok("", "ledger", "checkpoint"))
	v, status := a.verify("--checkpoint", checkpoint)
	if status != 0 || v.Records != 5 || v.Intact != 5 || v.Removed != 0 || len(v.Findings) != 0 || v.Checkpoints != 2 {
		t.Errorf("untouched: status %d, %+v", status, v)
	}

	a.ok("", "users", "delete", "ada")
	if v, status := a.verify("--checkpoint", checkpoint); status != 0 || v.Records != 5 || v.Intact != 0 || v.Removed != 5 || v.Reasons["user"] != 5 {
		t.Errorf("after a lawful removal: status %d, %+v", status, v)
	}
	if out := a.ok("", "verify"); !strings.Contains(out, "5 lawfully removed") || !strings.Contains(out, "Removed: 5 by user") {
		t.Errorf("in words: %s", out)
	}
}

func TestVerifyFinds(t *testing.T) {
	a := newAudited(t, 5)
	a.ok("", "verify")
	a.behind(`DELETE FROM sandbox_execution_logs WHERE execution_time = 1`)
	a.behind(`UPDATE sandbox_execution_logs SET success = 0, error_count = 1, warning_count = 1 WHERE execution_time = 2`)
	v, status := a.verify()
	got := map[ledger.FindingKind][]string{}
	for _, f := range v.Findings {
		got[f.Kind] = f.Fields
	}
	// One in 256 alterations of a field cannot be told by its check.
	altered, changed := got[ledger.Altered], []string{"success", "errorCount", "warningCount"}
	if len(got) != 2 || got[ledger.Missing] != nil || len(altered) == 0 ||
		slices.ContainsFunc(altered, func(field string) bool { return !slices.Contains(changed, field) }) {
		t.Fatalf("findings %v; want one missing, and one altered in some of %v", got, changed)
	}
	if status != statusFinding || v.Records != 5 || v.Intact != 3 || v.Missing != 1 || v.Altered != 1 {
		t.Errorf("status %d, %+v", status, v)
	}
	if out, status := a.run("", "verify"); status != statusFinding || !strings.Contains(out, "missing") || !strings.Contains(out, altered[0]) {
		t.Errorf("status %d, %s", status, out)
	}
}

func TestVerifyNeedsAKey(t *testing.T) {
	a := newAudited(t, 1)
	checkpoint := a.file(a.ok("", "ledger", "checkpoint"))
	public := strings.TrimSpace(a.ok("", "ledger", "key"))
	if err := os.Remove(a.path + ".ledger-key"); err != nil {
		t.Fatal(err)
	}
	if v, status := a.verify(); status != 0 || v.Unchecked != 1 {
		t.Errorf("without any key: status %d, %+v", status, v)
	}
	if out, status := a.run("", "verify", "--checkpoint", checkpoint); status != statusUsage || !strings.Contains(out, "--public-key") {
		t.Errorf("a checkpoint without any key: status %d, %s", status, out)
	}
	if v, status := a.verify("--checkpoint", checkpoint, "--public-key", public); status != 0 || v.Checkpoints != 2 {
		t.Errorf("with the public key: status %d, %+v", status, v)
	}
}

func TestLedgerRotate(t *testing.T) {
	a := newAudited(t, 1)
	checkpoint := a.file(a.ok("", "ledger", "checkpoint"))
	said, _, _ := strings.Cut(a.ok("", "ledger", "rotate"), "The new key")
	if keys := strings.Fields(said); len(keys) != 2 {
		t.Fatalf("keys after a rotation: %v", keys)
	}
	if v, status := a.verify("--checkpoint", checkpoint); status != 0 || v.Checkpoints != 2 {
		t.Errorf("an old checkpoint after a rotation: status %d, %+v", status, v)
	}
}

// A checkpoint of the same size and another root, signed by the log's own key, is
// proof of a fork, whatever is checked against it. Files are checked whole: no
// part of one counts as verified before.
func TestVerifyFilesOfAForkedLog(t *testing.T) {
	a := newAudited(t, 3)
	same := a.file(a.ok("", "ledger", "checkpoint"))
	keys, err := ledger.LoadKeys(a.path + ".ledger-key")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := keys.Sign(3, ledger.Hash{1})
	if err != nil {
		t.Fatal(err)
	}
	fork := a.file(string(signed))
	export, manifest := filepath.Join(t.TempDir(), "e.ndjson"), filepath.Join(t.TempDir(), "m.txt")
	a.ok("", "export", "--to", export, "--manifest", manifest)
	for name, files := range map[string][]string{
		"export":  {"--export", export, "--manifest", manifest},
		"receipt": {"--receipt", a.receipt(keys)},
	} {
		if out, status := a.run("", append([]string{"verify", "--checkpoint", same}, files...)...); status != 0 {
			t.Errorf("%s against its own checkpoint: status %d\n%s", name, status, out)
		}
		v, status := a.verify(append([]string{"--checkpoint", same, "--checkpoint", fork}, files...)...)
		if status != statusFinding || v.FindingsN != 1 || len(v.Findings) != 1 || v.Findings[0].Kind != ledger.Forked {
			t.Errorf("%s of a forked log: status %d, %+v; want one finding, forked", name, status, v)
		}
		out, status := a.run("", append([]string{"verify", "--since", same}, files...)...)
		if status != statusUsage || !strings.Contains(out, "--since") || strings.Contains(out, "✓") {
			t.Errorf("%s with --since: status %d, want %d\n%s", name, status, statusUsage, out)
		}
	}
	if v, status := a.verify("--since", fork); status != statusFinding || v.Findings[0].Kind != ledger.Forked {
		t.Errorf("since a checkpoint of another log: status %d, %+v", status, v)
	}
}

// receipt writes the receipt of the newest execution.
func (a *audited) receipt(keys ledger.Keys) string {
	a.Helper()
	store, err := sqlite.Open(a.Context(), a.path, sqlite.Options{Existing: true})
	if err != nil {
		a.Fatal(err)
	}
	defer store.Close()
	page, err := store.Executions(a.Context(), sandtrail.Query{Limit: 1}, time.Now())
	if err != nil {
		a.Fatal(err)
	}
	receipt, err := ledger.Service{Log: store, Keys: keys}.Receipt(a.Context(), page.Items[0], time.Now())
	if err != nil {
		a.Fatal(err)
	}
	raw, err := json.Marshal(receipt)
	if err != nil {
		a.Fatal(err)
	}
	return a.file(string(raw))
}
