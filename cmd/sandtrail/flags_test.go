package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sandtrail/sandtrail/internal/pgtest"
)

// An observation is a pair of calls that must answer differently: what a flag
// does is seen in it, in every mode.
type observation struct{ without, with string }

func more(base, flag string) observation { return observation{base, base + " " + flag} }

// observed are the flags that are honoured in every mode, with what proves it.
var observed = map[string]observation{
	"list --user": more("list", "--user bob"), "list --strategy": more("list", "--strategy other"), "list --type": more("list", "--type terminal"),
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

// alone are the flags of commands that need no seeded store, or change what they
// find. The calls, with ; between them, are made in an empty folder and on a copy of
// the seeded SQLite file; they must answer differently.
var alone = map[string]observation{
	"hold add --strategy":        {"hold add --user ada --reason case; hold list -o csv", "hold add --strategy momentum --reason case; hold list -o csv"},
	"hold remove --strategy":     more("hold add --strategy momentum --reason case; hold remove", "--strategy momentum"),
	"ledger rotate --ledger-key": more("ledger key --ledger-key key; ledger rotate", "--ledger-key key"),
	"outbox list --limit":        more(undelivered+undelivered+"outbox list --outbox box -o ndjson", "--limit 1"),
	"outbox flush --retention":   more(undelivered+"outbox flush --outbox box", "--retention 1ms"),
	"outbox flush --wait":        more(undelivered+"outbox flush --outbox box", "--wait 0"),
	"exec --retention":           {undelivered + "exec --user ada --strategy momentum --outbox box -- true; list -o csv", undelivered + "exec --user ada --strategy momentum --outbox box --retention 1ms -- true; list -o csv"},
	"exec --cpus":                {"exec --user ada --strategy momentum -- true; show last -o json", "exec --user ada --strategy momentum --cpus 0.5 -- true; show last -o json"},
	"exec --pids":                {"exec --user ada --strategy momentum -- true; show last -o json", "exec --user ada --strategy momentum --pids 50 -- true; show last -o json"},

	"prisma --logs-in":          more("prisma", "--logs-in app"),
	"prisma --users-table":      more("prisma", "--users-table app_users"),
	"prisma --users-id":         more("prisma", "--users-id uid"),
	"prisma --users-email":      more("prisma", "--users-email mail"),
	"prisma --users-name":       more("prisma", "--users-name called"),
	"prisma --users-model":      more("prisma", "--users-model Account"),
	"prisma --users-field":      more("prisma", "--users-field uid"),
	"prisma --users-type":       more("prisma", "--users-type uuid"),
	"prisma --strategies-table": more("prisma", "--strategies-table plans"),
	"prisma --strategies-id":    more("prisma", "--strategies-id sid"),
	"prisma --strategies-name":  more("prisma", "--strategies-name called"),
	"prisma --strategies-model": more("prisma", "--strategies-model Plan"),
	"prisma --strategies-field": more("prisma", "--strategies-field sid"),
	"prisma --strategies-type":  more("prisma", "--strategies-type integer"),
}

// undelivered leaves an execution in an outbox.
const undelivered = "exec --user ada --strategy momentum --server http://127.0.0.1:1 --outbox box -- true; "

// onPostgreSQL are the flags of migrate, on an empty database. On SQLite they are
// refused.
var onPostgreSQL = map[string]observation{
	"migrate --users-id":        more("migrate --dry-run", "--users-id uid"),
	"migrate --users-email":     more("migrate --dry-run", "--users-email mail"),
	"migrate --users-name":      more("migrate --dry-run", "--users-name called"),
	"migrate --strategies-id":   more("migrate --dry-run", "--strategies-id sid"),
	"migrate --strategies-name": more("migrate --dry-run", "--strategies-name called"),
	"migrate --log-table":       more("migrate --adopt --dry-run", "--log-table runs"),
}

// ofServer are the flags of serve that TestFlagsOfServe sees at work.
var ofServer = []string{
	"serve --retention", "serve --keep-type", "serve --keep-strategy", "serve --rules", "serve --ledger-key",
	"serve --checkpoint-dir", "serve --checkpoint-every",
	"serve --tls-cert", "serve --tls-key", "serve --rate-limit", "serve --verify-every", "serve --webhook-form", "serve --webhook-secret",
	"serve --checkpoint-webhook",
}

// unproved are the flags that no test of this command gives: the packages that
// they are handed to have tests of their own. It is to become shorter.
var unproved = []string{
	"bench --days", "bench --seed", "demo --listen", "migrate --drop-old", "migrate --extra-columns", "outbox retry --outbox", "outbox retry --session-dir", "outbox retry --wait", "serve --archive", "serve --checkpoint-witness", "serve --mail-from", "serve --mail-server", "serve --mail-to", "serve --outbox", "serve --session-dir", "serve --witness-of",
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
// grammar itself: each has a row above, or stands in a script that runs on both
// databases. A new flag without either fails.
func TestEveryFlagIsHonouredOrRefused(t *testing.T) {
	parser, _, err := newParser(nil, &deps{})
	if err != nil {
		t.Fatal(err)
	}
	scripts := allScripts(t)
	known := map[string]bool{}
	for _, node := range leaves(parser.Model.Node) {
		lines := linesOf(scripts, node)
		for _, f := range node.Flags {
			row := pathOf(node) + " --" + f.Name
			known[row] = true
			if f.Hidden || slices.Contains(globalFlags, f.Name) {
				continue
			}
			seen := observes(row)
			if !seen && !slices.Contains(unproved, row) && !slices.ContainsFunc(lines, gives(f)) {
				t.Errorf("%s has no row: say what proves that it is honoured, or how it is refused", row)
			}
		}
	}
	for _, row := range slices.Concat(slices.Collect(maps.Keys(observed)), slices.Collect(maps.Keys(alone)),
		slices.Collect(maps.Keys(onPostgreSQL)), ofServer, unproved) {
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
	return slices.Contains(ofServer, row)
}

func allScripts(t *testing.T) []string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"testdata/script/*.txtar", "testdata/script/*/*.txtar", "*_test.go", "../../docs/*.md", "../../deploy/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(file) != "flags_test.go" {
				all.Write(text)
			}
		}
	}
	return strings.Split(all.String(), "\n")
}

