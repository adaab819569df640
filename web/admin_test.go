package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/outbox"
)

// tries says with which form each act is tried, and how one that is allowed is
// answered; 0: as most are.
var tries = map[string]struct {
	form    url.Values
	allowed int
}{
	"POST /admin/keys":               {form: url.Values{"name": {"k"}, "role": {"read"}}},
	"POST /admin/keys/{id}/revoke":   {},
	"POST /alerts/silences":          {form: url.Values{"for": {"1h"}}},
	"POST /alerts/silences/{id}/end": {allowed: http.StatusNotFound}, // no silence has the id of a key
}

func TestAdministrationIsForAdministratorsAndAuditors(t *testing.T) {
	store := emptyStore(t)
	h := whole(t, store, still)
	victim, _ := addKey(t, store, auth.RoleIngest, "")
	for _, test := range []struct {
		role auth.Role
		user string
		see  int
		act  int
	}{
		{auth.RoleRead, "", http.StatusForbidden, http.StatusForbidden},
		{auth.RoleRead, "u1", http.StatusForbidden, http.StatusForbidden},
		{auth.RoleAuditor, "", http.StatusOK, http.StatusForbidden},
		{auth.RoleAdmin, "", http.StatusOK, http.StatusSeeOther},
	} {
		t.Run(string(test.role)+test.user, func(t *testing.T) {
			_, secret := addKey(t, store, test.role, test.user)
			session := signedIn(t, h, secret)
			for pattern := range pages {
				if path, ok := strings.CutPrefix(pattern, "GET /admin"); ok {
					page(t, h, "/admin"+path, test.see, session)
				}
			}
			for pattern := range acts {
				tried, known := tries[pattern]
				if !known {
					t.Errorf("%s: nothing says what it is tried with", pattern)
				}
				want := test.act
				if want != http.StatusForbidden && tried.allowed != 0 {
					want = tried.allowed
				}
				_, path, _ := strings.Cut(strings.ReplaceAll(pattern, "{id}", victim.ID.String()), " ")
				if w := post(h, path, tried.form, session); w.Code != want {
					t.Errorf("%s: status %d, want %d", pattern, w.Code, want)
				}
			}
		})
	}
}

func TestKeysAreShownOnceAndRevoked(t *testing.T) {
	store := emptyStore(t)
	h := whole(t, store, still)
	page(t, h, "/admin/keys", http.StatusOK).wantText(t, "No keys yet", "The first key changes that")

	early := post(h, "/admin/keys", url.Values{"name": {"me"}, "role": {"read"}})
	if early.Code != http.StatusUnprocessableEntity {
		t.Errorf("a first key that makes no others: status %d", early.Code)
	}
	parse(t, "/admin/keys", early).wantText(t, "role: must be admin for the first key")

	first, _ := makeKey(t, h, url.Values{"name": {"root"}, "role": {"admin"}})
	first.wantText(t, "Copy it now", "From now on each reader must sign in")
	root := signedIn(t, h, first.tag("pre")[0].text())

	bad := post(h, "/admin/keys", url.Values{"name": {"k"}, "role": {"admin"}, "userId": {"u1"}}, root)
	if bad.Code != http.StatusUnprocessableEntity {
		t.Errorf("an administrator bound to a user: status %d", bad.Code)
	}
	parse(t, "/admin/keys", bad).wantText(t, "userId")

	made, again := makeKey(t, h, url.Values{"name": {"ada"}, "role": {"read"}, "userId": {"u1"}, "expiresIn": {"30d"}}, root)
	secret := made.tag("pre")[0].text()
	if text := again.text(); strings.Contains(text, secret) {
		t.Error("the secret is shown a second time")
	}
	ada := signedIn(t, h, secret)
	list := page(t, h, "/admin/keys", http.StatusOK, root)
	list.wantText(t, "ada", "only u1", "in 30 d", "root yours", "You are signed in with this key", "the last administrator’s key")
	if rows := len(list.tag("tbody")[0].tag("tr")); rows != 2 {
		t.Errorf("%d keys, want root's and ada's", rows)
	}
	if strings.Contains(list.text(), secret) {
		t.Error("the list shows a secret")
	}
	for _, form := range list.tag("form") {
		if action := form.attr("action"); strings.HasSuffix(action, "/revoke") && strings.Contains(form.text(), "ada") {
			if w := post(h, action, nil, root); w.Code != http.StatusSeeOther {
				t.Errorf("revoke: status %d", w.Code)
			}
		}
	}
	if w := get(t, h, "/", ada); w.Code != http.StatusSeeOther {
		t.Errorf("status %d with the revoked key", w.Code)
	}
	page(t, h, "/admin/keys", http.StatusOK, root).wantText(t, "revoked")
	page(t, h, "/admin/access-log?action=revoke+key", http.StatusOK, root).wantText(t, "root", "revoke key", "allowed")
}

