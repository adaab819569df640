package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServeTellsOfForkedCheckpoints: a server finds that the directory of its
// checkpoints has one of its own log with other entries, and stores the finding.
// Files that no key of the log signed are no findings.
func TestServeTellsOfForkedCheckpoints(t *testing.T) {
	t.Chdir(t.TempDir())
	seedFlags(t, "sqlite:here.db")
	seedFlags(t, "sqlite:fork.db")
	command(t, 0, "ledger", "checkpoint", "--db", "sqlite:here.db", "--ledger-key", "key")
	forked := command(t, 0, "ledger", "checkpoint", "--db", "sqlite:fork.db", "--ledger-key", "key")
	if err := os.Mkdir("published", 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("published", "checkpoint-000000000004.txt")
	for name, text := range map[string]string{file: forked, filepath.Join("published", "checkpoint-9.txt"): "no checkpoint\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	served := startServe(t, "sqlite:here.db", "--ledger-key", "key", "--checkpoint-dir", "published", "--checkpoint-every", "1s", "--verify-every", "1s")
	eventually(t, "the finding of a forked checkpoint", func() bool {
		response, err := http.Get(served.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return err == nil && strings.Contains(string(body), "sandtrail_ledger_verification_findings 1\n")
	})
	eventually(t, "this log's checkpoint beside it", func() bool {
		own, err := filepath.Glob(filepath.Join("published", "checkpoint-000000000004-*.txt"))
		return err != nil || len(own) == 1
	})
	if text, err := os.ReadFile(file); err != nil || string(text) != forked {
		t.Errorf("the evidence was changed: %q, %v", text, err)
	}
}
