package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/internal/pgtest"
)

// An observation is a pair of calls that must answer differently: what a flag
// does is seen in it, in every mode.
type observation struct{ without, with string }

func more(base, flag string) observation { return observation{base, base + " " + flag} }

// observed are the flags that are honoured in every mode, with what proves it.
var observed = map[string]observation{
	"list --user": more("list", "--user bob"), "list --strategy": more("list", "--strategy other"), "list --type": more("list", "--type terminal"),
	"list --text": more("list", "--text nowhere"), "failures --text": more("failures --within 1d", "--text nowhere"), "export --text": more("export", "--text nowhere"),
	"list --timed-out": more("list", "--timed-out"), "list --since": more("list", "--since 30m"), "list --until": more("list", "--until 30m"),
	"list --min-time": more("list", "--min-time 2s"), "list --max-time": more("list", "--max-time 2s"),
	"list --min-memory": more("list", "--min-memory 100"), "list --max-memory": more("list", "--max-memory 100"),
	"list --limit": more("list", "--limit 1"), "list --cursor": more("list", "--cursor nonsense"), "list --failed": more("list", "--failed"),
	"list --output": more("list", "-o csv"),

	"failures --user": more("failures --within 1d", "--user bob"), "failures --strategy": more("failures --within 1d", "--strategy momentum"),
	"failures --type": more("failures --within 1d", "--type validation"), "failures --timed-out": more("failures --within 1d", "--timed-out"),
	"failures --since": more("failures", "--since 3h"), "failures --until": more("failures --within 1d", "--until 3h"),
	"failures --min-time": more("failures --within 1d", "--min-time 40s"), "failures --max-time": more("failures --within 1d", "--max-time 1s"),
	"failures --min-memory": more("failures --within 1d", "--min-memory 100"), "failures --max-memory": more("failures --within 1d", "--max-memory 100"),
	"failures --limit": more("failures --within 1d", "--limit 1"), "failures --cursor": more("failures", "--cursor nonsense"),
	"failures --within": more("failures", "--within 1d"), "failures --output": more("failures", "-o json"),

	"show --output": more("show last", "-o json"), "stats --output": more("stats --user ada", "-o json"),
	"stats --user": {"stats --user ada", "stats --user bob"}, "stats --strategy": {"stats --strategy momentum", "stats --strategy other"},
	"health --strategy": {"health --strategy momentum", "health --strategy other"}, "health --last": more("health --strategy momentum", "--last 1"),
	"health --output": more("health --strategy momentum", "-o json"),
	"trends --user":   more("trends", "--user bob"), "trends --strategy": more("trends", "--strategy other"), "trends --days": more("trends", "--days 2"),
	"trends --tz": more("trends --bucket hour", "--tz Asia/Kolkata"), "trends --bucket": more("trends", "--bucket hour"), "trends --output": more("trends", "-o csv"),
	"export --user": more("export", "--user bob"), "export --strategy": more("export", "--strategy other"), "export --type": more("export", "--type TERMINAL"),
	"export --timed-out": more("export", "--timed-out"), "export --since": more("export", "--since 30m"), "export --until": more("export", "--until 30m"),
	"export --min-time": more("export", "--min-time 2s"), "export --max-time": more("export", "--max-time 2s"),
	"export --min-memory": more("export", "--min-memory 100"), "export --max-memory": more("export", "--max-memory 100"),
	"export --failed": more("export", "--failed"), "export --format": more("export", "--format csv"),

	"alert check --user": more("alert check", "--user bob"), "alert check --strategy": more("alert check", "--strategy other"),
	"alert check --metric": more("alert check", "--metric p95Time"), "alert check --within": more("alert check", "--within 1d"),
	"alert check --threshold": more("alert check", "--threshold 99"), "alert check --min-sample": more("alert check --threshold 1", "--min-sample 99"),
	"alert check --output": more("alert check", "-o json"), "alert history --output": more("alert history", "-o json"),
	"alert history --limit": more("alert history", "--limit 0"), "alert silences --output": more("alert silences", "-o json"),
	"verify --output": more("verify --ledger-key "+verifierKey, "-o json"), "verify --receipt": more("verify --ledger-key "+verifierKey, "--receipt flags.go"),
	"users list --limit": more("users list", "--limit 1"), "users list --cursor": more("users list", "--cursor ada"), "users list --output": more("users list", "-o json"),
	"users show --output": more("users show ada", "-o json"), "strategies show --output": more("strategies show other", "-o json"),
	"strategies list --limit": more("strategies list", "--limit 1"), "strategies list --cursor": more("strategies list", "--cursor momentum"),
	"strategies list --output": more("strategies list", "-o json"), "keys list --output": more("keys list", "-o json"), "hold list --output": more("hold list", "-o json"),
	"cleanup --older-than": more("cleanup --dry-run", "--older-than 30m"), "cleanup --all": more("cleanup --dry-run", "--all"),
	"cleanup --keep-type":     more("cleanup --dry-run --older-than 1m", "--keep-type VALIDATION=0"),
	"cleanup --keep-strategy": more("cleanup --dry-run --older-than 1m", "--keep-strategy momentum=0"),
}

