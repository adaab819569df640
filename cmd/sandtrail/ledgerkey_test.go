package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
)

// A log has the key that it was begun with: a command in another folder makes none, and
// refuses another.
func TestALogHasOneKey(t *testing.T) {
	database := pgtest.New(t)
	here, there := t.TempDir(), t.TempDir()
	t.Chdir(here)
	command(t, 0, "migrate", "--db", database)
	command(t, 0, "ledger", "checkpoint", "--db", database)
	mine := command(t, 0, "ledger", "key", "--db", database)
	t.Chdir(there)
	for _, args := range [][]string{
		{"ledger", "checkpoint"},
		{"ledger", "key"},
		{"export", "--manifest", "m.txt", "--to", "e.ndjson"},
		{"archive", ".", "--older-than", "2020-01-01"},
		{"serve", "--listen", "127.0.0.1:0", "--ledger-key", "new.key"},
	} {
		out := refused(t, append(args, "--db", database)...)
		if !strings.Contains(out, "signed with sandtrail/") || !strings.Contains(out, "ledger rotate --lost") {
			t.Errorf("%s: %s", strings.Join(args, " "), out)
		}
	}
	for _, name := range []string{"sandtrail.ledger-key", "new.key"} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s was made", name)
		}
	}
	other, err := ledger.EnsureKeys("other.key", "example.com/other")
	if err != nil {
		t.Fatal(err)
	}
	out := refused(t, "ledger", "checkpoint", "--db", database, "--ledger-key", "other.key")
	if !strings.Contains(out, other.Origin()) || !strings.Contains(out, strings.Split(mine, "+")[0]) {
		t.Errorf("another key is refused with %s", out)
	}
	if again := command(t, 0, "ledger", "key", "--db", database, "--ledger-key", filepath.Join(here, "sandtrail.ledger-key")); again != mine {
		t.Errorf("the key is %s, was %s", again, mine)
	}
}

// refused runs a command that ends with statusUsage, and returns the reason.
func refused(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	status := run(t.Context(), args, &deps{
		in: strings.NewReader(""), out: &out, err: &errs, now: time.Now, getenv: func(string) string { return "" }, wait: noWait,
	})
	if status != statusUsage {
		t.Errorf("sandtrail %s: status %d, want %d: %s%s", strings.Join(args, " "), status, statusUsage, out.String(), errs.String())
	}
	return errs.String()
}

// A key that is lost is replaced on purpose, which every verification tells. What the
// lost one signed is verified with its public key.
func TestALostKeyIsReplacedVisibly(t *testing.T) {
	a := newAudited(t, 3)
	kept := a.file(a.ok("", "ledger", "checkpoint"))
	old, _, _ := strings.Cut(a.ok("", "ledger", "key"), "\n")
	if out, status := a.run("", "ledger", "rotate", "--lost"); status != statusUsage || !strings.Contains(out, "is not lost") {
		t.Errorf("a key that is there: status %d, %s", status, out)
	}
	if err := os.Remove(a.path + ".ledger-key"); err != nil {
		t.Fatal(err)
	}
	if out, status := a.run("", "ledger", "checkpoint"); status != statusUsage || !strings.Contains(out, "rotate --lost") {
		t.Errorf("without the key: status %d, %s", status, out)
	}
	public, _, _ := strings.Cut(a.ok("", "ledger", "rotate", "--lost"), "\n")
	if origin := strings.Split(old, "+")[0]; public == old || strings.Split(public, "+")[0] != origin {
		t.Errorf("the new key is %s, the lost one was %s", public, old)
	}
	name := strings.Join(strings.Split(old, "+")[:2], "+")
	v, status := a.verify()
	if status != 0 || v.FindingsN != 0 || v.Unchecked != 1 || len(v.LostKeys) != 1 || v.LostKeys[0] != name {
		t.Errorf("after the loss: status %d, %+v; want 1 checkpoint unchecked, of %s", status, v, name)
	}
	if out, _ := a.run("", "verify"); !strings.Contains(out, "The operator lost the key "+name) {
		t.Errorf("verify says %s", out)
	}
	v, status = a.verify("--public-key", old, "--checkpoint", kept)
	if status != 0 || v.Unchecked != 0 || v.Checkpoints != 3 {
		t.Errorf("with the lost key's public key: status %d, %+v; want 3 checkpoints that agree", status, v)
	}
	// A checkpoint of a key that nobody declared lost is forged.
	stranger, err := ledger.GenerateKeys(strings.NewReader(strings.Repeat("x", 64)), "example.com/stranger")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := stranger.Sign(3, ledger.Hash{1})
	if err != nil {
		t.Fatal(err)
	}
	a.behind("INSERT INTO sandtrail_ledger_checkpoints (size, at, signed) VALUES (3, '2026-11-30T00:00:00.000Z', '" + string(signed) + "')")
	if v, status := a.verify(); status != statusFinding || v.Findings[0].Kind != ledger.BadSignature {
		t.Errorf("a checkpoint of a stranger: status %d, %+v", status, v)
	}
}

