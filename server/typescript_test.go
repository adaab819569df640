package server_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/internal/nodetest"
)

// A TypeScript client made from the served document compiles in strict mode
// and asks the reference's questions.
func TestTypeScriptClient(t *testing.T) {
	k := newKit(t).owners()
	for _, changes := range [][]string{{}, {"success:false", "executionTime:300", `createdAt:"2026-11-24T11:59:59Z"`}, {"userId:\"u2\""}} {
		as[any](t, k.post("/v1/executions", record(changes...)), 201)
	}
	old := sandtrail.NewID(start.AddDate(0, 0, -91))
	_, err := k.store.Append(t.Context(), []sandtrail.Admitted{{Execution: sandtrail.Execution{
		ID: old, UserID: "u2", StrategyID: "s2", Type: sandtrail.Terminal, CreatedAt: start.AddDate(0, 0, -91),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	key := k.key(auth.RoleAdmin, "")

	dir := checkOutTypeScript(t)
	if err := os.WriteFile(filepath.Join(dir, "openapi.json"), k.get("/openapi.json").body, 0o600); err != nil {
		t.Fatal(err)
	}
	node(t, dir, "node_modules/.bin/openapi-typescript", "openapi.json", "-o", "src/api.ts")
	node(t, dir, "node_modules/.bin/tsc")
	var got any
	if err := json.Unmarshal(node(t, dir, "node", "dist/main.js", k.url, key), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"recent":      []any{"u1@example.com Strategy 1 ok", "u1@example.com Strategy 1 failed"},
		"successRate": 200.0 / 3, "avgTime": 500.0 / 3,
		"failures": []any{"u1@example.com Strategy 1 failed"},
		"days":     8.0, "today": 3.0, "executions": 2.0, "validations": 3.0, "firing": true, "accepted": 1.0,
		"fault": "body.executionTime", "deleted": 1.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// checkOutTypeScript copies the program to a folder of the test, beside the
// packages of its lockfile.
func checkOutTypeScript(t *testing.T) string {
	t.Helper()
	source, err := filepath.Abs("testdata/typescript")
	if err != nil {
		t.Fatal(err)
	}
	nodetest.Install(t, source)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "src"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node_modules", "package.json", "tsconfig.json", "src/main.ts"} {
		if err := os.Symlink(filepath.Join(source, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// node runs a program and returns what it prints.
func node(t *testing.T, dir, program string, arguments ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, arguments...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	out, err := cmd.Output()
	if err != nil {
		var said []byte
		if exit, ok := err.(*exec.ExitError); ok {
			said = exit.Stderr
		}
		t.Fatalf("%s %v: %v\n%s%s", program, arguments, err, out, said)
	}
	return out
}
