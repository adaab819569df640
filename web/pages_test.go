package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/human"
)

// addresses has at least one address for every page.
func addresses(e sandtrail.Execution) map[string][]string {
	return map[string][]string{
		"GET /{$}":                     {"/", "/?window=1h", "/?window=7d", "/?window=90d&tz=Asia/Kolkata", "/?since=2026-11-01T00:00&until=2026-11-05T12:00", "/?window=bad", "/?since=bad"},
		"GET /executions":              {"/executions", "/executions?outcome=failed&within=24h&minTime=100ms&text=error", "/executions?outcome=bad&since=x&minTime=y"},
		"GET /executions/{id}":         {"/executions/" + e.ID.String()},
		"GET /strategies":              {"/strategies", "/strategies?sort=failures&window=24h", "/strategies?view=all"},
		"GET /strategies/{id}":         {"/strategies/" + e.StrategyID, "/strategies/" + e.StrategyID + "?window=7d"},
		"GET /users":                   {"/users", "/users?sort=failures", "/users?view=all"},
		"GET /users/{id}":              {"/users/" + e.UserID, "/users/" + e.UserID + "?window=1h"},
		"GET /alerts":                  {"/alerts"},
		"GET /executions/{id}/receipt": {"/executions/" + e.ID.String() + "/receipt"},
		"GET /executions/{id}/session": {"/executions/" + e.ID.String() + "/session"},
		"GET /executions/{id}/proof":   {"/executions/" + e.ID.String() + "/proof"},
		"GET /checkpoint":              {"/checkpoint"},
		"GET /admin":                   {"/admin"},
		"GET /admin/keys":              {"/admin/keys"},
		"GET /admin/access-log":        {"/admin/access-log", "/admin/access-log?actor=x&outcome=denied", "/admin/access-log?outcome=bad&cursor=x"},
		"GET /admin/examination":       {"/admin/examination"},
		"GET /export":                  {"/export?format=csv"},
		"GET /live":                    {"/live"},
		"/":                            {"/no/such/page"},
	}
}

func allAddresses(e sandtrail.Execution) []string {
	var all []string
	for _, list := range addresses(e) {
		all = append(all, list...)
	}
	return slices.Sorted(slices.Values(all))
}

func TestEveryPageHasAnAddressHere(t *testing.T) {
	known := addresses(sandtrail.Execution{})
	for pattern := range pages {
		if len(known[pattern]) == 0 {
			t.Errorf("%s is missing from addresses", pattern)
		}
	}
}

func TestHeadersAndMarkupOfEveryPage(t *testing.T) {
	everyVisitor(t, func(t *testing.T, g guest) {
		for _, path := range allAddresses(newestIn(t, g.home.store, sandtrail.Filter{UserID: g.ownUser(), Success: new(false)})) {
			checkAnswer(t, g, path)
		}
	})
}

func checkAnswer(t *testing.T, g guest, path string) {
	t.Helper()
	if path == "/live" {
		return // never ends
	}
	w := get(t, g.page, path, g.session)
	if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("%s: policy %q", path, policy)
	}
	if isPage(w) {
		checkMarkup(t, parse(t, path, w))
	}
}

// checkMarkup wants nothing that the policy would block, and no id twice.
func checkMarkup(t *testing.T, d doc) {
	t.Helper()
	ids := map[string]bool{}
	for _, n := range d.find(func(*html.Node) bool { return true }) {
		for _, a := range n.Attr {
			switch {
			case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
				t.Errorf("%s: <%s> has the attribute %s", d.path, n.Data, a.Key)
			case a.Key == "src" || a.Key == "href" || a.Key == "action":
				if u, err := url.Parse(a.Val); err != nil || u.Host != "" || u.Scheme != "" {
					t.Errorf("%s: <%s> leads to %q", d.path, n.Data, a.Val)
				}
			case a.Key == "id":
				if ids[a.Val] {
					t.Errorf("%s: the id %q comes twice", d.path, a.Val)
				}
				ids[a.Val] = true
			}
			if strings.Contains(a.Val, "ZgotmplZ") || strings.Contains(a.Val, "NaN") {
				t.Errorf("%s: <%s %s=%q>", d.path, n.Data, a.Key, a.Val)
			}
		}
		if n.Data == "script" && n.attr("src") == "" || n.Data == "style" {
			t.Errorf("%s: inline <%s>", d.path, n.Data)
		}
	}
	drawn := d.having("blocking")
	if len(drawn) != 1 || drawn[0].attr("rel") != "expect" || drawn[0].attr("href") != "#"+d.tag("footer")[0].attr("id") {
		t.Errorf("%s: the browser does not wait for the footer", d.path)
	}
	if len(d.tag("h1")) != 1 {
		t.Errorf("%s: %d headings of the first level", d.path, len(d.tag("h1")))
	}
}

