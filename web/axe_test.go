package web

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
)

// finding is what axe has against an element.
type finding struct {
	Rule, Target, Summary string
}

// askAxe has axe check a part of the page.
const askAxe = `((part) => axe.run(part, {resultTypes: ["violations"]}).then((results) => results.violations.flatMap((violation) =>
	violation.nodes.map((node) => ({Rule: violation.id, Target: node.target.join(" "), Summary: node.failureSummary})))))`

// examined are the parts of pages that axe has checked on a screen: the markup
// of a <main>, or what surrounds it. Visitors see much of the same, and a part
// that is the same to the letter needs no second look.
type examined map[string]bool

// parts is a page's <main> and what surrounds it, without the address, which is
// in the title and in hidden fields and which axe does not look at.
const parts = `(() => {
	const main = document.querySelector("main").outerHTML;
	const rest = document.documentElement.cloneNode(true);
	rest.querySelector("main").remove();
	rest.querySelector("title").textContent = document.title !== "";
	rest.querySelectorAll("input[type=hidden]").forEach((field) => field.removeAttribute("value"));
	return [main, rest.outerHTML];
})()`

// axe has the parts of a page checked that were not on the screen before.
func (e examined) axe(b tab, s screen) {
	b.t.Helper()
	part := map[[2]bool]string{{true, true}: "document", {true, false}: `"main"`, {false, true}: `{exclude: ["main"]}`}[e.unseen(b, s)]
	if part == "" {
		return
	}
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		b.t.Fatal(err)
	}
	run[any](b, string(axe)+"; null")
	for _, f := range awaited[[]finding](b, askAxe+"("+part+")") {
		b.t.Errorf("axe: %s: %s: %s", f.Rule, f.Target, f.Summary)
	}
}

// unseen tells of a page's <main> and of what surrounds it whether they are new
// to the screen.
func (e examined) unseen(b tab, s screen) (is [2]bool) {
	b.t.Helper()
	for i, part := range run[[2]string](b, parts) {
		key := fmt.Sprintf("%s %d %x", s.name, i, sha256.Sum256([]byte(part)))
		is[i], e[key] = !e[key], true
	}
	return is
}

// shifts tells what moved on the page since it was first drawn, from where to
// where, and by how much the page counts it.
const shifts = `new Promise((answer) => {
	const told = [];
	const place = (box) => [box.x, box.y, box.width, box.height].map(Math.round).join(" ");
	const name = (node) => ((node?.outerHTML ?? node?.parentElement?.outerHTML) ?? "what is gone").slice(0, 100);
	const tell = (entry) => told.push(entry.value.toFixed(4) + entry.sources.map((s) =>
		"\n\t" + place(s.previousRect) + " to " + place(s.currentRect) + ": " + name(s.node)).join(""));
	new PerformanceObserver((list) => list.getEntries().forEach(tell)).observe({type: "layout-shift", buffered: true});
	requestAnimationFrame(() => requestAnimationFrame(() => answer(told)));
})`

// grown is by how much the page's height changes when one scrolls to its end.
const grown = `new Promise((answer) => {
	const before = document.documentElement.scrollHeight;
	scrollTo(0, before);
	requestAnimationFrame(() => requestAnimationFrame(() => answer(document.documentElement.scrollHeight - before)));
})`

// TestPagesOfEveryVisitor looks at the pages as each kind of visitor sees them.
func TestPagesOfEveryVisitor(t *testing.T) {
	seen := examined{}
	everyVisitor(t, func(t *testing.T, g guest) { everyPageOn(t, g, screens[1:3], seen) })
}

// everyPageOnEveryScreen looks at the pages as they are before a key exists.
func everyPageOnEveryScreen(t *testing.T, home house) {
	everyPageOn(t, home.receive(t, visitors[0]), screens, examined{})
}

// everyPageOn has each page checked by axe, wants it not to move while it
// loads or is scrolled, nothing to stick out at the side, and no complaint of
// the browser.
func everyPageOn(t *testing.T, g guest, screens []screen, seen examined) {
	b := g.enter(t)
	complaints := b.complaints()
	own := sandtrail.Filter{Success: new(false), UserID: g.user}
	for _, s := range screens {
		b.look(s)
		for _, path := range []string{
			"/", "/executions", "/executions?outcome=failed&minTime=1s&userId=" + g.ownUser(), "/executions/" + newestIn(t, g.home.store, own).ID.String(),
			"/strategies", "/strategies?view=all", g.home.session, "/strategies/s-0003", "/users", "/users/u-0002", "/alerts",
			"/admin", "/admin/keys", "/admin/access-log", "/admin/access-log?action=none", "/admin/examination", "/none",
		} {
			t.Run(s.name+path, func(t *testing.T) {
				b := tab{t, b.ctx, b.url}
				b.open(path)
				for _, shift := range awaited[[]string](b, shifts) {
					t.Errorf("the page moved while it was built, by %s", shift)
				}
				if by := awaited[int](b, grown); by != 0 {
					t.Errorf("the page grows by %d pixels when it is scrolled", by)
				}
				if over := run[int](b, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
					t.Errorf("the page is %d pixels wider than the screen", over)
				}
				seen.axe(b, s)
				refusal := strconv.Itoa(get(t, g.page, path, g.session).Code)
				for _, c := range complaints() {
					if refusal < "400" || !strings.Contains(c, refusal) || !strings.HasSuffix(c, path) {
						t.Errorf("the browser says: %s", c)
					}
				}
			})
		}
	}
}
