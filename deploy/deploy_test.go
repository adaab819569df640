// Package deploy_test runs what is in this folder through the programs it is
// made for: Prometheus, Alertmanager, systemd and dpkg.
package deploy_test

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail/internal/testneed"
)

// metricName finds the metrics that an expression names.
var metricName = regexp.MustCompile(`\b(sandtrail|process|go)_[a-z0-9_]+\b`)

func TestRules(t *testing.T) {
	promtool := testneed.Program(t, "prometheus", "promtool")
	output(t, exec.Command(promtool, "check", "rules", "prometheus/sandtrail.rules.yml"))
	output(t, exec.Command(promtool, "check", "config", "prometheus/prometheus.yml"))
	output(t, exec.Command(promtool, "test", "rules", "prometheus/sandtrail.test.yml"))
}

// Every alert has a test of its own.
func TestEveryRuleIsTested(t *testing.T) {
	tests := read(t, "prometheus/sandtrail.test.yml")
	for _, found := range regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllStringSubmatch(read(t, "prometheus/sandtrail.rules.yml"), -1) {
		if !strings.Contains(tests, "alertname: "+found[1]+"\n") {
			t.Errorf("no test of the alert %s", found[1])
		}
	}
}

// expressions are those of the dashboard, by panel.
func expressions(t *testing.T) map[string][]string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/sandtrail.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			found[panel.Title] = append(found[panel.Title], target.Expr)
		}
	}
	if len(found) < 10 {
		t.Fatalf("only %d panels", len(found))
	}
	return found
}