func TestOverview(t *testing.T) {
	h := Handler(options(t))
	p := page(t, h, "/", http.StatusOK)
	stats, err := sampleStore(t).WindowStats(t.Context(), sandtrail.Window{Since: now.Add(-24*time.Hour + time.Millisecond), Until: now.Add(time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	values := p.class("tile-value")
	want := []string{
		human.Count(stats.Total), formatPercent(sandtrail.Rate(stats.Successful, stats.Total)),
		human.Count(stats.TimedOut), formatMillis(stats.P95Time),
	}
	for i, tile := range values {
		if got := tile.text(); got != plain(want[i]) {
			t.Errorf("tile %d says %q, want %q", i, got, want[i])
		}
	}
	if len(values) != len(want) {
		t.Errorf("%d tiles, want %d", len(values), len(want))
	}
	p.wantText(t, "Failing strategies", "Busiest users", "high-failure-rate", "Last execution")
	if n := len(p.class("slot")); n != 25 {
		t.Errorf("%d bars over 24 hours that begin within an hour, want 25", n)
	}
}

func TestWhatNeverFailedIsNotAmongTheFailing(t *testing.T) {
	store := emptyStore(t)
	record(t, store) // which succeeded
	page(t, Handler(Options{Store: store, Now: still}), "/", http.StatusOK).wantText(t, "Nothing failed in the last 24 hours")
}

func TestOverviewTellsOfAnAlert(t *testing.T) {
	o := options(t)
	rule := alert.DefaultRule()
	rule.Threshold = 0.5
	o.Rules = []alert.Rule{rule}
	p := page(t, Handler(o), "/", http.StatusOK)
	if alerts := p.class("alert"); len(alerts) != 1 || !strings.Contains(alerts[0].text(), "high-failure-rate") {
		t.Errorf("%d alerts, want the one that fires", len(alerts))
	}
}

func TestRuleOfAnOwnerWhoDoesNotExist(t *testing.T) {
	o := options(t)
	o.Rules = []alert.Rule{alert.DefaultRule()}
	o.Rules[0].StrategyID = "none"
	page(t, Handler(o), "/alerts", http.StatusOK).wantText(t, "The rule counts nothing: its user or strategy does not exist.")
}

func TestDaysAreThoseOfTheReader(t *testing.T) {
	h := Handler(options(t))
	// Half past three in the afternoon UTC is past nine in the evening there.
	p := page(t, h, "/executions?within=1h", http.StatusOK, func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: zoneCookie, Value: "Asia/Kolkata"})
	})
	if at := p.tag("time")[0].attr("title"); !strings.Contains(at, "IST") || !strings.Contains(at, "20:4") && !strings.Contains(at, "20:5") {
		t.Errorf("exact time %q, want one in India's zone", at)
	}
}

func TestEmptyStoreTeaches(t *testing.T) {
	h := Handler(Options{Store: emptyStore(t), Now: func() time.Time { return now }})
	for path, lesson := range map[string]string{
		"/": "sandtrail exec", "/executions": "sandtrail exec",
		"/strategies?view=all": "sandtrail strategies add", "/users?view=all": "sandtrail users add",
	} {
		page(t, h, path, http.StatusOK).wantText(t, lesson)
	}
}

func TestPagesOfWhatIsNotThere(t *testing.T) {
	h := Handler(options(t))
	for _, path := range []string{
		"/executions/01a20d94-d429-7c44-89d3-d0a3e6216542", "/executions/nonsense", "/strategies/none", "/users/none", "/none", "/admin", "/export", "/live",
	} {
		page(t, h, path, http.StatusNotFound).wantText(t, "Not found")
	}
}

