package web

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"golang.org/x/net/html"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/internal/sample"
)

// visitor is a kind of reader.
type visitor struct {
	name string
	role auth.Role // "": no key exists, and the page is open
	user string    // that a reader is bound to
}

// visitors are all kinds of readers. The first is how everybody begins: a
// server on a loopback address that has no keys.
var visitors = []visitor{
	{name: "no key exists"},
	{"admin", auth.RoleAdmin, ""},
	{"auditor", auth.RoleAuditor, ""},
	{"reader", auth.RoleRead, ""},
	{"bound reader", auth.RoleRead, "u-0002"},
}

// guest is a visitor before a page where there is something to see on each.
type guest struct {
	visitor
	home    house
	page    http.Handler
	secret  string              // "": none is needed
	session func(*http.Request) // of who signed in
}

// receive lets a visitor in. The visitor without a key comes first, as the
// others' keys stay.
func (h house) receive(t *testing.T, who visitor) guest {
	t.Helper()
	g := guest{visitor: who, home: h, page: whole(t, h.store, still, h.open), session: func(*http.Request) {}}
	if who.role != "" {
		if existing, err := h.store.Keys(t.Context()); err != nil || len(existing) == 0 {
			must(t, err)
			furnishKeys(t, h.store)
		}
		_, g.secret = addKey(t, h.store, who.role, who.user)
		g.session = signedIn(t, g.page, g.secret)
	}
	return g
}

// enter opens a browser, and signs in where that is needed.
func (g guest) enter(t *testing.T) tab {
	t.Helper()
	b := browse(t, g.page)
	b.open("/")
	if g.secret != "" {
		b.do(chromedp.SendKeys(chromedp.CSS("#key"), g.secret))
		b.follow(chromedp.KeyEvent(kb.Enter))
		b.wait(`location.pathname === "/"`)
	}
	return b
}

// furnishedSample is a house with some hundred executions in SQLite.
func furnishedSample(t *testing.T) house {
	t.Helper()
	few := sample.Options{Seed: 3, Executions: 400, Users: 5, Strategies: 4, Since: now.AddDate(0, 0, -12), Until: now}
	store, err := fill(filepath.Join(t.TempDir(), "few.db"), few)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return populated(t, store)
}

// everyVisitor runs a test for each kind of visitor in turn.
func everyVisitor(t *testing.T, test func(*testing.T, guest)) {
	t.Helper()
	home := furnishedSample(t)
	for _, who := range visitors {
		t.Run(who.name, func(t *testing.T) { test(t, home.receive(t, who)) })
	}
}

// endless are pages that go on for ever.
var endless = []string{"GET /live"}

// TestEveryPageIsReachedByLinks crawls from the overview. Each visitor must
// come to every page that they may see, and to none that refuses them.
func TestEveryPageIsReachedByLinks(t *testing.T) {
	everyVisitor(t, func(t *testing.T, g guest) {
		reached := g.crawl(t)
		own := oneExecution(t, g.home.store, g.ownUser())
		for pattern, paths := range addresses(own) {
			if pattern == "/" || reached[pattern] {
				continue // that is where no page is
			}
			if slices.Contains(endless, pattern) {
				t.Errorf("nothing leads to %s", pattern)
				continue
			}
			paths := append(paths, g.home.session+"/session")
			if !strings.HasSuffix(pattern, "/session") {
				paths = paths[:1]
			}
			for _, path := range paths {
				if w := get(t, g.page, path, g.session); w.Code < http.StatusBadRequest {
					t.Errorf("%s answers with %d, but nothing leads to it", path, w.Code)
				}
			}
		}
	})
}

// ownUser is a user whose executions the guest sees.
func (g guest) ownUser() string {
	if g.user != "" {
		return g.user
	}
	return "u-0001"
}

// crawl follows every link from the overview, some of each kind of page, and
// returns the patterns of the pages that it came to.
func (g guest) crawl(t *testing.T) map[string]bool {
	t.Helper()
	const ofEach = 40
	mux := http.NewServeMux()
	for pattern := range pages {
		mux.Handle(pattern, http.NotFoundHandler())
	}
	waiting, seen, met := []string{"/"}, map[string]bool{"/": true}, map[string]int{}
	for len(waiting) > 0 {
		path := waiting[0]
		waiting = waiting[1:]
		_, pattern := mux.Handler(&http.Request{Method: http.MethodGet, URL: must1(t)(url.Parse(path))})
		if met[pattern]++; met[pattern] > ofEach || slices.Contains(endless, pattern) {
			continue
		}
		w := get(t, g.page, path, g.session)
		if w.Code >= http.StatusBadRequest {
			t.Errorf("a link leads to %s, which answers with %d", path, w.Code)
		}
		if to := w.Header().Get("Location"); to != "" {
			waiting = append(waiting, to)
		}
		if !isPage(w) {
			continue
		}
		for _, link := range parse(t, path, w).links() {
			if !seen[link] && !strings.HasPrefix(link, "/assets/") {
				seen[link], waiting = true, append(waiting, link)
			}
		}
	}
	reached := map[string]bool{}
	for pattern := range maps.Keys(met) {
		reached[pattern] = true
	}
	return reached
}

// isPage reports whether an answer is a page, not a file or the way to one.
func isPage(w *httptest.ResponseRecorder) bool {
	return w.Header().Get("Location") == "" && strings.HasPrefix(w.Header().Get("Content-Type"), "text/html")
}

