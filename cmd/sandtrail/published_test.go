package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
)

// lies is a server that changes what another answers.
func lies(t *testing.T, url_, path string, change func([]byte) []byte) string {
	t.Helper()
	target, err := url.Parse(url_)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		if !strings.HasPrefix(r.Request.URL.Path, path) {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		body = change(body)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Del("Content-Length")
		return nil
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding")
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// renamed is a log of 9 entries: 6 records, of which 2 were removed, their removal,
// a rename, and a record since.
func renamedLog(t *testing.T) *audited {
	t.Helper()
	a := newAudited(t, 4)
	a.ok("", "users", "add", "bob", "--email", "bob@example.com")
	line := `{"userId":"bob","strategyId":"s","executionType":"VALIDATION","success":true,"executionTime":9}` + "\n"
	a.ok(line+line, "record", "-")
	a.ok("", "verify") // seals them
	a.ok("", "users", "delete", "bob")
	a.ok("", "verify")
	a.behind(`PRAGMA foreign_keys = on; UPDATE users SET id = 'bea' WHERE id = 'ada'`)
	a.ok("", "verify")
	a.ok(strings.ReplaceAll(line, "bob", "bea"), "record", "-")
	if v, status := a.verify(); status != 0 || v.Leaves != 9 || v.Intact != 5 || v.Removed != 2 || v.Renames != 1 {
		t.Fatalf("the log is not as it was meant: status %d, %+v", status, v)
	}
	return a
}

func TestVerifyAServer(t *testing.T) {
	a := renamedLog(t)
	public := strings.TrimSpace(a.ok("", "ledger", "key"))
	served := startServe(t, "sqlite:"+a.path)
	kept := a.file(command(t, 0, "ledger", "checkpoint", "--server", served.url))
	verify := func(url string, flags ...string) (v verified, said string, status int) {
		t.Helper()
		var out, complaint bytes.Buffer
		d := bare(&out, &complaint)
		d.wait = nil // a log that is as it should be is settled at once
		status = run(t.Context(), append([]string{"verify", "--server", url, "--public-key", public, "-o", "json"}, flags...), d)
		_ = json.Unmarshal(out.Bytes(), &v)
		return v, out.String() + complaint.String(), status
	}
	v, said, status := verify(served.url, "--checkpoint", kept)
	if status != 0 || v.Records != 7 || v.Intact != 5 || v.Removed != 2 || v.Leaves != 9 || v.Reasons["user"] != 2 || v.Renames != 1 || v.Checkpoints != 2 {
		t.Errorf("as it is: status %d, %s", status, said)
	}
	if v, said, status := verify(served.url, "--since", kept); status != 0 || v.Earlier != 5 || v.Intact != 0 || !slices.ContainsFunc(v.NotChecked, func(s string) bool { return strings.Contains(s, "5 executions that an earlier") }) {
		t.Errorf("since the last time: status %d, %s", status, said)
	}
	keys, err := ledger.LoadKeys(a.path + ".ledger-key")
	if err != nil {
		t.Fatal(err)
	}
	another, err := keys.Sign(9, ledger.Hash{1})
	if err != nil {
		t.Fatal(err)
	}
	if v, said, status := verify(served.url, "--since", a.file(string(another))); status != 1 || v.Earlier != 0 || v.Intact != 5 {
		t.Errorf("since a checkpoint of another log: status %d, %s", status, said)
	}
	words := command(t, 0, "verify", "--server", served.url, "--public-key", public)
	if !strings.Contains(words, "5 of 9 entries are of executions that could be read and match; 2 are of executions that the log says were removed") ||
		!strings.Contains(words, "Not checked:\n- whether the server shows the same log to others") || strings.Contains(words, "Nothing was altered") {
		t.Errorf("in words:\n%s", words)
	}
	if got := command(t, 0, "verify", "--db", "sqlite:"+a.path, "-o", "json"); !strings.Contains(got, `"intact":5`) {
		t.Errorf("at the database: %s", got)
	}
}

func TestVerifyAServerThatLies(t *testing.T) {
	a := renamedLog(t)
	public := strings.TrimSpace(a.ok("", "ledger", "key"))
	old := []byte(a.ok("", "ledger", "checkpoint"))
	a.ok(`{"userId":"bea","strategyId":"s","executionType":"VALIDATION","success":true,"executionTime":1}`, "record", "-")
	a.ok("", "verify")
	kept := a.file(a.ok("", "ledger", "checkpoint"))
	keys, err := ledger.LoadKeys(a.path + ".ledger-key")
	if err != nil {
		t.Fatal(err)
	}
	forked, err := keys.Sign(10, ledger.Hash{1})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ledger.EnsureKeys(filepath.Join(t.TempDir(), "key"), "sandtrail/other")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := stranger.Sign(10, ledger.Hash{1})
	if err != nil {
		t.Fatal(err)
	}
	served := startServe(t, "sqlite:"+a.path)
	line := regexp.MustCompile(`(?m)^.*"executionTime":2,.*\n`)
	replace := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte {
			if !bytes.Contains(b, []byte(from)) {
				t.Errorf("%q is not in\n%s", from, b)
			}
			return bytes.ReplaceAll(b, []byte(from), []byte(to))
		}
	}
	for name, test := range map[string]struct {
		path   string
		change func([]byte) []byte
		want   ledger.FindingKind
	}{
		"a record altered":   {"/v1/export", replace(`"executionTime":2,`, `"executionTime":3,`), ledger.Altered},
		"an owner altered":   {"/v1/export", replace(`"userId":"bea","strategyId":"s","executionType":"VALIDATION","success":true,"executionTime":2`, `"userId":"eve","strategyId":"s","executionType":"VALIDATION","success":true,"executionTime":2`), ledger.Altered},
		"a record kept back": {"/v1/export", func(b []byte) []byte { return line.ReplaceAll(b, nil) }, ledger.Missing},
		"a record twice":     {"/v1/export", func(b []byte) []byte { return append(line.Find(b), b...) }, ledger.Inserted},
		"said to be unsealed": {"/v1/export", func(b []byte) []byte {
			return regexp.MustCompile(`("executionTime":2,.*"ledger":).*`).ReplaceAll(b, []byte(`${1}null}`))
		}, ledger.Missing},
		"a leaf that cannot be":        {"/v1/export", replace(`"leaf":2,`, `"leaf":-2,`), ledger.Altered},
		"no record at all":             {"/v1/export", func(b []byte) []byte { return append([]byte("[]\n"), b...) }, ledger.Altered},
		"removals kept back":           {"/v1/ledger/removals", func([]byte) []byte { return []byte(`{"items":[]}`) }, ledger.Missing},
		"a removal altered":            {"/v1/ledger/removals", replace(`"data":"A`, `"data":"B`), ledger.Altered},
		"renames kept back":            {"/v1/ledger/renames", func([]byte) []byte { return []byte(`{"items":[]}`) }, ledger.Altered},
		"another checkpoint":           {"/v1/ledger/checkpoint", func([]byte) []byte { return forked }, ledger.Forked},
		"an older checkpoint":          {"/v1/ledger/checkpoint", func([]byte) []byte { return old }, ledger.Truncated},
		"the checkpoint of a stranger": {"/v1/ledger/checkpoint", func([]byte) []byte { return foreign }, ledger.BadSignature},
		"a leaf's hash altered":        {"/v1/ledger/tile/", func(b []byte) []byte { b[70]++; return b }, ledger.Forked},
		"a tile cut":                   {"/v1/ledger/tile/", func(b []byte) []byte { return b[:len(b)-32] }, ledger.Truncated},
	} {
		t.Run(name, func(t *testing.T) {
			var out, complaint bytes.Buffer
			d := bare(&out, &complaint)
			d.wait = noWait
			status := run(t.Context(), []string{
				"verify", "--server", lies(t, served.url, test.path, test.change), "--public-key", public, "--checkpoint", kept, "-o", "json",
			}, d)
			var v verified
			if err := json.Unmarshal(out.Bytes(), &v); err != nil {
				t.Fatalf("status %d: %v: %s%s", status, err, &out, &complaint)
			}
			if status != statusFinding || !slices.ContainsFunc(v.Findings, func(f ledger.Finding) bool { return f.Kind == test.want }) {
				t.Errorf("status %d, want %d and %s: %s", status, statusFinding, test.want, &out)
			}
		})
	}
	cut := lies(t, served.url, "/v1/export", func(b []byte) []byte { return b[:len(b)/2] })
	if got := answer(t, "verify --public-key "+public, []string{"--server", cut}); !strings.Contains(got, "cut short") || !strings.HasPrefix(got, "3 ") {
		t.Errorf("an answer that is cut short: %s", got)
	}
}

func TestVerifyAServerNeeds(t *testing.T) {
	a := newAudited(t, 1)
	public := strings.TrimSpace(a.ok("", "ledger", "key"))
	keys := map[string]string{}
	for name, flags := range map[string][]string{
		"auditor": {"--role", "auditor"}, "bound": {"--role", "read", "--user", "ada"}, "ingest": {"--role", "ingest"},
	} {
		keys[name] = strings.TrimSpace(a.ok("", append([]string{"keys", "create"}, flags...)...))
	}
	served := startServe(t, "sqlite:"+a.path)
	call := func(key, args string) string {
		return answer(t, args, []string{"--server", served.url, "--key", keys[key]})
	}
	t.Chdir(t.TempDir())
	for _, name := range []string{"bound", "ingest"} {
		if got := call(name, "verify --public-key "+public); !strings.HasPrefix(got, "2 ") || !strings.Contains(got, "verify reads the whole log: give a key with the role auditor") {
			t.Errorf("%s: %s", name, got)
		}
		if got := call(name, "export --manifest m.txt"); !strings.HasPrefix(got, "2 ") {
			t.Errorf("a manifest for %s: %s", name, got)
		}
	}
	if got := call("auditor", "verify"); !strings.HasPrefix(got, "2 ") || !strings.Contains(got, "--public-key") {
		t.Errorf("without a public key: %s", got)
	}
	if got := call("auditor", "verify --public-key "+public); !strings.HasPrefix(got, "0 ✓") {
		t.Errorf("an auditor: %s", got)
	}
	// What a server signs, anybody can verify.
	if got := call("auditor", "export --to e.ndjson --manifest m.txt"); !strings.HasPrefix(got, "0 ") {
		t.Fatalf("an export with a manifest: %s", got)
	}
	command(t, 0, "verify", "--export", "e.ndjson", "--manifest", "m.txt", "--public-key", public)
	if content, err := os.ReadFile("e.ndjson"); err != nil || bytes.Contains(content, []byte(`"manifest"`)) || bytes.Count(content, []byte(`"ledger":{`)) != 1 {
		t.Errorf("%v: %s", err, content)
	}
	for flags, want := range map[string]string{
		"export --manifest x --format csv":                                 "a server signs manifests of ndjson only",
		"export --manifest x --to e.ndjson --resume":                       "--resume: a server signs",
		"export --manifest x --ledger-key k":                               "--ledger-key: the server signs with the key that it was started with",
		"ledger checkpoint --ledger-key k":                                 "--ledger-key: the server signs with the key that it was started with",
		"verify --export e.ndjson --manifest m.txt --public-key " + public: "without a server: leave it out",
	} {
		if got := call("auditor", flags); !strings.HasPrefix(got, "2 ") || !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %q", flags, got, want)
		}
	}
}

