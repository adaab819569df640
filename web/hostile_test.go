package web

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/net/html"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/sample"
)

// hostileGuest is an administrator of a server where every text is hostile.
func hostileGuest(t *testing.T) guest {
	t.Helper()
	store := emptyStore(t)
	if _, err := sample.StoreHostile(t.Context(), store, now); err != nil {
		t.Fatal(err)
	}
	var rules []alert.Rule
	for i, h := range sample.Hostile() {
		furnishHostile(t, store, i, h.Text)
		rules = append(rules, alert.Rule{
			Name: sample.HostileStrategies()[i].ID, Metric: alert.FailureRate, Window: time.Hour, Threshold: 1e300,
			StrategyID: sample.HostileStrategies()[i].ID,
		})
	}
	rules[1].Metric, rules[2].Metric, rules[3].Metric = alert.TimeoutRate, alert.P95Time, alert.NoExecutions
	home := house{store: store, open: func(o *Options) {
		o.Rules = rules
		o.Retention.Strategies = map[string]time.Duration{}
		for _, s := range sample.HostileStrategies() {
			o.Retention.Strategies[s.ID] = 365 * 24 * time.Hour
		}
	}}
	return home.receive(t, visitor{name: "admin", role: auth.RoleAdmin})
}

// furnishHostile puts a text into every field that an application, an
// administrator or a caller fills beside executions.
func furnishHostile(t *testing.T, store fullStore, i int, text string) {
	t.Helper()
	user, strategy := sample.HostileUsers()[i].ID, sample.HostileStrategies()[i].ID
	at := now.Add(-time.Duration(i) * time.Minute)
	key, _ := auth.NewKey(text, auth.RoleRead, user, at)
	must(t, store.CreateKey(t.Context(), key))
	must(t, store.PutHold(t.Context(), sandtrail.Hold{Subject: sandtrail.Users, SubjectID: user, Reason: text, CreatedBy: text, CreatedAt: at}))
	must(t, store.PutHold(t.Context(), sandtrail.Hold{Subject: sandtrail.Strategies, SubjectID: strategy, Reason: text, CreatedBy: text, CreatedAt: at}))
	must(t, store.CreateSilence(t.Context(), alert.Silence{
		ID: sandtrail.NewID(at), Rule: strategy, Reason: text, CreatedBy: text, CreatedAt: at, Until: now.Add(time.Hour),
	}))
	must(t, store.LogAccess(t.Context(), auth.Access{
		ID: sandtrail.NewID(at), At: at, Actor: text, Action: text, Object: text, Outcome: auth.Denied, Detail: text, Remote: text,
	}))
	event := alert.Event{ID: sandtrail.NewID(at), At: at, Rule: strategy, Firing: true, Message: text}
	must(t, store.PutAlertState(t.Context(), alert.State{Rule: strategy, Firing: true, Since: at, Event: &event.ID}, &event))
	must(t, store.PutAlertDelivery(t.Context(), event.ID, alert.Delivery{Channel: text, Attempts: 1 << 30, At: at, Error: text}))
}

// hostilePaths are the pages that show hostile text.
func hostilePaths(t *testing.T, g guest) []string {
	t.Helper()
	paths := []string{
		"/", "/executions", "/strategies", "/strategies?view=all", "/users", "/users?view=all", "/alerts",
		"/admin", "/admin/keys", "/admin/access-log", "/admin/examination",
	}
	found, err := g.home.store.Executions(t.Context(), sandtrail.Query{Limit: 100}, now)
	must(t, err)
	for _, e := range found.Items {
		paths = append(paths, "/executions/"+e.ID.String())
	}
	for i, h := range sample.Hostile() {
		text := url.QueryEscape(h.Text)
		paths = append(paths, "/strategies/"+url.PathEscape(sample.HostileStrategies()[i].ID), "/users/"+url.PathEscape(sample.HostileUsers()[i].ID),
			fmt.Sprintf("/executions?text=%[1]s&userId=%[1]s&strategyId=%[1]s&within=%[1]s&since=%[1]s", text),
			fmt.Sprintf("/admin/access-log?actor=%[1]s&action=%[1]s", text), "/"+url.PathEscape(h.Text))
	}
	return paths
}