// links are where a page leads, by links and by the streams of its scripts.
func (d doc) links() (paths []string) {
	for _, n := range d.find(func(n *html.Node) bool { return n.Data == "a" || attr(n, "data-live") != "" }) {
		to := n.attr("href") + n.attr("data-live")
		if path, _, _ := strings.Cut(to, "#"); strings.HasPrefix(path, "/") {
			paths = append(paths, path)
		}
	}
	return paths
}

func must1(t *testing.T) func(*url.URL, error) *url.URL {
	return func(u *url.URL, err error) *url.URL {
		t.Helper()
		must(t, err)
		return u
	}
}

// TestEveryVisitorFindsTheirWay wants the same frame around every answer, that
// of an error too.
func TestEveryVisitorFindsTheirWay(t *testing.T) {
	everyVisitor(t, func(t *testing.T, g guest) {
		for _, path := range allAddresses(oneExecution(t, g.home.store, g.ownUser())) {
			if path == "/live" {
				continue
			}
			w := get(t, g.page, path, g.session)
			if isPage(w) {
				checkNavigation(t, g, parse(t, path, w))
			}
		}
		for _, path := range []string{"/preferences", "/admin/keys"} {
			w := post(g.page, path, url.Values{"tz": {"nowhere"}}, g.session)
			checkNavigation(t, g, parse(t, "POST "+path, w))
		}
	})
}

func checkNavigation(t *testing.T, g guest, d doc) {
	t.Helper()
	nav := d.class("nav")
	if len(nav) != 1 {
		t.Errorf("%s: %d navigations", d.path, len(nav))
		return
	}
	audits := g.role == "" || g.role == auth.RoleAdmin || g.role == auth.RoleAuditor
	if got := slices.Contains(nav[0].links(), "/admin"); got != audits {
		t.Errorf("%s: the navigation leads to the administration: %t", d.path, got)
	}
	if got := len(d.having("action")) > 0 && strings.Contains(d.text(), "Sign out"); got != (g.role != "") {
		t.Errorf("%s: offers to sign out: %t", d.path, got)
	}
}

// TestRefusalsAreInTheAccessLog asks for every page and sends every form as
// each kind of visitor, and as one without a key where there are keys. Each
// refusal is in the log once, under the name of whom it met, and nothing else.
func TestRefusalsAreInTheAccessLog(t *testing.T) {
	home := furnishedSample(t)
	for _, who := range append(visitors, visitor{name: "stranger", role: auth.RoleRead}) {
		t.Run(who.name, func(t *testing.T) {
			g := home.receive(t, who)
			actor := "a " + string(who.role) + " key"
			if who.name == "stranger" {
				g.session, actor = func(*http.Request) {}, "anonymous"
			}
			before := map[sandtrail.ID]bool{}
			newDenials(t, home.store, before)
			asked := func(path string, w *httptest.ResponseRecorder) {
				t.Helper()
				refused := w.Code == http.StatusForbidden || w.Code == http.StatusUnauthorized || strings.HasPrefix(w.Header().Get("Location"), "/sign-in")
				added := newDenials(t, home.store, before)
				if len(added) != map[bool]int{true: 1, false: 0}[refused] {
					t.Errorf("%s: status %d, and %d lines in the access log", path, w.Code, len(added))
				} else if refused && (added[0].Actor != actor || added[0].Remote == "" || added[0].Action == "" || added[0].Detail == "") {
					t.Errorf("%s: the line %+v, want one of %s", path, added[0], actor)
				}
			}
			for pattern, paths := range addresses(oneExecution(t, home.store, g.ownUser())) {
				if !slices.Contains(endless, pattern) {
					asked(paths[0], get(t, g.page, paths[0], g.session))
				}
			}
			for pattern := range acts {
				if who.role == auth.RoleAdmin || who.role == "" {
					continue // TestEveryFormAnswersWithAWay sends them
				}
				_, path, _ := strings.Cut(strings.ReplaceAll(pattern, "{id}", sandtrail.NewID(now).String()), " ")
				asked(pattern, post(g.page, path, tries[pattern].form, g.session))
			}
		})
	}
}

// newDenials are the refusals of the access log that are not among those known,
// which it adds them to.
func newDenials(t *testing.T, store auth.AccessLog, known map[sandtrail.ID]bool) (added []auth.Access) {
	t.Helper()
	lines, err := store.Accesses(t.Context(), auth.AccessQuery{Outcome: auth.Denied, Limit: sandtrail.MaxLimit})
	must(t, err)
	for _, line := range lines {
		if !known[line.ID] {
			known[line.ID], added = true, append(added, line)
		}
	}
	return added
}

func TestRefusedSignInsAreInTheAccessLog(t *testing.T) {
	store := emptyStore(t)
	_, writer := addKey(t, store, auth.RoleIngest, "")
	h, known := whole(t, store, still), map[sandtrail.ID]bool{}
	for key, actor := range map[string]string{"st_wrong": "anonymous", writer: "a ingest key"} {
		post(h, "/sign-in", url.Values{"key": {key}})
		if line := newDenials(t, store, known)[0]; line.Action != "sign in" || line.Actor != actor || strings.Contains(line.Object+line.Detail, key) {
			t.Errorf("the line of %s is %+v", actor, line)
		}
	}
	post(h, "/sign-out", nil, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	if line := newDenials(t, store, known)[0]; line.Action != "POST /sign-out" || !strings.Contains(line.Detail, "another site") {
		t.Errorf("the line of another site's form is %+v", line)
	}
}