// makeKey sends the form and follows the answer as a browser does: it returns
// the page of the new key, and what a reload of that makes of it.
func makeKey(t *testing.T, h http.Handler, form url.Values, session ...func(*http.Request)) (shown, reloaded doc) {
	t.Helper()
	w := post(h, "/admin/keys", form, session...)
	if w.Code != http.StatusSeeOther || strings.Contains(w.Body.String()+fmt.Sprint(w.Header()), "st_") {
		t.Fatalf("status %d, %v: %s", w.Code, w.Header(), w.Body)
	}
	made := w.Result().Cookies()[0]
	if !made.HttpOnly || made.SameSite != http.SameSiteStrictMode || made.Path != madeKeyPath || made.MaxAge > 60 {
		t.Errorf("cookie %v", made)
	}
	carry := append(session, func(r *http.Request) { r.AddCookie(made) })
	first := get(t, h, w.Header().Get("Location"), carry...)
	if first.Code != http.StatusOK || first.Header().Get("Cache-Control") != "no-store" || first.Result().Cookies()[0].MaxAge != -1 {
		t.Errorf("the new key: status %d, %v", first.Code, first.Header())
	}
	return parse(t, madeKeyPath, first), page(t, h, madeKeyPath, http.StatusNotFound, carry...)
}

func TestNewKeyIsForItsMaker(t *testing.T) {
	store := emptyStore(t)
	_, secret := addKey(t, store, auth.RoleAdmin, "")
	h := whole(t, store, still)
	w := post(h, "/admin/keys", url.Values{"name": {"k"}, "role": {"read"}}, signedIn(t, h, secret))
	stolen := func(r *http.Request) { r.AddCookie(w.Result().Cookies()[0]) }
	page(t, h, madeKeyPath, http.StatusNotFound, stolen)
	if again := get(t, h, madeKeyPath); again.Header().Get("Location") != "/admin/keys" {
		t.Errorf("without a new key: status %d to %q", again.Code, again.Header().Get("Location"))
	}
}

// TestEveryFormAnswersWithAWay sends each form as one who may. A reload of
// what follows must not send it again.
func TestEveryFormAnswersWithAWay(t *testing.T) {
	store := emptyStore(t)
	victim, _ := addKey(t, store, auth.RoleIngest, "")
	_, secret := addKey(t, store, auth.RoleAdmin, "")
	h := whole(t, store, still)
	silence := alert.Silence{ID: victim.ID, CreatedAt: now, Until: now.Add(time.Hour)}
	must(t, store.CreateSilence(t.Context(), silence))
	forms := map[string]url.Values{"POST /sign-in": {"key": {secret}}, "POST /sign-out": nil, "POST /preferences": {"theme": {"dark"}}}
	for pattern := range acts {
		forms[pattern] = tries[pattern].form
	}
	for pattern := range doors {
		if _, known := forms[pattern]; strings.HasPrefix(pattern, "POST ") && !known {
			t.Errorf("%s: nothing says what it is tried with", pattern)
		}
	}
	for pattern, form := range forms {
		_, path, _ := strings.Cut(strings.ReplaceAll(pattern, "{id}", victim.ID.String()), " ")
		if w := post(h, path, form, signedIn(t, h, secret)); w.Code != http.StatusSeeOther {
			t.Errorf("%s: status %d\n%s", pattern, w.Code, w.Body)
		}
	}
}

