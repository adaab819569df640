package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// ofServer are the flags that the tests of this file see at work.
var ofServer = []string{
	"serve --retention", "serve --keep-type", "serve --keep-strategy", "serve --rules", "serve --ledger-key",
	"serve --checkpoint-dir", "serve --checkpoint-every",
	"serve --tls-cert", "serve --tls-key", "serve --rate-limit", "serve --verify-every", "serve --webhook-form", "serve --webhook-secret",
	"serve --checkpoint-webhook",
	"serve --listen", "serve --log-format", "serve --webhook", "serve --archive", "serve --outbox", "serve --session-dir",
	"serve --log-level", "demo --listen", "serve --checkpoint-witness", "serve --witness-of", "serve --mail-server", "serve --mail-from", "serve --mail-to",
}

// TestFlagsOfServe starts a server with flags, and sees in its answers and files that
// they are honoured.
func TestFlagsOfServe(t *testing.T) {
	t.Chdir(t.TempDir())
	rules := `[{"name":"too-slow","metric":"p95Time","window":"1h","threshold":9000}]`
	if err := errors.Join(os.WriteFile("rules.json", []byte(rules), 0o600), os.Mkdir("published", 0o700), os.Mkdir("archived", 0o700)); err != nil {
		t.Fatal(err)
	}
	seedFlags(t, "sqlite:flags.db")
	old := `{"userId":"ada","strategyId":"momentum","executionType":"VALIDATION","success":true,"executionTime":1,"createdAt":"2020-01-01T00:00:00Z"}`
	if err := os.WriteFile("old.ndjson", []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, 0, "record", "old.ndjson", "--retention", "0", "--db", "sqlite:flags.db")
	for _, call := range []string{undelivered, onTerminal + "--record-session --session-dir casts --db sqlite:flags.db -- echo seen"} {
		if got := answer(t, strings.TrimSuffix(call, "; "), nil); !strings.HasPrefix(got, "0 ") {
			t.Fatalf("%s: %s", call, got)
		}
	}
	casts, err := os.ReadDir("casts")
	if err != nil || len(casts) != 1 {
		t.Fatalf("recorded sessions: %v, %v", casts, err)
	}
	session := "/executions/" + strings.TrimSuffix(casts[0].Name(), ".cast") + "/session"
	served := startServe(t, "sqlite:flags.db", "--archive", "archived", "--outbox", "box", "--session-dir", "casts", "--retention", "33d", "--keep-type", "TERMINAL=44d", "--keep-strategy", "momentum=55d",
		"--rules", "rules.json", "--ledger-key", "elsewhere", "--checkpoint-dir", "published", "--checkpoint-every", "1s")
	for path, wants := range map[string][]string{
		"/v1/retention": {"33d", "44d", "55d"}, "/v1/alerts": {"too-slow"},
		"/metrics": {"sandtrail_outbox_waiting_records 1"}, session: {"seen"},
	} {
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
	for flags, dir := range map[string]string{"--checkpoint-dir, --checkpoint-every": "published", "--archive": "archived"} {
		eventually(t, flags, func() bool {
			files, err := os.ReadDir(dir)
			return err != nil || len(files) > 0
		})
	}
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
	public, _, _ := strings.Cut(command(t, 0, "ledger", "key", "--db", "sqlite:flags.db"), "\n")
	witness := startServe(t, "sqlite:witness.db", "--witness-of", public)
	before, err := url.Parse(witness.url)
	if err != nil {
		t.Fatal(err)
	}
	var witnessed atomic.Bool
	between := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(before) },
		ModifyResponse: func(r *http.Response) error {
			witnessed.Store(witnessed.Load() || r.StatusCode == http.StatusOK)
			return nil
		},
	})
	t.Cleanup(between.Close)
	mail, heard := mailbox(t)
	served := startServe(t, "sqlite:flags.db", "--checkpoint-witness", between.URL+"/v1/ledger/witness",
		"--mail-server", "smtp://"+mail, "--mail-from", "from@example.com", "--mail-to", "to@example.com", "--tls-cert", "cert.pem", "--tls-key", "key.pem", "--rate-limit", "1", "--verify-every", "1s",
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
	eventually(t, "--checkpoint-witness, --witness-of", witnessed.Load)
	select {
	case said := <-heard:
		if !strings.Contains(said, "MAIL FROM:<from@example.com>") || !strings.Contains(said, "RCPT TO:<to@example.com>") {
			t.Errorf("--mail-from, --mail-to: %s", said)
		}
	case <-time.After(time.Minute):
		t.Error("--mail-server: no mail within a minute")
	}
	if body, _ := got.Load("/alert"); !strings.Contains(body.(string), `"text"`) {
		t.Errorf("--webhook-form slack: %s", body)
	}
}

// TestFlagsOfListeners starts servers at a port that is free.
func TestFlagsOfListeners(t *testing.T) {
	t.Chdir(t.TempDir())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	answers := func() bool {
		response, err := http.Get("http://" + address + "/healthz")
		if err == nil {
			response.Body.Close()
		}
		return err == nil && response.StatusCode == http.StatusOK
	}
	var log bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--db", "sqlite:flags.db", "--listen", address, "--log-format", "json", "--log-level", "error"}, bare(io.Discard, &log))
	}()
	eventually(t, "serve --listen", answers)
	stop()
	if status := <-ended; status != 0 || log.Len() > 0 { // startServe reads lines of the level info
		t.Errorf("--log-level error: status %d: %s", status, &log)
	}
	demo := sandtrailCommand(t, "", "demo", "--listen", address) // a process of its own, as its runs end what they find below it
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "demo --listen", answers)
	if err := errors.Join(demo.Process.Signal(os.Interrupt), demo.Wait()); err != nil {
		t.Errorf("demo: %v", err)
	}
}

// mailbox is the address of a mail server, and what one client says to it until its
// message begins.
func mailbox(t *testing.T) (address string, heard <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	said := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		all, text := "", textproto.NewConn(conn)
		for answer := "220 here"; text.PrintfLine("%s", answer) == nil; answer = "250 go on" {
			line, err := text.ReadLine()
			if err != nil || line == "DATA" {
				said <- all
				return
			}
			all += line + "\n"
		}
	}()
	return listener.Addr().String(), said
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