// refusedAtServers are the commands that refuse a server, with every flag.
var refusedAtServers = map[string]string{
	"migrate":       "migrate changes tables, for which a server has no call",
	"serve":         "works on the database itself",
	"archive .":     "works on the database itself",
	"ledger rotate": "the key is a file beside the server",
	"ledger key":    "the key is a file beside the server",
	"bench":         "bench measures a database, not a server",
}

// globalFlags are tested by what all commands do with them.
var globalFlags = []string{"help", "db", "schema", "server", "key", "version"}

// TestEveryFlagIsHonouredOrRefused takes the commands and flags from the
// grammar itself: each has a row in a table whose test sees the flag at work, or
// refused. A new flag without one fails.
func TestEveryFlagIsHonouredOrRefused(t *testing.T) {
	parser, _, err := newParser(nil, &deps{})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, node := range leaves(parser.Model.Node) {
		for _, f := range node.Flags {
			row := pathOf(node) + " --" + f.Name
			known[row] = true
			if f.Hidden || slices.Contains(globalFlags, f.Name) {
				continue
			}
			if !observes(row) {
				t.Errorf("%s has no row: say what proves that it is honoured, or how it is refused", row)
			}
		}
	}
	for _, row := range slices.Concat(slices.Collect(maps.Keys(observed)), slices.Collect(maps.Keys(alone)),
		slices.Collect(maps.Keys(onPostgreSQL)), slices.Collect(maps.Keys(inScripts)), ofServer) {
		if !known[row] {
			t.Errorf("%s is no flag", row)
		}
	}
}

// observes reports whether a test below sees a flag at work.
func observes(row string) bool {
	for _, table := range []map[string]observation{observed, alone, onPostgreSQL} {
		if _, ok := table[row]; ok {
			return true
		}
	}
	if _, ok := inScripts[row]; ok {
		return true
	}
	return slices.Contains(ofServer, row) || slices.ContainsFunc(onAdopted, func(o adoption) bool { return o.row == row })
}

// TestFlagsAreSeenAtWork makes each observation on SQLite, PostgreSQL and a
// server.
func TestFlagsAreSeenAtWork(t *testing.T) {
	file := "sqlite:" + filepath.Join(t.TempDir(), "flags.db")
	seedFlags(t, file)
	database := pgtest.New(t)
	command(t, 0, "migrate", "--db", database)
	seedFlags(t, database)
	command(t, 0, "ledger", "key", "--ledger-key", verifierKey)
	t.Cleanup(func() { os.Remove(verifierKey) })
	served := startServe(t, file)
	for mode, target := range map[string][]string{"SQLite": {"--db", file}, "PostgreSQL": {"--db", database}, "server": {"--server", served.url}} {
		t.Run(mode, func(t *testing.T) {
			for row, o := range observed {
				if without, with := answer(t, o.without, target), answer(t, o.with, target); without == with {
					t.Errorf("%s is dropped: sandtrail %s and sandtrail %s both answer\n%s", row, o.without, o.with, with)
				}
			}
		})
	}
	for call, want := range refusedAtServers {
		var out, complaint bytes.Buffer
		status := run(t.Context(), append(strings.Fields(call), "--server", served.url), bare(&out, &complaint))
		if status != statusUsage || !strings.Contains(complaint.String(), want) || out.Len() > 0 {
			t.Errorf("%s --server: status %d, want %d and to read %q: %s%s", call, status, statusUsage, want, &out, &complaint)
		}
	}
}

