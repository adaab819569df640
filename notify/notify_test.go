package notify

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func notice(firing bool) Notice {
	failed := int64(1)
	if firing {
		failed = 9
	}
	v := alert.DefaultRule().Evaluate(sandtrail.WindowStats{Total: 10, Failed: failed, Successful: 10 - failed})
	return NewNotice(firing, noon, v)
}

func TestWebhookForms(t *testing.T) {
	for _, test := range []struct {
		form        Form
		firing      bool
		contentType string
		path, want  string // a member of the body and its value
	}{
		{"", true, "application/json", "status", `"firing"`},
		{AlertmanagerWebhook, false, "application/json", "status", `"resolved"`},
		{AlertmanagerWebhook, true, "application/json", "version", `"4"`},
		{AlertmanagerAPI, true, "application/json", "0.labels.alertname", `"high-failure-rate"`},
		{AlertmanagerAPI, false, "application/json", "0.endsAt", `"2026-11-24T12:00:00Z"`},
		{CloudEvents, true, "application/cloudevents+json", "type", `"sandtrail.alert.firing"`},
		{CloudEvents, true, "application/cloudevents+json", "id", `"high-failure-rate@2026-11-24T12:00:00Z"`},
		{Slack, true, "application/json", "text", `":rotating_light: high-failure-rate: 90 % of the executions of the last 1h failed (9 of 10, threshold 30 %)"`},
	} {
		var body []byte
		var header http.Header
		h := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ = io.ReadAll(r.Body)
			header = r.Header
		}))
		hook := Webhook{URL: h.URL, Form: test.form, Secret: "s3cret", HTTP: h.Client(), Now: func() time.Time { return noon }}
		err := hook.Notify(t.Context(), notice(test.firing))
		h.Close()
		if err != nil {
			t.Fatalf("%s: %v", test.form, err)
		}
		if got := member(t, body, test.path); got != test.want {
			t.Errorf("%s: %s is %s, want %s", test.form, test.path, got, test.want)
		}
		if got := header.Get("Content-Type"); got != test.contentType {
			t.Errorf("%s: Content-Type %q", test.form, got)
		}
		if got := header.Get(SignatureHeader); got != Sign("s3cret", noon, body) {
			t.Errorf("%s: signature %q", test.form, got)
		}
	}
}

// member walks into JSON by a path such as "0.labels.job".
func member(t *testing.T, raw []byte, path string) string {
	t.Helper()
	for name := range strings.SplitSeq(path, ".") {
		var list []json.RawMessage
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &list) == nil && name == "0" && len(list) == 1 {
			raw = list[0]
		} else if err := json.Unmarshal(raw, &object); err == nil {
			raw = object[name]
		} else {
			t.Fatalf("%s in %s: %v", path, raw, err)
		}
	}
	return string(raw)
}

// The signature as a receiver in another language computes it:
// printf '1795521600.{}' | openssl dgst -sha256 -hmac key
func TestSign(t *testing.T) {
	const want = "t=1795521600,v1=2e55a4f595ce61f671090b9be8be26a4d1f0217e3b905361fb18d673d3a7877c"
	if got := Sign("key", time.Unix(1795521600, 0), []byte("{}")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWebhookFailuresNameTheHostOnly(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	hook := Webhook{URL: h.URL + "/token/secret", HTTP: h.Client(), Now: time.Now}
	err := hook.Notify(t.Context(), notice(true))
	if err == nil || !strings.Contains(err.Error(), "500") || strings.Contains(err.Error(), "secret") {
		t.Errorf("an answer of 500: %v", err)
	}
	h.Close()
	if err = hook.Notify(t.Context(), notice(true)); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody there: %v", err)
	}
	if err := (Webhook{URL: h.URL, Form: "fax", Now: time.Now}).Notify(t.Context(), notice(true)); err == nil {
		t.Error("an unknown form was taken")
	}
}

func TestLog(t *testing.T) {
	var lines bytes.Buffer
	if err := (Log{slog.New(slog.NewTextHandler(&lines, nil))}).Notify(t.Context(), notice(true)); err != nil {
		t.Fatal(err)
	}
	if got := lines.String(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "high-failure-rate") {
		t.Errorf("log: %s", got)
	}
}

func TestNamesTellChannelsApartWithoutSecrets(t *testing.T) {
	names := map[string]bool{}
	for _, c := range []Channel{
		Log{},
		Webhook{URL: "https://hooks.example.com/token/secret"},
		Webhook{URL: "https://hooks.example.com/token/other"},
		Webhook{URL: "https://hooks.example.com/token/secret", Form: Slack},
		Mail{To: []string{"ops@example.com"}},
	} {
		if names[c.Name()] || strings.Contains(c.Name(), "secret") {
			t.Errorf("name %q", c.Name())
		}
		names[c.Name()] = true
	}
	for form, want := range map[Form]bool{AlertmanagerAPI: true, AlertmanagerWebhook: false, Slack: false} {
		if got := (Webhook{Form: form}).Forgets(); got != want {
			t.Errorf("%s forgets: %t", form, got)
		}
	}
}