func TestAccessLogIsFilteredAndPaged(t *testing.T) {
	store := emptyStore(t)
	for i := range 120 {
		at := now.Add(-time.Duration(i) * time.Minute)
		line := auth.Access{
			ID: sandtrail.NewID(at), At: at, Actor: "ci", Action: "export", Object: "/v1/export", Outcome: auth.Allowed,
		}
		if i%40 == 0 {
			line.Actor, line.Outcome, line.Detail = "mallory", auth.Denied, "a key with the role read may not do this"
		}
		if err := store.LogAccess(t.Context(), line); err != nil {
			t.Fatal(err)
		}
	}
	h := whole(t, store, still)
	seen, pages := 0, 0
	for path := "/admin/access-log?actor=ci"; path != ""; pages++ {
		p := page(t, h, path, http.StatusOK)
		seen += len(p.tag("tbody")[0].tag("tr"))
		path = ""
		for _, a := range p.tag("a") {
			if a.attr("rel") == "next" {
				path = a.attr("href")
			}
		}
	}
	if seen != 117 || pages != 3 {
		t.Errorf("%d lines of ci on %d pages, want 117 on 3", seen, pages)
	}
	p := page(t, h, "/admin/access-log?outcome=denied", http.StatusOK)
	p.wantText(t, "mallory", "may not do this", "That is all")
	if rows := p.tag("tbody")[0].tag("tr"); len(rows) != 3 {
		t.Errorf("%d refusals, want 3", len(rows))
	}
	page(t, h, "/admin/access-log?actor=nobody", http.StatusOK).wantText(t, "No line matches")
	page(t, h, "/admin/access-log?cursor=x", http.StatusUnprocessableEntity).wantText(t, "cursor")
}

