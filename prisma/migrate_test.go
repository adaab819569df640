//go:build linux

package prisma_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/internal/pty"
)

// engine is Prisma's schema engine as a program, so that nothing is downloaded.
const engine = "testdata/app/engine/schema-engine.mjs"

// project is a Prisma project in a folder, for a database.
type project struct{ dir, url string }

// newProject makes a project with a schema.
func newProject(t testing.TB, url, schema string) project {
	t.Helper()
	p := project{t.TempDir(), url}
	checkOut(t, p.dir)
	p.write(t, "prisma/schema.prisma", schema)
	p.write(t, "prisma.config.ts", `import { defineConfig } from "prisma/config";

export default defineConfig({
  datasource: { url: process.env.DATABASE_URL },
});
`)
	return p
}

func (p project) write(t testing.TB, name, content string) {
	t.Helper()
	write(t, p.dir, name, content)
}

// prisma runs a command of Prisma on a terminal, as its users do, and returns
// what it said.
func (p project) prisma(t testing.TB, arguments ...string) (said string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join("node_modules", ".bin", "prisma"), arguments...)
	cmd.Dir, cmd.Env = p.dir, append(environment(t), "DATABASE_URL="+p.url, "CI=", "GITHUB_ACTIONS=")
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, master); err != nil && !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	err = cmd.Wait()
	return strings.ReplaceAll(b.String(), "\r\n", "\n"), err
}

// must is prisma for a command that succeeds and says something.
func (p project) must(t testing.TB, want string, arguments ...string) string {
	t.Helper()
	said, err := p.prisma(t, arguments...)
	if err != nil || !strings.Contains(said, want) {
		t.Fatalf("prisma %s: %v; want it to say %q, got\n%s", strings.Join(arguments, " "), err, want, said)
	}
	return said
}

// TestReferenceMigration follows the example application from its model to its migration,
// word for word. TestApplicationsMoveIn runs the engine's diff and push.
func TestReferenceMigration(t *testing.T) {
	reference, err := os.ReadFile("testdata/reference/model.prisma")
	check(t, err)
	p := newProject(t, pgtest.New(t), existing)
	p.must(t, "now in sync", "migrate", "dev", "--name", "init")

	p.write(t, "prisma/schema.prisma", withReference(t, existing, string(reference)))
	p.must(t, "now in sync", "migrate", "dev", "--name", "add_sandbox_execution_log")
	p.must(t, "No pending migrations to apply", "migrate", "deploy")
	p.must(t, "Generated Prisma Client", "generate")

	p.must(t, "Database schema is up to date", "migrate", "status")
	p.must(t, "SandboxExecutionLog", "db", "pull", "--print")
	p.must(t, "Database reset successful", "migrate", "reset", "--force")
}

// withReference adds the example application's model and relation fields to a schema.
func withReference(t testing.TB, schema, reference string) string {
	t.Helper()
	for _, model := range []string{"User", "Strategy"} {
		place := "  // more fields of " + model + "\n"
		if !strings.Contains(schema, place) {
			t.Fatalf("the schema has no place for more fields of %s", model)
		}
		schema = strings.Replace(schema, place, "  sandboxExecutions SandboxExecutionLog[]\n", 1)
	}
	return schema + "\n" + reference
}