// linesOf are the lines that run a command.
func linesOf(scripts []string, node *kong.Node) (lines []string) {
	words := strings.Fields(pathOf(node))
	for _, line := range scripts {
		if strings.Contains(line, "sandtrail "+strings.Join(words, " ")) || strings.Contains(line, `"`+strings.Join(words, `", "`)+`"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// gives reports whether a line gives the flag.
func gives(f *kong.Flag) func(line string) bool {
	given := regexp.MustCompile("--" + regexp.QuoteMeta(f.Name) + `\b`)
	return func(line string) bool {
		return given.MatchString(line) || f.Short != 0 && strings.Contains(line, " -"+string(f.Short)+" ")
	}
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

// TestFlagsAlone makes the observations that need a store of their own.
func TestFlagsAlone(t *testing.T) {
	seeded := filepath.Join(t.TempDir(), "seeded.db")
	seedFlags(t, "sqlite:"+seeded)
	content, err := os.ReadFile(seeded)
	if err != nil {
		t.Fatal(err)
	}
	for row, o := range alone {
		t.Run(row, func(t *testing.T) {
			if without, with := calls(t, o.without, content), calls(t, o.with, content); without == with {
				t.Errorf("dropped: %s and %s both answer\n%s", o.without, o.with, with)
			}
		})
	}
	empty := pgtest.New(t)
	for row, o := range onPostgreSQL {
		if without, with := answer(t, o.without, []string{"--db", empty}), answer(t, o.with, []string{"--db", empty}); without == with {
			t.Errorf("%s is dropped: sandtrail %s and sandtrail %s both answer\n%s", row, o.without, o.with, with)
		}
		if got := answer(t, o.with, []string{"--db", "sqlite:" + seeded}); !strings.HasPrefix(got, "2 ") || !strings.Contains(got, "are for PostgreSQL") {
			t.Errorf("%s on SQLite: %s", row, got)
		}
	}
}

// calls is what several calls answer on a copy of a database, without what differs
// from one time to the next.
func calls(t *testing.T, all string, database []byte) (said string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("copy.db", database, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, call := range strings.Split(all, "; ") {
		name, rest, runs := strings.Cut(call, " -- ")
		target := " --db sqlite:copy.db"
		if strings.Contains(call, "--server") {
			target = ""
		}
		if name += target; runs {
			name += " -- " + rest
		}
		said += answer(t, name, nil)
	}
	return regexp.MustCompile(`[0-9a-f]{8,}[-0-9a-f]*|\d+(\.\d+)?`).ReplaceAllString(strings.NewReplacer(`"cpus":0.5`, "cpus", `"pids":50`, "pids").Replace(said), "#")
}

// TestFlagsOfServe starts a server with flags, and sees in its answers and files that
// they are honoured.
func TestFlagsOfServe(t *testing.T) {
	t.Chdir(t.TempDir())
	rules := `[{"name":"too-slow","metric":"p95Time","window":"1h","threshold":9000}]`
	if err := errors.Join(os.WriteFile("rules.json", []byte(rules), 0o600), os.Mkdir("published", 0o700)); err != nil {
		t.Fatal(err)
	}
	seedFlags(t, "sqlite:flags.db")
	served := startServe(t, "sqlite:flags.db", "--retention", "33d", "--keep-type", "TERMINAL=44d", "--keep-strategy", "momentum=55d",
		"--rules", "rules.json", "--ledger-key", "elsewhere", "--checkpoint-dir", "published", "--checkpoint-every", "1s")
	for path, wants := range map[string][]string{"/v1/retention": {"33d", "44d", "55d"}, "/v1/alerts": {"too-slow"}} {
		response, err := http.Get(served.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		for _, want := range wants {
			if err != nil || !strings.Contains(string(body), want) {
				t.Errorf("%s lacks %s: %v %s", path, want, err, body)
			}
		}
	}
	if _, err := os.Stat("elsewhere"); err != nil {
		t.Errorf("--ledger-key: %v", err)
	}
	eventually(t, "--checkpoint-dir, --checkpoint-every", func() bool {
		published, err := os.ReadDir("published")
		return err != nil || len(published) > 0
	})
}

// TestOutwardFlagsOfServe sees those at work that are about connections.
func TestOutwardFlagsOfServe(t *testing.T) {
	t.Chdir(t.TempDir())
	certificate, key := selfSigned(t, 1)
	rules := `[{"name":"any","metric":"failureRate","window":"1h","threshold":1,"minSample":1}]`
	for name, content := range map[string][]byte{"cert.pem": certificate, "key.pem": key, "rules.json": []byte(rules)} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got sync.Map // bodies by path
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Sandtrail-Signature") != "" {
			got.Store(r.URL.Path, string(body))
		}
	}))
	t.Cleanup(receiver.Close)
	seedFlags(t, "sqlite:flags.db")
	secret := strings.TrimSpace(command(t, 0, "keys", "create", "--role", "admin", "--db", "sqlite:flags.db"))
	served := startServe(t, "sqlite:flags.db", "--tls-cert", "cert.pem", "--tls-key", "key.pem", "--rate-limit", "1", "--verify-every", "1s",
		"--rules", "rules.json", "--webhook", receiver.URL+"/alert", "--webhook-form", "slack", "--webhook-secret", "s",
		"--checkpoint-webhook", receiver.URL+"/checkpoint", "--checkpoint-every", "1s")
	insecure := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(insecure.CloseIdleConnections)
	ask := func(path string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https"+strings.TrimPrefix(served.url, "http")+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+secret)
		response, err := (&http.Client{Transport: insecure}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	eventually(t, "--rate-limit", func() bool { status, _ := ask("/v1/users"); return status == http.StatusTooManyRequests })
	eventually(t, "--verify-every", func() bool {
		_, metrics := ask("/metrics")
		return strings.Contains(metrics, "sandtrail_ledger_verification_findings 0")
	})
	for flag, path := range map[string]string{"--checkpoint-webhook, --webhook-secret": "/checkpoint", "--webhook-form, --webhook-secret": "/alert"} {
		eventually(t, flag, func() bool { _, ok := got.Load(path); return ok })
	}
	if body, _ := got.Load("/alert"); !strings.Contains(body.(string), `"text"`) {
		t.Errorf("--webhook-form slack: %s", body)
	}
}

// eventually waits until something is so, a minute at most.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.After(time.Minute); !so(); {
		select {
		case <-deadline:
			t.Fatalf("%s: not seen at work within a minute", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// answer is what a call prints and ends with, without the times that pass.
func answer(t *testing.T, call string, target []string) string {
	t.Helper()
	var out, complaint bytes.Buffer
	status := run(t.Context(), append(strings.Fields(call), target...), bare(&out, &complaint))
	return regexp.MustCompile(`\d+ (s|min) ago|now\b`).ReplaceAllString(fmt.Sprint(status, " ", out.String(), complaint.String()), "ago")
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