func noWait(context.Context, time.Duration) error { return nil }

// TestVerifyAServerAfterAReset has a server tell what verify tells at its database:
// which log was closed, by what, and that an old checkpoint is of that one.
func TestVerifyAServerAfterAReset(t *testing.T) {
	t.Chdir(t.TempDir())
	database := pgtest.New(t)
	fillForReading(t, database)
	checkpoint := command(t, 0, "ledger", "checkpoint", "--ledger-key", "key", "--db", database)
	public, _, _ := strings.Cut(command(t, 0, "ledger", "key", "--ledger-key", "key"), "\n")
	if err := os.WriteFile("old", []byte(checkpoint), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "DROP TABLE sandbox_execution_logs CASCADE"); err != nil {
		t.Fatal(err)
	}
	command(t, 0, "migrate", "--repair", "--db", database)
	served := startServe(t, database, "--ledger-key", "key")
	verify := func(target ...string) (v verified) {
		t.Helper()
		said := command(t, statusFinding, append([]string{"verify", "--public-key", public, "--checkpoint", "old", "-o", "json"}, target...)...)
		if err := json.Unmarshal([]byte(said), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	at, from := verify("--db", database), verify("--server", served.url)
	if len(at.Findings) != 1 || at.Findings[0].Kind != ledger.Reset || len(at.Closed) != 1 {
		t.Errorf("at the database: %+v", at)
	}
	if diff := cmp.Diff([]any{at.Findings, at.Closed}, []any{from.Findings, from.Closed}); diff != "" {
		t.Errorf("the server says otherwise than its database (-database +server)\n%s", diff)
	}
	if words := command(t, 0, "verify", "--public-key", public, "--server", served.url); !strings.Contains(words, "A log before it, of 1 entries, was closed at 20") {
		t.Errorf("in words:\n%s", words)
	}
	for _, path := range []string{"/v1/ledger/closed", "/v1/ledger/closed/"} { // the list, and the tiles
		hides := lies(t, served.url, path, func([]byte) []byte { return []byte(`{"items":[]}`) })
		if v := verify("--server", hides); len(v.Findings) != 1 || v.Findings[0].Kind != ledger.Truncated {
			t.Errorf("%s kept back: %+v", path, v)
		}
	}
}
