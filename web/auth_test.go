package web

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/internal/sample"
	"github.com/sandtrail/sandtrail/sqlite"
)

// addKey makes a key in the store and returns its secret.
func addKey(t *testing.T, store auth.Keyring, role auth.Role, user string) (auth.Key, string) {
	t.Helper()
	key, secret := auth.NewKey("a "+string(role)+" key", role, user, now)
	if err := store.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	return key, secret
}

// post sends a form as the page itself would.
func post(h http.Handler, path string, form url.Values, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// signedIn signs in and returns what adds the session to a request.
func signedIn(t *testing.T, h http.Handler, secret string) func(*http.Request) {
	t.Helper()
	w := post(h, "/sign-in", url.Values{"key": {secret}})
	for _, c := range w.Result().Cookies() {
		if c.Name == sessionCookie {
			return func(r *http.Request) { r.AddCookie(c) }
		}
	}
	t.Fatalf("sign-in answered %d without a session\n%s", w.Code, w.Body)
	return nil
}

func TestEveryPageAsksToSignIn(t *testing.T) {
	store := emptyStore(t)
	h := whole(t, store, still)
	page(t, h, "/", http.StatusOK) // no key exists yet
	addKey(t, store, auth.RoleAdmin, "")
	for _, path := range allAddresses(sandtrail.Execution{ID: sandtrail.NewID(now), UserID: "u", StrategyID: "s"}) {
		w := get(t, h, path)
		to, err := url.Parse(w.Header().Get("Location"))
		if err != nil || w.Code != http.StatusSeeOther || to.Path != "/sign-in" {
			t.Errorf("%s: status %d to %q", path, w.Code, to)
			continue
		}
		if next := to.Query().Get("next"); next != path && path != "/" {
			t.Errorf("%s: next is %q", path, next)
		}
	}
}

func TestSignIn(t *testing.T) {
	store := emptyStore(t)
	clock := now
	h := whole(t, store, func() time.Time { return clock })
	_, reader := addKey(t, store, auth.RoleRead, "")
	_, writer := addKey(t, store, auth.RoleIngest, "")
	revoked, gone := addKey(t, store, auth.RoleAdmin, "")

	for name, test := range map[string]struct {
		key    string
		status int
		says   string
	}{
		"nothing":   {"", http.StatusUnauthorized, "not known"},
		"unknown":   {"st_nonsense", http.StatusUnauthorized, "not known"},
		"writer":    {writer, http.StatusForbidden, "can only write"},
		"very long": {strings.Repeat("x", 1<<20), http.StatusUnauthorized, "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			w := post(h, "/sign-in", url.Values{"key": {test.key}})
			if w.Code != test.status || len(w.Result().Cookies()) > 0 {
				t.Errorf("status %d, want %d; cookies %v", w.Code, test.status, w.Result().Cookies())
			}
			parse(t, "/sign-in", w).wantText(t, test.says)
		})
	}

	t.Run("cookie", func(t *testing.T) {
		w := post(h, "/sign-in", url.Values{"key": {reader}, "next": {"/executions?outcome=failed"}}, func(r *http.Request) {
			r.Header.Set("X-Forwarded-Proto", "https")
		})
		if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/executions?outcome=failed" {
			t.Errorf("status %d to %q", w.Code, to)
		}
		c := w.Result().Cookies()[0]
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || !c.Secure || c.Path != "/" || strings.Contains(c.Value, reader) {
			t.Errorf("cookie %v", c)
		}
	})

	t.Run("revoked", func(t *testing.T) {
		session := signedIn(t, h, gone)
		page(t, h, "/admin", http.StatusOK, session)
		if err := store.RevokeKey(t.Context(), revoked.ID, now); err != nil {
			t.Fatal(err)
		}
		if w := get(t, h, "/", session); w.Code != http.StatusSeeOther {
			t.Errorf("status %d with a revoked key", w.Code)
		}
	})

	t.Run("sign out", func(t *testing.T) {
		session := signedIn(t, h, reader)
		page(t, h, "/", http.StatusOK, session)
		post(h, "/sign-out", nil, session)
		if w := get(t, h, "/", session); w.Code != http.StatusSeeOther {
			t.Errorf("status %d after signing out", w.Code)
		}
	})

	t.Run("expired session", func(t *testing.T) {
		session := signedIn(t, h, reader)
		clock = now.Add(sessionLength)
		if w := get(t, h, "/", session); w.Code != http.StatusSeeOther {
			t.Errorf("status %d after %s", w.Code, sessionLength)
		}
	})
}

