//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sandbox is a machine on which sandtrail-exec records for a database.
type sandbox struct {
	*testing.T
	program, db string
	variables   map[string]string // of every program
}

func newSandbox(t *testing.T) sandbox {
	t.Helper()
	dir := t.TempDir()
	db := "sqlite:" + filepath.Join(dir, "sandtrail.db")
	command(t, 0, "migrate", "--db", db)
	return sandbox{t, small(t), db, map[string]string{"HOME": dir, "XDG_STATE_HOME": dir, "PATH": "/usr/bin:/bin", "SANDTRAIL_DB": db}}
}

// record runs sandtrail-exec on behalf of a user, and returns what it said.
func (s sandbox) record(user string) (said string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, s.program, "--user", user, "--strategy", "momentum", "--", "true")
	for name, value := range s.variables {
		c.Env = append(c.Env, name+"="+value)
	}
	out, err := c.CombinedOutput()
	if err != nil {
		s.Fatalf("sandtrail-exec: %v: %s", err, out)
	}
	return string(out)
}

// sandtrail runs a command on the same machine and returns what it said.
func (s sandbox) sandtrail(arguments ...string) (out, complaint string) {
	s.Helper()
	var stdout, stderr strings.Builder
	d := bare(&stdout, &stderr)
	d.getenv = func(name string) string { return s.variables[name] }
	if status := run(s.Context(), arguments, d); status != 0 {
		s.Fatalf("sandtrail %s: status %d: %s", strings.Join(arguments, " "), status, &stderr)
	}
	return stdout.String(), stderr.String()
}

func (s sandbox) stored(want int) {
	s.Helper()
	if out, _ := s.sandtrail("list", "-o", "ndjson"); strings.Count(out, "\n") != want {
		s.Errorf("%d executions are stored, want %d: %s", strings.Count(out, "\n"), want, out)
	}
}

// A command that adds owners or executions delivers what waits for the same
// database, and tells of it on standard error; one that reads delivers nothing.
func TestCommandsThatWriteDeliverWhatWaits(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.record("ada")
	for _, read := range [][]string{{"list"}, {"users", "list"}, {"outbox", "list"}, {"stats", "--user", "ada"}, {"doctor", "-o", "json"}} {
		d := bare(&strings.Builder{}, &strings.Builder{})
		d.getenv = func(name string) string { return s.variables[name] }
		run(t.Context(), read, d) // some have findings
		s.stored(0)
	}
	if out, said := s.sandtrail("users", "add", "ada", "--email", "ada@example.com"); strings.Contains(out+said, "waited") {
		t.Errorf("delivered without its strategy: %s%s", out, said)
	}
	out, said := s.sandtrail("strategies", "add", "momentum", "--name", "Momentum")
	if !strings.Contains(said, "1 execution that waited in ") || strings.Contains(out, "waited") {
		t.Errorf("said %q and %q", out, said)
	}
	s.stored(1)

	// A store that a flag names gets nothing out of the outbox of another.
	s.variables["SANDTRAIL_OUTBOX"] = filepath.Join(t.TempDir(), "outbox")
	s.record("ada")
	other := "sqlite:" + filepath.Join(t.TempDir(), "other.db")
	if _, said := s.sandtrail("users", "add", "ada", "--email", "ada@example.com", "--db", other); said != "" {
		t.Errorf("into another database: %s", said)
	}
	s.variables["SANDTRAIL_RETENTION"] = "soon"
	if _, said := s.sandtrail("users", "add", "bob", "--email", "bob@example.com"); !strings.Contains(said, "still wait in ") || !strings.Contains(said, "SANDTRAIL_RETENTION: must be") {
		t.Errorf("of a retention that is none: %q", said)
	}
	delete(s.variables, "SANDTRAIL_RETENTION")
	if _, said := s.sandtrail("users", "add", "bob", "--email", "bob@example.com"); !strings.Contains(said, "1 execution that waited") {
		t.Errorf("said %q", said)
	}
	s.stored(2)

	box := s.variables["SANDTRAIL_OUTBOX"]
	if err := os.Chmod(box, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, said := s.sandtrail("users", "add", "bob", "--email", "bob@example.com"); !strings.Contains(said, "were not delivered: ") || !strings.Contains(said, box) {
		t.Errorf("of an outbox that all may write to: %q", said)
	}
}

// A server delivers what programs without a database left on its machine, before
// and while it runs.
func TestServeDeliversWhatWaits(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.sandtrail("users", "add", "ada", "--email", "ada@example.com")
	s.sandtrail("strategies", "add", "momentum", "--name", "Momentum")
	s.record("ada")
	box := filepath.Join(s.variables["XDG_STATE_HOME"], "sandtrail", "outbox")
	dirs, err := filepath.Glob(filepath.Join(box, "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("outboxes %v, %v", dirs, err)
	}
	startServe(t, s.db, "--outbox", dirs[0])
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for want := range 2 {
		for count := 0; count <= want; {
			out, _ := s.sandtrail("list", "-o", "ndjson")
			count = strings.Count(out, "\n")
			if err := wait(ctx, 50*time.Millisecond); err != nil {
				t.Fatalf("after %d executions: %v", count, err)
			}
		}
		if want == 0 {
			s.record("ada")
		}
	}
}

// The small program delivers over TLS to a server whose certificate it has
// reason to trust; where it has none the record waits until it has.
func TestSmallProgramDeliversOverTLS(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.sandtrail("users", "add", "ada", "--email", "ada@example.com")
	s.sandtrail("strategies", "add", "momentum", "--name", "Momentum")
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	issued, secret := selfSigned(t, 1)
	for name, content := range map[string][]byte{certificate: issued, key: secret} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	served := startServe(t, s.db, "--tls-cert", certificate, "--tls-key", key)
	recorder := s
	recorder.variables = map[string]string{
		"SANDTRAIL_SERVER": strings.Replace(served.url, "http://", "https://", 1), "XDG_STATE_HOME": t.TempDir(), "PATH": "/usr/bin:/bin",
	}
	if said := recorder.record("ada"); !strings.Contains(said, "waits in") || !strings.Contains(said, "certificate") {
		t.Errorf("without a reason to trust it said %q", said)
	}
	s.stored(0)
	recorder.variables["SSL_CERT_FILE"] = certificate
	if said := recorder.record("ada"); said != "" {
		t.Errorf("it said %q", said)
	}
	s.stored(2)
}