// The dashboard's queries are PromQL.
func TestDashboardParses(t *testing.T) {
	promtool := testneed.Program(t, "prometheus", "promtool")
	fill := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*")
	var rules strings.Builder
	rules.WriteString("groups: [{name: dashboard, rules: [\n")
	n := 0
	for _, exprs := range expressions(t) {
		for _, expr := range exprs {
			raw, err := json.Marshal(fill.Replace(expr)) // JSON is YAML
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&rules, "{record: 'q%d', expr: %s},\n", n, raw)
			n++
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules.String()+"]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	output(t, exec.Command(promtool, "check", "rules", file))
}

// What rules and dashboard ask for is what a server tells.
func TestMetricsExist(t *testing.T) {
	s := serve(t, "--outbox", t.TempDir())
	s.post("/v1/logs", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}`)
	for _, user := range []string{"nobody", "ada"} {
		s.post("/v1/executions", `{"userId":"`+user+`","strategyId":"momentum","executionType":"TERMINAL","success":true,"executionTime":1}`)
	}
	// What nothing has happened to has no line yet.
	known := s.get("/metrics") + "sandtrail_ledger_checkpoint_age_seconds sandtrail_ledger_verification_age_seconds sandtrail_ledger_verification_findings sandtrail_alert_notifications_total"
	asked := expressions(t)
	asked["rules"] = []string{read(t, "prometheus/sandtrail.rules.yml")}
	for where, exprs := range asked {
		for _, expr := range exprs {
			for _, name := range metricName.FindAllString(expr, -1) {
				if !regexp.MustCompile(`(?m)(^|[ ])` + name + `($|[ {])`).MatchString(known) {
					t.Errorf("%s: there is no metric %s", where, name)
				}
			}
		}
	}
}

func TestSystemdUnit(t *testing.T) {
	analyze := testneed.Program(t, "systemd", "systemd-analyze")
	unit := strings.Replace(read(t, "systemd/sandtrail.service"), "/usr/bin/sandtrail", binary(t), 1)
	file := filepath.Join(t.TempDir(), "sandtrail.service")
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := output(t, exec.Command(analyze, "verify", "--man=no", file)); strings.Contains(said, "sandtrail.service") {
		t.Errorf("systemd-analyze: %s", said)
	}
}

func TestDebianPackage(t *testing.T) {
	dpkg := testneed.Program(t, "dpkg", "dpkg-deb")
	dir := t.TempDir()
	scratch := t.TempDir()
	pack := exec.Command("../scripts/package", "1.2.3~test", dir)
	pack.Env = append(os.Environ(), "TMPDIR="+scratch)
	output(t, pack)
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
	packages, err := filepath.Glob(filepath.Join(dir, "sandtrail_1.2.3~test_*.deb"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("packages: %v, %v", packages, err)
	}
	listing := output(t, exec.Command(dpkg, "-c", packages[0]))
	for _, want := range []string{
		`-rwxr-xr-x root/root .* ./usr/bin/sandtrail`, `-rwxr-xr-x root/root .* ./usr/bin/sandtrail-exec`,
		`-rw-r--r-- root/root .* ./usr/share/man/man1/sandtrail-exec.1.gz`, `-rw-r--r-- root/root .* ./lib/systemd/system/sandtrail.service`,
		`-rw-r--r-- root/root .* ./etc/default/sandtrail`, `-rw-r--r-- root/root .* ./usr/share/sandtrail/sandtrail.rules.yml`,
		`-rw-r--r-- root/root .* ./usr/share/doc/sandtrail/copyright`, `-rw-r--r-- root/root .* ./usr/share/man/man1/sandtrail.1.gz`,
		`-rw-r--r-- root/root .* ./usr/share/bash-completion/completions/sandtrail`,
		`-rw-r--r-- root/root .* ./usr/share/zsh/vendor-completions/_sandtrail`,
		`-rw-r--r-- root/root .* ./usr/share/fish/vendor_completions.d/sandtrail.fish`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(listing) {
			t.Errorf("%s is not in the package:\n%s", want, listing)
		}
	}
	if info := output(t, exec.Command(dpkg, "-f", packages[0], "Package", "Version")); !strings.Contains(info, "Version: 1.2.3~test") {
		t.Errorf("control: %s", info)
	}
	root := filepath.Join(dir, "root")
	installed := func(act ...string) {
		t.Helper()
		output(t, asRoot(t, "dpkg", append([]string{"--root=" + root, "--force-depends"}, act...)...))
	}
	for _, name := range []string{"info", "updates", "triggers"} { // of a system on which nothing is installed
		if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	installed("--install", packages[0])
	program := filepath.Join(root, "usr/bin/sandtrail")
	output(t, exec.Command(program, "version"))
	isStatic(t, program)
	isSmall(t, filepath.Join(root, "usr/bin/sandtrail-exec"))
	installed("--purge", "sandtrail")
	for _, left := range []string{program, filepath.Join(root, "etc/default/sandtrail")} {
		if _, err := os.Stat(left); !os.IsNotExist(err) {
			t.Errorf("%s after it was purged: %v", left, err)
		}
	}
}

// isSmall checks the recorder for images of sandboxes.
func isSmall(t *testing.T, program string) {
	t.Helper()
	isStatic(t, program)
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(6 << 20); info.Size() > limit {
		t.Errorf("%s has %d bytes, %d are allowed", program, info.Size(), limit)
	}
	output(t, exec.Command(program, "--version"))
}

// asRoot is a program that may change owners and roots.
func asRoot(t *testing.T, program string, arguments ...string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() == 0 {
		return exec.Command(program, arguments...)
	}
	return exec.Command(testneed.Program(t, "util-linux", "unshare"), append([]string{"--map-root-user", program}, arguments...)...)
}

// The program needs nothing of a system, and no rights: what the image is.
func TestProgramRunsAloneWithoutRights(t *testing.T) {
	root := t.TempDir()
	raw, err := os.ReadFile(binary(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "sandtrail"), raw, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(root, "data")
	if err := os.Mkdir(data, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(data, 0o777); err != nil {
		t.Fatal(err)
	}
	run := func(arguments ...string) string {
		t.Helper()
		user := []string{"--userspec=65532:65532"}
		if os.Geteuid() != 0 {
			user = nil // there is no other user in a namespace of one
		}
		cmd := asRoot(t, testneed.Program(t, "coreutils", "chroot", "/usr/sbin/chroot"), append(append(user, root, "/sandtrail"), arguments...)...)
		cmd.Env = []string{"SANDTRAIL_DB=sqlite:/data/sandtrail.db", "XDG_STATE_HOME=/data"}
		return output(t, cmd)
	}
	if key := run("keys", "create", "--role", "admin"); !strings.HasPrefix(key, "st_") {
		t.Errorf("keys create said %q", key)
	}
	if said := run("doctor"); !strings.Contains(said, "found no damage") {
		t.Errorf("doctor said %s", said)
	}
	if _, err := os.Stat(filepath.Join(data, "sandtrail.db")); err != nil {
		t.Error(err)
	}
}

// isStatic checks that a program needs no loader and no library, so that it
// runs in an image from scratch.
func isStatic(t *testing.T, program string) {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is not static", program)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// output runs a program that has to succeed and returns all that it says.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

func (s *served) get(path string) string {
	s.t.Helper()
	return fetch(s.t, s.url+path)
}

func (s *served) post(path, body string) {
	s.t.Helper()
	response, err := http.Post(s.url+path, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", url, response.Status, err, body)
	}
	return string(body)
}
