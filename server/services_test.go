package server_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/server"
)

// TestAStoreWithoutServices wants each call without its service to say so, and lists to
// be empty.
func TestAStoreWithoutServices(t *testing.T) {
	k := newKit(t, func(c *server.Config) { c.Services = struct{}{} }).owners()
	for _, call := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/v1/executions/stream", "", 404},
		{"GET", "/v1/examination", "", 404},
		{"POST", "/v1/alerts/silences", `{"reason":"r","for":"1h"}`, 404},
		{"DELETE", "/v1/alerts/silences/0193a1b2-0000-7000-8000-000000000000", "", 404},
		{"POST", "/v1/keys", `{"name":"n","role":"read"}`, 404},
		{"DELETE", "/v1/keys/0193a1b2-0000-7000-8000-000000000000", "", 404},
		{"GET", "/v1/alerts", "", 200},
		{"GET", "/v1/alerts/silences", "", 200},
		{"GET", "/v1/alerts/history", "", 200},
		{"GET", "/v1/keys", "", 200},
		{"GET", "/v1/access-log", "", 200},
		{"GET", "/metrics", "", 200},
	} {
		got := k.do(request{method: call.method, path: call.path, body: call.body})
		if got.status != call.status || strings.Contains(string(got.body), "sandtrail_alert_firing") {
			t.Errorf("%s %s: status %d, want %d: %s", call.method, call.path, got.status, call.status, got.body)
		}
	}
}

// TestAStoreIsGivenOnce wants a database alone to be all that a server needs for keys.
func TestAStoreIsGivenOnce(t *testing.T) {
	k := newKit(t)
	k.key(auth.RoleRead, "")
	s, err := server.New(server.Config{Store: k.store})
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	s.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/v1/executions", nil))
	if answer.Code != 401 {
		t.Errorf("without a key: status %d, want 401", answer.Code)
	}
}
