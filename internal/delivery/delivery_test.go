package delivery_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/ledger/publish"
	"github.com/sandtrail/sandtrail/notify"
)

// secrets are parts of addresses that no log and no error may show.
var secrets = []string{"hunter2", "T0KEN", "s3cret"}

// sends are the ways out that carry something that is for one receiver alone.
func sends(address string) map[string]func(context.Context) error {
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	hook := notify.Webhook{URL: address, Secret: "s3cret", Now: func() time.Time { return noon }}
	c := publish.Checkpoint{Origin: "o", Size: 1, Signed: "o\n1\n\n", Proof: func(context.Context, int64) ([]byte, error) { return []byte("old 0\n\no\n"), nil }}
	return map[string]func(context.Context) error{
		"webhook": func(ctx context.Context) error {
			return hook.Notify(ctx, notify.NewNotice(true, noon, alert.Verdict{}))
		},
		"checkpoint webhook": func(ctx context.Context) error { return publish.Webhook{Post: hook.Post}.Publish(ctx, c) },
		"witness":            func(ctx context.Context) error { return publish.Witness{URL: address}.Publish(ctx, c) },
	}
}

func TestRedirectionsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		elsewhere.Add(1)
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		h := httptest.NewServer(http.RedirectHandler(other.URL+"/T0KEN", status))
		address := strings.Replace(h.URL, "http://", "http://u:hunter2@", 1) + "/hooks/T0KEN?key=s3cret"
		for name, send := range sends(address) {
			err := send(t.Context())
			if err == nil || !strings.Contains(err.Error(), "redirections are not followed") {
				t.Errorf("%s, %d: got %v", name, status, err)
			}
			keepsSecrets(t, name, err)
		}
		h.Close()
	}
	if n := elsewhere.Load(); n > 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// Whatever goes wrong on the way, an address is told by its host alone.
func TestNoSecretOfAnAddressIsTold(t *testing.T) {
	refusing := httptest.NewServer(http.NotFoundHandler())
	defer refusing.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, base := range []string{refusing.URL, gone.URL, "http://127.0.0.1:bad", "http://[::1", "ftp://example.invalid"} {
		address := strings.Replace(base, "://", "://u:hunter2@", 1) + "/hooks/T0KEN?key=s3cret"
		for _, address := range []string{address, strings.Replace(address, "@", "%zz@", 1), address + "\x7f", strings.Replace(address, ":bad", ":T0KEN", 1)} {
			for name, send := range sends(address) {
				err := send(t.Context())
				if err == nil {
					t.Errorf("%s: %q was reached", name, address)
				}
				keepsSecrets(t, name+" "+base, err)
			}
		}
	}
}

func keepsSecrets(t *testing.T, what string, err error) {
	t.Helper()
	for _, secret := range secrets {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s tells a secret: %v", what, err)
		}
	}
}