func TestAdministrationTellsTheState(t *testing.T) {
	store := emptyStore(t)
	record(t, store)
	box, err := outbox.Open(t.TempDir(), outbox.Options{Now: still})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := box.Put(sandtrail.Draft{UserID: "u1", StrategyID: "s1", Type: sandtrail.Validation}); err != nil {
		t.Fatal(err)
	}
	h := whole(t, store, still, func(o *Options) {
		o.Outbox = func() (Outbox, error) { return box, nil }
		o.Retention.Types = map[sandtrail.ExecutionType]time.Duration{sandtrail.Terminal: 365 * 24 * time.Hour}
		o.Retention.Strategies = map[string]time.Duration{"s1": 0}
	})
	page(t, h, "/admin", http.StatusOK).wantText(t,
		"0 ledger entries", "not yet", "kept for 90d", "Of Terminal kept for 365d", "Of s1 kept for ever", "none yet", "within minutes", "SQLite keeps everything in one file", "1 execution")

	if err := store.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	line := auth.Access{ID: sandtrail.NewID(now), At: now.Add(-time.Hour), Actor: auth.RetentionWork, Action: auth.CleanupAction, Outcome: auth.Allowed, Detail: "deleted 7"}
	for _, err := range []error{store.LogAccess(t.Context(), line), store.Reschedule(t.Context(), auth.RetentionWork, now.Add(23*time.Hour))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	get(t, h, "/checkpoint")
	page(t, h, "/admin", http.StatusOK).wantText(t, "1 ledger entry", "of 1 ledger entries", "deleted 7", "in 23 h", "sandtrail verify --checkpoint checkpoint.txt --public-key sandtrail/test+")
	page(t, h, "/admin/examination", http.StatusOK).wantText(t, "No fault found", "journal mode is wal", "just now")
}

func TestExecutionIsProved(t *testing.T) {
	store := emptyStore(t)
	record(t, store)
	e := oneExecution(t, store, "u1")
	h := whole(t, store, still)
	path := "/executions/" + e.ID.String()
	page(t, h, path, http.StatusOK).wantText(t, "Unsealed")
	page(t, h, path+"/receipt", http.StatusNotFound)

	if err := store.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	p := page(t, h, path, http.StatusOK)
	p.wantText(t, "Sealed", "Ledger entry 0", "sandtrail verify --receipt receipt-"+e.ID.String()+".json --public-key sandtrail/test+")
	keys, err := ledgerKeys()
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := ledger.ParseVerifiers(keys.Public()...)
	if err != nil {
		t.Fatal(err)
	}
	w := get(t, h, path+"/receipt")
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="receipt-`+e.ID.String()+`.json"` {
		t.Errorf("the receipt comes as %s", got)
	}
	proved, _, err := ledger.VerifyReceipt(w.Body.Bytes(), trusted)
	if err != nil || proved.ID != e.ID {
		t.Errorf("the receipt proves %s: %v", proved.ID, err)
	}
	if _, err := trusted.Open(get(t, h, "/checkpoint").Body.Bytes()); err != nil {
		t.Errorf("the checkpoint: %v", err)
	}
}

func TestAlertsAreRememberedAndSilenced(t *testing.T) {
	store := emptyStore(t)
	h := whole(t, store, still)
	page(t, h, "/alerts", http.StatusOK).wantText(t, "Quiet", "No rule has begun to fire")

	for i := range 25 {
		at := now.Add(time.Duration(i-30) * time.Minute)
		event := alert.Event{
			ID: sandtrail.NewID(at), At: at, Rule: "high-failure-rate", Firing: i%2 == 0, Message: "high-failure-rate: 40 % failed",
		}
		state := alert.State{Rule: event.Rule, Firing: event.Firing, Since: at, Event: &event.ID}
		delivery := alert.Delivery{Channel: "webhook hooks.example.com", Attempts: 3, At: at, Error: "status 500"}
		for _, err := range []error{store.PutAlertState(t.Context(), state, &event), store.PutAlertDelivery(t.Context(), event.ID, delivery)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	p := page(t, h, "/alerts", http.StatusOK)
	p.wantText(t, "It has fired since", "Fired", "Resolved", "webhook hooks.example.com", "at attempt 3", "status 500")
	for _, a := range p.tag("a") {
		if a.attr("rel") == "next" {
			if rest := page(t, h, a.attr("href"), http.StatusOK).class("events")[0].tag("tbody")[0].tag("tr"); len(rest) != 5 {
				t.Errorf("%d older events, want 5", len(rest))
			}
		}
	}
	page(t, h, "/alerts?before=x", http.StatusUnprocessableEntity)

	if w := post(h, "/alerts/silences", url.Values{"rule": {"high-failure-rate"}, "for": {"4h"}, "reason": {"moving house"}}); w.Code != http.StatusSeeOther {
		t.Fatalf("silence: status %d\n%s", w.Code, w.Body)
	}
	p = page(t, h, "/alerts", http.StatusOK)
	p.wantText(t, "Silenced", "is silent for 4 h , until Tue 24 Nov 2026, 19:20", "moving house")
	for _, form := range p.tag("form") {
		if action := form.attr("action"); strings.HasSuffix(action, "/end") {
			if w := post(h, action, nil); w.Code != http.StatusSeeOther {
				t.Errorf("end the silence: status %d", w.Code)
			}
		}
	}
	if text := page(t, h, "/alerts", http.StatusOK).main(t); strings.Contains(text, "moving house") {
		t.Error("the silence goes on")
	}
	if w := post(h, "/alerts/silences", url.Values{"for": {"soon"}}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a silence of no length: status %d", w.Code)
	}
}
