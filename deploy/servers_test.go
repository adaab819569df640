package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sandtrail/sandtrail/internal/testneed"
)

func TestMain(m *testing.M) {
	status := m.Run()
	if dir := filepath.Dir(built); built != "" {
		_ = os.RemoveAll(dir)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// built is the program once it is.
var built string

// binary builds the program, once.
func binary(t *testing.T) string {
	t.Helper()
	buildOnce.Do(func() {
		dir, err := os.MkdirTemp("", "deploy")
		if err != nil {
			t.Fatal(err)
		}
		built = filepath.Join(dir, "sandtrail")
		build := exec.Command("go", "build", "-o", built, "../cmd/sandtrail")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		output(t, build)
	})
	return built
}

var buildOnce sync.Once

// start runs a program until the test ends and waits until a URL answers 200.
func start(t *testing.T, ready string, program string, arguments ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(program), &said)
		}
	})
	eventually(t, filepath.Base(program)+" answers", func() bool {
		response, err := http.Get(ready)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// eventually asks again and again until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	end := time.NewTimer(2 * time.Minute)
	defer end.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-end.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// served is a server with a user ada and a strategy momentum.
type served struct {
	t        *testing.T
	url      string
	database string
}

// serve starts the program on a fresh database, after commands have worked on
// it.
func serve(t *testing.T, flags ...string) *served {
	t.Helper()
	address := testneed.FreeAddress(t)
	s := &served{t: t, url: "http://" + address, database: "sqlite:" + filepath.Join(t.TempDir(), "sandtrail.db")}
	s.command("", "users", "add", "ada", "--email", "ada@example.com")
	s.command("", "strategies", "add", "momentum", "--name", "Momentum")
	s.command(strings.Repeat(`{"userId":"ada","strategyId":"momentum","executionType":"TERMINAL","success":false,"executionTime":1}`+"\n", 20), "record")
	start(t, s.url+"/readyz", binary(t), append([]string{"serve", "--db", s.database, "--listen", address}, flags...)...)
	return s
}

func (s *served) command(input string, arguments ...string) {
	s.t.Helper()
	cmd := exec.Command(binary(s.t), append(arguments, "--db", s.database)...)
	cmd.Stdin = strings.NewReader(input)
	output(s.t, cmd)
}

// Prometheus scrapes a server, and a rule of ours fires.
func TestPrometheusScrapesAndFires(t *testing.T) {
	prometheus := testneed.Program(t, "prometheus", "prometheus")
	s := serve(t)
	dir := t.TempDir()
	rules, err := filepath.Abs("prometheus/sandtrail.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs: [{job_name: sandtrail, static_configs: [{targets: [%q]}]}]
`, rules, strings.TrimPrefix(s.url, "http://"))
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := testneed.FreeAddress(t)
	start(t, "http://"+address+"/-/ready", prometheus, "--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	firing := func() string { return fetch(t, "http://"+address+"/api/v1/alerts") }
	query := func(expr string) string { return fetch(t, "http://"+address+"/api/v1/query?query="+expr) }
	eventually(t, "the server is scraped", func() bool { return strings.Contains(query("sandtrail_denied_total"), `"result":[{`) })
	if got := firing(); strings.Contains(got, "SandtrailDeniedAttempts") {
		t.Errorf("at first: %s", got)
	}
	eventually(t, "the alert fires", func() bool {
		for range 20 { // between two scrapes, so that the increase is seen
			s.deny()
		}
		return strings.Contains(firing(), "SandtrailDeniedAttempts")
	})
}

// deny makes an attempt that is refused.
func (s *served) deny() {
	s.t.Helper()
	request, err := http.NewRequest(http.MethodGet, s.url+"/v1/users", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer st_nobody")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
}

// Alertmanager takes an alert of ours.
func TestAlertmanagerReceives(t *testing.T) {
	alertmanager := testneed.Program(t, "prometheus-alertmanager", "prometheus-alertmanager")
	dir, address := t.TempDir(), testneed.FreeAddress(t)
	file := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "http://"+address+"/-/ready", alertmanager, "--config.file="+file, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--cluster.listen-address=")
	serve(t, "--webhook", "http://"+address+"/api/v2/alerts", "--webhook-form", "alertmanager")
	var alerts []struct {
		Labels, Annotations map[string]string
		Status              struct{ State string }
	}
	eventually(t, "the alert arrives", func() bool {
		if err := json.Unmarshal([]byte(fetch(t, "http://"+address+"/api/v2/alerts")), &alerts); err != nil {
			t.Fatal(err)
		}
		return len(alerts) > 0
	})
	if a := alerts[0]; a.Labels["alertname"] != "high-failure-rate" || a.Status.State != "active" || !strings.Contains(a.Annotations["summary"], "20 of 20") {
		t.Errorf("got %+v", alerts)
	}
}