func TestWalkingTheListMeetsEveryExecutionOnce(t *testing.T) {
	h := Handler(options(t))
	seen := map[string]bool{}
	pages := 0
	for path := "/executions?strategyId=s-0003&within=7d"; path != ""; pages++ {
		p := page(t, h, path, http.StatusOK)
		path = ""
		for _, link := range p.class("cover") {
			if seen[link.attr("href")] {
				t.Fatalf("%s comes twice", link.attr("href"))
			}
			seen[link.attr("href")] = true
		}
		for _, a := range p.tag("a") {
			if a.attr("rel") == "next" {
				path = a.attr("href")
			}
		}
	}
	stats, err := sampleStore(t).WindowStats(t.Context(), sandtrail.Window{
		StrategyID: "s-0003", Since: now.Add(-7 * 24 * time.Hour), Until: now.Add(time.Hour),
	})
	if err != nil || int64(len(seen)) != stats.Total || pages < 3 {
		t.Errorf("met %d executions on %d pages, want %d (%v)", len(seen), pages, stats.Total, err)
	}
}

func TestFilterProblemsStandBesideTheForm(t *testing.T) {
	p := page(t, Handler(options(t)), "/executions?minTime=soon&since=yesterday&outcome=failed", http.StatusUnprocessableEntity)
	p.wantText(t, "minTime: must be a length of time", "since: must be a time such as")
	if got := p.id(t, "minTime"); got.attr("aria-invalid") != "true" || got.attr("value") != "soon" {
		t.Errorf("the field minTime is not marked: %v", got.Attr)
	}
	foreign := page(t, Handler(options(t)), "/executions?cursor=abc", http.StatusUnprocessableEntity)
	foreign.wantText(t, "cursor")
}

func TestSearchForAnIdOpensTheExecution(t *testing.T) {
	id := newestOf(t, sandtrail.Filter{}).ID.String()
	w := get(t, Handler(options(t)), "/executions?text=+"+id+"+")
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/executions/"+id {
		t.Errorf("status %d to %q", w.Code, to)
	}
}

func TestExecution(t *testing.T) {
	e := newestOf(t, sandtrail.Filter{StrategyID: "s-0003", Text: "pandas_ta"})
	p := page(t, Handler(options(t)), "/executions/"+e.ID.String(), http.StatusOK)
	p.wantText(t, "Failed", "ModuleNotFoundError No module named 'pandas_ta'", "line 4, column 8", "Traceback",
		"Add pandas_ta to the sandbox image", "Measured by cgroup2", "sha256", "Exit code 1", e.ID.String())
	p.wantText(t, plain(formatCPUTime(e.Costs().CPUSeconds))+" of CPU time", plain(formatMemoryTime(e.Costs().MemoryMiBSeconds)))
	if older, newer := p.having("data-older"), p.having("data-newer"); len(older) != 1 || len(newer) != 0 {
		t.Errorf("the newest execution of a strategy has %d older neighbours and %d newer ones", len(older), len(newer))
	}
}

func TestStrategy(t *testing.T) {
	h := Handler(options(t))
	p := page(t, h, "/strategies/s-0003", http.StatusOK)
	p.wantText(t, "Failing since", "in a row", "Last 100 executions", "Users newest", "p99")
	stats, err := sampleStore(t).StrategyStats(t.Context(), "s-0003")
	if err != nil {
		t.Fatal(err)
	}
	p.wantText(t, "CPU time "+plain(formatCPUTime(stats.Sum.CPUSeconds))+" "+human.Count(stats.Measured.CPUUsage)+" measured",
		"Memory × time "+plain(formatMemoryTime(stats.Sum.MemoryMiBSeconds))+" "+human.Count(stats.Measured.MemoryUsed)+" measured")
	if alert := p.class("alert"); len(alert) != 1 {
		t.Fatalf("%d alerts on the page of a failing strategy", len(alert))
	}
	page(t, h, p.class("alert")[0].attr("href"), http.StatusOK).wantText(t, "pandas_ta")
	if cells := p.class("strip")[0].tag("a"); len(cells) != 100 {
		t.Errorf("the strip shows %d executions, want 100", len(cells))
	}
}