// TestNothingIsHiddenOnAPage wants every character to be seen that hides or
// reorders text, and none of the texts to become markup.
func TestNothingIsHiddenOnAPage(t *testing.T) {
	g := hostileGuest(t)
	for _, path := range hostilePaths(t, g) {
		w := get(t, g.page, path, g.session)
		d := parse(t, path, w)
		checkMarkup(t, d)
		for n := range d.Descendants() {
			if n.Type == html.TextNode && human.Hidden(n.Data) {
				t.Errorf("%s: hidden characters in %q", path, n.Data)
			}
			for _, a := range n.Attr {
				if slices.Contains([]string{"title", "aria-label", "placeholder"}, a.Key) && human.Hidden(a.Val) {
					t.Errorf("%s: hidden characters in %s=%q", path, a.Key, a.Val)
				}
			}
		}
		if w.Code >= 500 {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

// illWritten is a figure whose thousands are not apart or that ends in zeros
// that say nothing.
var illWritten = regexp.MustCompile(`(^|[^\d,.])(\d{4,}(\.\d+)?|\d+\.\d*0)[ \x{202f}]?(ms|s|B|[KMGTP]iB|%|times|points|(error|warning|execution|entr|record|finding|migration)(s|y|ies)?)([^a-z]|$)`)

// TestFiguresAreWell wants every figure of the pages to be written for people,
// however large it is.
func TestFiguresAreWell(t *testing.T) {
	g := hostileGuest(t)
	for _, path := range hostilePaths(t, g) {
		d := parse(t, path, get(t, g.page, path, g.session))
		if bad := illWritten.FindString(d.text()); bad != "" {
			t.Errorf("%s says %q", path, bad)
		}
	}
}

// TestNoTextIsWiderThanTheWindow opens everything that can be opened on pages
// of hostile texts, on windows from a small phone's to a desk's.
func TestNoTextIsWiderThanTheWindow(t *testing.T) {
	g := hostileGuest(t)
	b := g.enter(t)
	for _, path := range hostilePaths(t, g) {
		b.do(chromedp.EmulateViewport(1440, 900))
		b.open(path)
		run[any](b, `document.querySelectorAll("details").forEach((d) => { d.removeAttribute("name"); d.open = true; }); null`)
		for _, width := range []int64{1440, 1280, 390, 320} {
			b.do(chromedp.EmulateViewport(width, 900))
			if over := run[int](b, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
				t.Errorf("%.60s is %d pixels wider than a window of %d: %s", path, over, width, run[string](b, widest))
			}
			if out := run[string](b, leftOut); out != "" {
				t.Errorf("%.60s begins left of a window of %d: %s", path, width, out)
			}
		}
		if title := run[string](b, "document.title"); !strings.HasSuffix(title, "Sandtrail") {
			t.Errorf("%s: a script of a text ran: the title is %q", path, title)
		}
	}
}

const naming = `
	const cut = (e) => e && (getComputedStyle(e).overflowX !== "visible" || cut(e.parentElement));
	const name = (e) => [e, e.parentElement, e.parentElement.parentElement].map((e) => e.tagName.toLowerCase() + "." + (e.getAttribute("class") ?? "")).join(" in ");
`

// leftOut names the first element that begins left of the window, where it can
// never be seen.
const leftOut = `(() => {` + naming + `
	const out = [...document.querySelectorAll("body *")].find((e) => e.getBoundingClientRect().left < 0 && !cut(e.parentElement));
	return out ? name(out) : "";
})()`

// widest names the element that sticks out most and is not cut off.
const widest = `(() => {` + naming + `
	let most = innerWidth, found = "";
	for (const e of document.querySelectorAll("body *")) {
		const right = e.getBoundingClientRect().right;
		if (right >= most && !cut(e.parentElement)) { most = right; found = name(e); }
	}
	return found;
})()`