// verifierKey is a file that verify reads a key from, in the folder of the tests.
const verifierKey = "flags_test.ledger-key"

// answer is what a call prints and ends with, without the times that pass.
func answer(t *testing.T, call string, target []string) string {
	t.Helper()
	return answered(makeCall(t, append(strings.Fields(call), target...)))
}

func answered(status int, out, complaint string) string {
	return regexp.MustCompile(`\d+ (s|min) ago|now\b`).ReplaceAllString(fmt.Sprint(status, " ", out, complaint), "ago")
}

// inScripts are the flags that a script sees at work, and its line that does.
var inScripts = map[string]struct{ file, line string }{
	"demo --no-serve":         {"sqlite/demo.txtar", "\nsandtrail demo --no-serve\n"},
	"migrate --prisma-schema": {"postgres/prismaschema.txtar", "\nsandtrail migrate --prisma-schema prisma/schema.prisma --adopt\n"},
}

// TestScriptsSeeFlagsAtWork looks for those lines.
func TestScriptsSeeFlagsAtWork(t *testing.T) {
	for row, in := range inScripts {
		content, err := os.ReadFile(filepath.Join("testdata", "script", in.file))
		if err != nil || !strings.Contains(string(content), in.line) {
			t.Errorf("%s: %v: no line %q", row, err, in.line)
		}
	}
}

// makeCall makes a call, or with interrupted before it one that is stopped at once. What exec writes to its descriptor 3 is a part of what it
// prints; "handed" can be read there.
func makeCall(t *testing.T, arguments []string) (status int, printed, complained string) {
	t.Helper()
	var out, complaint bytes.Buffer
	if arguments[0] == "exec" { // a run ends what it finds below its own process: here that is every other test's
		handed := filepath.Join(t.TempDir(), "handed")
		if err := os.WriteFile(handed, []byte("handed"), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(handed, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		cmd := sandtrailCommand(t, "", arguments...)
		cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+t.TempDir())
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &out, &complaint, []*os.File{file}
		_ = cmd.Run() // the status tells
		status = cmd.ProcessState.ExitCode()
		if written, err := os.ReadFile(handed); err != nil || string(written) != "handed" {
			fmt.Fprintf(&out, "[descriptor 3: %s]", written)
		}
	} else {
		ctx, d := t.Context(), bare(&out, &complaint)
		if arguments[0] == "interrupted" {
			interrupted, stop := context.WithCancel(ctx)
			stop()
			ctx, arguments = interrupted, arguments[1:]
		}
		d.wait = func(_ context.Context, length time.Duration) error {
			fmt.Fprintf(&out, "[after %s]", length)
			return nil
		}
		status = run(ctx, arguments, d)
	}
	return status, out.String(), complaint.String()
}

// seedFlags stores executions that every flag tells apart.
func seedFlags(t *testing.T, db string) {
	t.Helper()
	command(t, 0, "users", "add", "ada", "--email", "ada@example.com", "--db", db)
	command(t, 0, "users", "add", "bob", "--email", "bob@example.com", "--db", db)
	command(t, 0, "strategies", "add", "momentum", "--name", "Momentum", "--db", db)
	command(t, 0, "strategies", "add", "other", "--name", "Other", "--db", db)
	at := func(ago string) string {
		var m moment
		if err := m.UnmarshalText([]byte(ago)); err != nil {
			t.Fatal(err)
		}
		return m.at(bare(nil, nil).now()).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	path := filepath.Join(t.TempDir(), "runs.ndjson")
	text := fmt.Sprintf(`{"userId":"ada","strategyId":"momentum","executionType":"VALIDATION","success":true,"executionTime":1000,"memoryUsed":10,"createdAt":%q}
{"userId":"ada","strategyId":"momentum","executionType":"VALIDATION","success":false,"executionTime":5000,"memoryUsed":500,"createdAt":%q}
{"userId":"bob","strategyId":"other","executionType":"TERMINAL","success":false,"timedOut":true,"executionTime":30000,"createdAt":%q}
{"userId":"bob","strategyId":"momentum","executionType":"VALIDATION","success":false,"executionTime":900,"memoryUsed":50,"createdAt":%q}
`, at("5m"), at("10m"), at("2h"), at("4h"))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, 0, "record", path, "--db", db)
}