func TestUser(t *testing.T) {
	p := page(t, Handler(options(t)), "/users/u-0001", http.StatusOK)
	stats, err := sampleStore(t).UserStats(t.Context(), "u-0001")
	if err != nil {
		t.Fatal(err)
	}
	p.wantText(t, "Ada Okafor", "ada.okafor@example.com", human.Count(stats.TotalExecutions), plain(formatPercent(stats.SuccessRate)),
		"CPU time "+plain(formatCPUTime(stats.Sum.CPUSeconds)), "Memory × time "+plain(formatMemoryTime(stats.Sum.MemoryMiBSeconds)))
}

// failing is a store whose every answer is an error.
type failing struct {
	Store
	err error
}

func (f failing) Executions(context.Context, sandtrail.Query, time.Time) (sandtrail.Page, error) {
	return sandtrail.Page{}, f.err
}

func TestErrorsSayWhatToDo(t *testing.T) {
	tests := map[string]struct {
		err    error
		status int
		says   string
	}{
		"out of reach": {&sandtrail.Error{Code: sandtrail.CodeUnavailable, Message: "out of reach", Private: "connection to secret.example.com refused"}, http.StatusServiceUnavailable, "sandtrail doctor"},
		"ours":         {errors.New("secret detail"), http.StatusInternalServerError, "Reload the page"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			o.Store = failing{o.Store, fmt.Errorf("list: %w", test.err)}
			p := page(t, Handler(o), "/", test.status)
			p.wantText(t, test.says)
			if strings.Contains(p.text(), "secret") {
				t.Error("the page tells internals")
			}
		})
	}
}

// The page and the API give the same status for the same error.
func TestPagesHaveTheStatusesOfTheAPI(t *testing.T) {
	for _, m := range api.Meanings() {
		o := options(t)
		o.Store = failing{o.Store, sandtrail.Errorf(m.Code, "as it is")}
		p := page(t, Handler(o), "/", m.Status)
		if heading := p.text(); strings.Contains(heading, "Go back and try again") {
			t.Errorf("%s: the page does not say what to do: %s", m.Code, heading)
		}
	}
}

func TestAssetsAreKeptForGood(t *testing.T) {
	h := Handler(options(t))
	p := page(t, h, "/", http.StatusOK)
	links := loads(p)
	for _, link := range links {
		w := get(t, h, link)
		if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: status %d, %v", link, w.Code, w.Header())
		}
		if stale := get(t, h, link+"x"); strings.Contains(stale.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%sx is kept for good under a wrong version", link)
		}
	}
	if !slices.ContainsFunc(links, func(l string) bool { return strings.HasPrefix(l, "/assets/inter.woff2?v=") }) {
		t.Errorf("the typeface is not among %v", links)
	}
	if w := get(t, h, "/assets/none.css"); w.Code != http.StatusNotFound {
		t.Errorf("status %d for a file that does not exist", w.Code)
	}
	if got := slices.Sorted(maps.Keys(newAssets().files)); len(got) != 8 {
		t.Errorf("files %v", got)
	}
}

// pagesAreLight adds up what a browser with an empty cache loads for each
// page, compressed as the server does it.
func pagesAreLight(t *testing.T, home house) {
	const most = 150 << 10
	h := whole(t, home.store, still, home.open)
	weigh := func(path string) (int, *httptest.ResponseRecorder) {
		w := get(t, h, path, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
		return w.Body.Len(), w
	}
	heaviest, files := 0, map[string]int{}
	for _, path := range append(allAddresses(newestIn(t, home.store, sandtrail.Filter{})), home.session) {
		if path == "/live" || strings.HasPrefix(path, "/export") {
			continue // no pages
		}
		size, w := weigh(path)
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			continue
		}
		for _, link := range loads(parse(t, path, get(t, h, path))) {
			if files[link] == 0 {
				files[link], _ = weigh(link)
			}
			size += files[link]
		}
		heaviest = max(heaviest, size)
		if size > most {
			t.Errorf("%s weighs %d bytes, want at most %d", path, size, most)
		}
	}
	t.Logf("the heaviest page weighs %d bytes, of which these are files: %v", heaviest, files)
}

// loads lists the files that a page loads by itself.
func loads(page doc) (links []string) {
	for _, n := range append(page.tag("link"), page.tag("script")...) {
		if link := cmp.Or(n.attr("href"), n.attr("src")); !strings.HasPrefix(link, "#") {
			links = append(links, link)
		}
	}
	return links
}