func TestFormsFromOtherSitesAreRefused(t *testing.T) {
	h := Handler(options(t))
	for _, path := range []string{"/sign-in", "/sign-out", "/preferences"} {
		w := post(h, path, nil, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
		if w.Code != http.StatusForbidden {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestLinkFromAnotherSiteIsRepeatedFromOurs(t *testing.T) {
	store := emptyStore(t)
	addKey(t, store, auth.RoleAdmin, "")
	h := whole(t, store, still)
	p := page(t, h, "/executions?outcome=failed", http.StatusOK, func(r *http.Request) {
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
	})
	if metas := p.having("http-equiv"); len(metas) != 1 || metas[0].attr("http-equiv") != "refresh" {
		t.Error("the page does not repeat itself")
	}
	if nav := p.class("nav"); len(nav) != 0 {
		t.Error("the page shows more than it may")
	}
}

func TestNextStaysHere(t *testing.T) {
	for next, want := range map[string]string{
		"/executions?outcome=failed": "/executions?outcome=failed", "": "/", "https://example.com/": "/", "//example.com": "/",
		`/\example.com`: "/", "javascript:alert(1)": "/", "executions": "/", "/\n/example.com": "/", "/%zz": "/",
	} {
		if got := localPath(next); got != want {
			t.Errorf("localPath(%q) = %q, want %q", next, got, want)
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s := newSessions(still, sessionLength)
	for range maxSessions + 10 {
		s.start("key")
	}
	if len(s.open) > maxSessions {
		t.Errorf("%d sessions are open, want at most %d", len(s.open), maxSessions)
	}
	if last := s.start("last"); s.secret(last) != "last" {
		t.Error("the newest session is not open")
	}
}

func TestPreferences(t *testing.T) {
	h := Handler(options(t))
	w := post(h, "/preferences", url.Values{"theme": {"dark"}, "tz": {"Europe/Paris"}, "next": {"/alerts"}})
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/alerts" {
		t.Errorf("status %d to %q", w.Code, to)
	}
	p := page(t, h, "/alerts", http.StatusOK, func(r *http.Request) {
		for _, c := range w.Result().Cookies() {
			r.AddCookie(c)
		}
	})
	if root := p.tag("html")[0]; root.attr("data-theme") != "dark" || root.attr("data-zone") != "Europe/Paris" {
		t.Errorf("the page has %v", root.Attr)
	}
	if w := post(h, "/preferences", url.Values{"tz": {"Mars/Olympus"}}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("status %d for an unknown zone", w.Code)
	}
}

// TestBoundReaderSeesOnlyTheirOwn compares every page that a bound reader can
// ask for over two stores: one with everybody's records, one that never knew
// of anybody else. They must not differ in a single byte.
func TestBoundReaderSeesOnlyTheirOwn(t *testing.T) {
	const bound = "u-0002"
	small := sample.Options{Seed: 5, Executions: 3000, Users: 6, Strategies: 10, Since: now.AddDate(0, 0, -12), Until: now}
	everybody, err := fill(filepath.Join(t.TempDir(), "everybody.db"), small)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { everybody.Close() })
	alone := onlyOf(t, small, bound)

	foreign := oneExecution(t, everybody, "u-0001")
	own := oneExecution(t, everybody, bound)
	all := append(allAddresses(own), allAddresses(foreign)...)
	all = append(all, "/executions?userId=u-0001", "/executions?userId="+bound, "/strategies/"+foreign.StrategyID, "/users/none")

	crowded, private := whole(t, everybody, still), whole(t, alone, still)
	_, a := addKey(t, everybody, auth.RoleRead, bound)
	_, b := addKey(t, alone, auth.RoleRead, bound)
	inCrowd, inPrivate := signedIn(t, crowded, a), signedIn(t, private, b)
	for _, path := range all {
		if path == "/live" {
			continue // never ends; TestForwardAsksInTheReadersName sees whom it follows
		}
		got, want := get(t, crowded, path, inCrowd), get(t, private, path, inPrivate)
		if path == "/executions/"+own.ID.String()+"/receipt" || path == "/executions/"+own.ID.String()+"/proof" {
			if got.Code != http.StatusOK || bytes.Contains(got.Body.Bytes(), []byte("u-0001")) {
				t.Errorf("%s: status %d", path, got.Code)
			}
			continue // a path through the tree of all records, which names none
		}
		if got.Code != want.Code || !bytes.Equal(got.Body.Bytes(), want.Body.Bytes()) {
			t.Errorf("%s: the others' records show: status %d and %d\n%s", path, got.Code, want.Code,
				firstDifference(got.Body.String(), want.Body.String()))
		}
	}
	for _, path := range []string{"/executions/" + foreign.ID.String(), "/users/u-0001", "/executions?userId=u-0001"} {
		page(t, crowded, path, http.StatusNotFound, inCrowd)
	}
	page(t, crowded, "/executions/"+own.ID.String(), http.StatusOK, inCrowd)
}

// onlyOf is a store with the records of one user of the sample.
func onlyOf(t *testing.T, options sample.Options, user string) *sqlite.Store {
	t.Helper()
	store := emptyStore(t)
	s := sample.New(options)
	put := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range s.Users() {
		if u.ID == user {
			put(store.PutUser(t.Context(), u))
		}
	}
	ran := map[string]bool{}
	var own []sandtrail.Admitted
	for batch, err := range s.Admit(1000) {
		put(err)
		for _, a := range batch {
			if a.Execution.UserID == user {
				own = append(own, a)
				ran[a.Execution.StrategyID] = true
			}
		}
	}
	for _, st := range s.Strategies() {
		if ran[st.ID] {
			put(store.PutStrategy(t.Context(), st))
		}
	}
	_, err := store.Append(t.Context(), own)
	put(err)
	put(store.Maintain(t.Context(), now))
	return store
}

func oneExecution(t testing.TB, store sandtrail.Reader, user string) sandtrail.Execution {
	t.Helper()
	page, err := store.Executions(t.Context(), sandtrail.Query{Filter: sandtrail.Filter{UserID: user}, Limit: 1}, now)
	if err != nil || len(page.Items) == 0 {
		t.Fatalf("no execution of %s: %v", user, err)
	}
	return page.Items[0]
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] + "\n" + y[i]
		}
	}
	return "one is longer"
}

func TestForwardAsksInTheReadersName(t *testing.T) {
	store := emptyStore(t)
	_, bound := addKey(t, store, auth.RoleRead, "u1")
	var asked *http.Request
	h := Handler(Options{
		Store: store, Now: still, Authenticator: Keyring(store, still),
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked = r }),
	})
	session := signedIn(t, h, bound)
	get(t, h, "/export?format=csv&outcome=crashed&within=1h&minTime=2s&text=x+y&until=2026-11-24T15:00&userId=", session)
	want := url.Values{
		"format": {"csv"}, "success": {"false"}, "timedOut": {"false"}, "since": {"2026-11-24T14:20:00Z"},
		"until": {"2026-11-24T15:00:00Z"}, "minTime": {"2000"}, "text": {"x y"}, "userId": {"u1"},
	}
	if got := asked.URL.Query(); asked.URL.Path != "/v1/export" || got.Encode() != want.Encode() {
		t.Errorf("asked for %s", asked.URL)
	}
	if got := asked.Header.Get("Authorization"); got != "Bearer "+bound {
		t.Errorf("Authorization: %q", got)
	}
	if slices.Contains(asked.Header.Values("Cookie"), sessionCookie) || asked.Header.Get("Cookie") != "" {
		t.Error("the session's cookie was passed on")
	}
	get(t, h, "/live?strategyId=s1", session)
	if asked.URL.String() != "/v1/executions/stream?strategyId=s1&userId=u1" {
		t.Errorf("asked for %s", asked.URL)
	}
}

// emptied is keys that were made once, and of which the database knows nothing any more.
type emptied struct {
	auth.Keyring
	empty bool
}

func (e *emptied) Keyed(ctx context.Context) (bool, error) {
	if e.empty {
		return false, nil
	}
	return e.Keyring.Keyed(ctx)
}

func TestDeletingKeysOpensNothing(t *testing.T) {
	store := emptyStore(t)
	keys := &emptied{Keyring: store}
	h := Handler(Options{Store: store, Now: still, Authenticator: Keyring(keys, still)})
	if got := get(t, h, "/executions"); got.Code != http.StatusOK {
		t.Fatalf("without keys: status %d", got.Code)
	}
	addKey(t, store, auth.RoleRead, "")
	for _, keys.empty = range []bool{false, true} {
		if got := get(t, h, "/executions"); got.Code == http.StatusOK {
			t.Errorf("open to a visitor without a key; rows deleted: %v", keys.empty)
		}
	}
}
