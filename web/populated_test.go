package web

import (
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/outbox"
)

// house is a server where something is to be seen on every page.
type house struct {
	store   fullStore
	session string // the page of an execution whose terminal was recorded
	open    func(*Options)
}

// populated adds an access log, alerts that were told, a hold, an outbox and a
// recorded session to a store, and no key: that is how a server begins.
func populated(t *testing.T, store fullStore) house {
	t.Helper()
	h := house{store: store}
	h.session, _, h.open = recordedSession(t, store)
	sessions := h.open
	box, err := outbox.Open(t.TempDir(), outbox.Options{Now: still})
	if err != nil {
		t.Fatal(err)
	}
	h.open = func(o *Options) {
		sessions(o)
		o.Outbox = func() (Outbox, error) { return box, nil }
	}
	furnishLogs(t, store)
	if err := store.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	return h
}

func furnishKeys(t *testing.T, store fullStore) {
	t.Helper()
	for i, k := range []struct {
		name string
		role auth.Role
		user string
	}{
		{"grace, laptop", auth.RoleRead, "u-0002"},
		{"old deploy", auth.RoleAdmin, ""},
		{"sandboxes eu-1", auth.RoleIngest, ""},
		{"yearly audit", auth.RoleAuditor, ""},
		{"on call", auth.RoleAdmin, ""},
	} {
		made := now.AddDate(0, 0, -60+10*i)
		key, _ := auth.NewKey(k.name, k.role, k.user, made)
		if k.role == auth.RoleAuditor {
			key.ExpiresAt = new(now.AddDate(0, 0, 12))
		}
		must(t, store.CreateKey(t.Context(), key))
		if i%2 == 0 {
			must(t, store.TouchKey(t.Context(), key.ID, now.Add(-time.Duration(i)*time.Hour)))
		}
		if k.name == "old deploy" {
			must(t, store.RevokeKey(t.Context(), key.ID, now.AddDate(0, 0, -3)))
		}
	}
}

func furnishLogs(t *testing.T, store fullStore) {
	t.Helper()
	acts := []auth.Access{
		{Actor: "on call", Action: "export", Object: "/v1/export?format=csv&within=24h", Remote: "10.0.4.17"},
		{Actor: "retention", Action: auth.CleanupAction, Object: "before 2026-08-26T04:00:00Z", Detail: "deleted 418"},
		{Actor: "on call", Action: "create key", Object: "/v1/keys", Remote: "10.0.4.17"},
		{Actor: "grace, laptop", Action: "delete user", Object: "/v1/users/u-0007", Remote: "10.0.9.2", Outcome: auth.Denied, Detail: "a key with the role read, bound to one user, may not do this"},
		{Actor: "yearly audit", Action: "read access log", Object: "/v1/access-log", Remote: "10.0.4.90"},
	}
	for i := range 70 {
		line := acts[i%len(acts)]
		line.At = now.Add(-time.Duration(i*i) * 7 * time.Minute)
		line.ID = sandtrail.NewID(line.At)
		if line.Outcome == "" {
			line.Outcome = auth.Allowed
		}
		must(t, store.LogAccess(t.Context(), line))
	}
	for i := range 8 {
		at := now.Add(-time.Duration(8-i) * 11 * time.Hour)
		event := alert.Event{
			ID: sandtrail.NewID(at), At: at, Rule: "high-failure-rate", Firing: i%2 == 0, Silenced: i == 3,
			Message: "high-failure-rate: 41.2 % of the executions of the last 1h failed (14 of 34, threshold 30 %)",
		}
		must(t, store.PutAlertState(t.Context(), alert.State{Rule: event.Rule, Firing: event.Firing, Since: at, Event: &event.ID}, &event))
		must(t, store.PutAlertDelivery(t.Context(), event.ID, alert.Delivery{Channel: "log", Delivered: true, Attempts: 1, At: at}))
		webhook := alert.Delivery{Channel: "webhook hooks.example.com", Delivered: i != 6, Attempts: 1 + i%3, At: at}
		if !webhook.Delivered {
			webhook.Error = "status 503"
		}
		must(t, store.PutAlertDelivery(t.Context(), event.ID, webhook))
	}
	must(t, store.Reschedule(t.Context(), auth.RetentionWork, now.Add(13*time.Hour)))
	must(t, store.PutHold(t.Context(), sandtrail.Hold{
		Subject: sandtrail.Users, SubjectID: "u-0003", Reason: "Case 2026-17", CreatedBy: "on call", CreatedAt: now.AddDate(0, 0, -9),
	}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