// Arguments of a caller are neither ambiguous nor the state of the database.
func TestAKeyGivenTwice(t *testing.T) {
	a := newAudited(t, 2)
	a.ok("", "ledger", "checkpoint")
	public, _, _ := strings.Cut(a.ok("", "ledger", "key"), "\n")
	if v, status := a.verify("--public-key", public, "--public-key", public); status != 0 || v.Checkpoints != 1 {
		t.Errorf("the same key twice: status %d, %+v", status, v)
	}
	wrong := a.file("example.com/x\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— example.com/x AAAAAA==\n")
	out, status := a.run("", "verify", "--checkpoint", wrong)
	if status != statusFinding || !strings.Contains(out, "not stored as the database's") {
		t.Errorf("a checkpoint that is forged: status %d, %s", status, out)
	}
	if out := a.ok("", "doctor"); strings.Contains(out, "1 finding") {
		t.Errorf("doctor blames the database for an argument: %s", out)
	}
}

// What is said of an exported file is what was checked of it.
func TestTheVerdictOfAnExportClaimsNoMore(t *testing.T) {
	a := newAudited(t, 5)
	dir := t.TempDir()
	for _, c := range []struct {
		name  string
		args  []string
		want  []string
		never string
	}{
		{"e.ndjson", nil, []string{"5 executions: 5 as they were sealed.", "whether the log has executions that are not in the file"}, "Nothing was"},
		{"e.ndjson", []string{"--until", "2030-01-01", "--failed"}, []string{"0 executions", "executions of success=false&until=2030-01-01T00%3A00%3A00Z that are not in the file"}, "Nothing was"},
		{"e.parquet", []string{"--format", "parquet"}, []string{"5 executions.", "each execution against its entry"}, "intact"},
	} {
		export, manifest := filepath.Join(dir, c.name), filepath.Join(dir, "m.txt")
		a.ok("", append([]string{"export", "--to", export, "--manifest", manifest}, c.args...)...)
		out := a.ok("", "verify", "--export", export, "--manifest", manifest)
		for _, want := range append(c.want, "✓ The file is the one", "Not checked:") {
			if !strings.Contains(out, want) {
				t.Errorf("%s %v: lacks %q\n%s", c.name, c.args, want, out)
			}
		}
		if strings.Contains(out, c.never) {
			t.Errorf("%s %v: says %q\n%s", c.name, c.args, c.never, out)
		}
		v, status := a.verify("--export", export, "--manifest", manifest)
		if status != 0 || len(v.NotChecked) < 2 || c.name == "e.parquet" && v.Intact != 0 {
			t.Errorf("%s %v: status %d, %+v", c.name, c.args, status, v)
		}
		// The filter is signed.
		text := string(readFile(t, manifest))
		forged := strings.Replace(text, "\nfilter ", "\nfilter within=1h&", 1)
		if out, status := a.run("", "verify", "--export", export, "--manifest", a.file(forged)); forged == text || status != statusFinding {
			t.Errorf("a manifest of another filter: status %d\n%s", status, out)
		}
	}
}
