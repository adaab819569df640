package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
)

const rows = `document.querySelectorAll("tr.run").length`

// click is a click on the first element of a selector.
func click(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(selector))
}

func readersFlows(t *testing.T, home house) {
	b := home.receive(t, visitors[0]).enter(t)
	b.look(screens[0])
	for _, flow := range []struct {
		name string
		walk func(tab)
	}{
		{"figures lead to their executions", figures},
		{"keyboard", keyboard},
		{"keyboard between neighbours", neighbours},
		{"filter", filtering},
		{"older pages are added", adding},
		{"theme", theme},
		{"time zone", zone},
		{"menus", menus},
		{"tooltips", tooltips},
		{"without script", withoutScript},
	} {
		t.Run(flow.name, func(t *testing.T) { flow.walk(tab{t, b.ctx, b.url}) })
	}
}

func figures(b tab) {
	b.open("/")
	b.follow(click("a.tile:nth-child(3)"))
	if got := b.path(); got != "/executions?outcome=timedOut&within=24h" {
		b.t.Errorf("the tile of the time-outs leads to %s", got)
	}
	b.wait(`[...document.querySelectorAll("tr.run .verdict")].every((v) => v.textContent === "Timed out")`)
	b.open("/")
	b.follow(click(".ranking tbody tr:first-child .cover"))
	if got := b.path(); got != "/strategies/s-0003" {
		b.t.Errorf("the strategy that fails most leads to %s", got)
	}
	b.follow(click("a.alert"))
	b.wait(`document.querySelector("h1").textContent.includes("Failed")`)
}

func keyboard(b tab) {
	b.open("/executions?outcome=failed")
	b.press("jjjk")
	b.wait(`[...document.querySelectorAll("tr.run .cover")].indexOf(document.activeElement) === 1`)
	want := run[string](b, "document.activeElement.getAttribute('href')")
	b.follow(chromedp.KeyEvent(kb.Enter))
	if got := b.path(); got != want {
		b.t.Errorf("enter opened %s, want %s", got, want)
	}
	b.press(kb.Escape)
	b.wait(`location.search === "?outcome=failed"`)

	b.press("?")
	b.wait(`document.querySelector("#help").open`)
	b.press(kb.Escape)
	b.wait(`!document.querySelector("#help").open`)

	b.do(slash())
	b.wait(`document.activeElement.id === "text"`)
	b.follow(chromedp.KeyEvent("pandas" + kb.Enter))
	if got := b.path(); got != "/executions?text=pandas&outcome=failed" {
		b.t.Errorf("the search leads to %s", got)
	}
	b.do(slash())
	b.press(kb.Escape)
	b.wait(`document.activeElement === document.body`)
	b.press("g")
	b.follow(chromedp.KeyEvent("o"))
	b.wait(`location.pathname === "/"`)
	b.follow(slash())
	b.wait(`location.pathname === "/executions" && document.activeElement.id === "text"`)
}

// slash presses the key as a keyboard does: what a handler prevents is not
// typed. chromedp.KeyEvent types it all the same.
func slash() chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		for _, event := range []input.DispatchKeyEventParams{
			{Type: input.DispatchKeyEventTypeKeyDown, Key: "/", Code: "Slash", Text: "/"}, {Type: input.DispatchKeyEventTypeKeyUp, Key: "/", Code: "Slash"},
		} {
			if _, err := chromedp.Call(ctx, input.DispatchKeyEvent, event); err != nil {
				return err
			}
		}
		return nil
	})
}

func neighbours(b tab) {
	b.open("/executions?strategyId=s-0001")
	list := run[[]string](b, `[...document.querySelectorAll("tr.run .cover")].map((a) => a.getAttribute("href"))`)
	b.open(list[3])
	b.follow(chromedp.KeyEvent("j"))
	if got := b.path(); got != list[4] {
		b.t.Errorf("j leads to %s, want %s", got, list[4])
	}
	b.follow(chromedp.KeyEvent("k"))
	if got := b.path(); got != list[3] {
		b.t.Errorf("k leads to %s, want %s", got, list[3])
	}
}

func filtering(b tab) {
	b.open("/executions")
	b.do(chromedp.SetValue(chromedp.CSS("#outcome"), "failed"), chromedp.SetValue(chromedp.CSS("#strategyId"), "s-0003"))
	b.follow(click(".filters .primary"))
	if got := b.path(); got != "/executions?outcome=failed&strategyId=s-0003" {
		b.t.Errorf("the filter leads to %s", got)
	}
	b.wait(rows + ` > 0 && [...document.querySelectorAll("tr.run .verdict")].every((v) => v.textContent !== "Succeeded")`)
	b.follow(click(".chips li:first-child a"))
	if got := b.path(); got != "/executions?outcome=failed" {
		b.t.Errorf("without the strategy the filter is %s", got)
	}
	b.do(click(".more summary"), chromedp.SendKeys(chromedp.CSS("#minTime"), "soon"))
	b.follow(chromedp.KeyEvent(kb.Enter))
	b.wait(`document.querySelector("[role=alert]").textContent.includes("must be a length of time")`)
}

func adding(b tab) {
	b.open("/executions")
	before := b.path()
	b.do(click("[data-more]"))
	b.wait(rows + " === 100")
	b.do(click("[data-more]"))
	b.wait(rows + " === 150")
	if got := b.path(); got != before {
		b.t.Errorf("the address became %s", got)
	}
	if n := run[int](b, `new Set([...document.querySelectorAll("tr.run .cover")].map((a) => a.href)).size`); n != 150 {
		b.t.Errorf("150 rows show %d executions", n)
	}
}

func theme(b tab) {
	b.open("/")
	ground := "getComputedStyle(document.body).backgroundColor"
	auto := run[string](b, ground)
	b.follow(click("button[name=theme]"))
	dark := run[string](b, ground)
	b.follow(click("button[name=theme]"))
	if light := run[string](b, ground); dark == auto || light != auto {
		b.t.Errorf("grounds: %s as the system wants, %s dark, %s light", auto, dark, light)
	}
	b.follow(click("button[name=theme]"))
}

func zone(b tab) {
	b.open("/executions")
	b.do(click(".tools summary"), chromedp.SetValue(chromedp.CSS("#tz"), "Asia/Tokyo"))
	b.follow(click(".tools .primary"))
	b.wait(`document.querySelector("tr.run time").title.endsWith("JST")`)
	if got := b.path(); got != "/executions" {
		b.t.Errorf("choosing a zone leads to %s", got)
	}
}

func menus(b tab) {
	b.open("/")
	b.do(click(".window summary"))
	b.wait(`document.querySelector(".window details").open`)
	b.press(kb.Escape)
	b.wait(`!document.querySelector(".window details").open`)
	b.do(click(".window summary"), chromedp.SetValue(chromedp.CSS("#w-since"), "2026-11-20T00:00"), chromedp.SetValue(chromedp.CSS("#w-until"), "2026-11-21T00:00"))
	b.follow(click(".window .primary"))
	b.wait(`document.querySelector("summary.current").textContent === "Custom" && document.querySelectorAll(".slot").length === 24`)
}

func tooltips(b tab) {
	b.open("/")
	box := run[struct{ X, Y, Width, Height float64 }](b, `document.querySelector(".line-plot .drawing").getBoundingClientRect().toJSON()`)
	move := func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.MouseEvent("mouseMoved", box.X+box.Width/2, box.Y+box.Height/2)(ctx, t)
		return err
	}
	b.do(chromedp.Func(move))
	b.wait(`!document.querySelector(".tip").hidden && /executions\n.*failed.*\nexecution time/.test(document.querySelector(".tip").textContent)`)
	b.wait(`document.querySelectorAll(".slot.on").length === 1`)
}

func withoutScript(b tab) {
	set := func(off bool) {
		b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off})
			return err
		}))
	}
	set(true)
	defer set(false)
	for path, says := range map[string]string{
		"/": "Failing strategies", "/executions": "First finding", "/strategies/s-0003": "Failing since", "/users/u-0001": "Ada Okafor",
	} {
		b.open(path)
		text, err := chromedp.Run(b.ctx, chromedp.TextContent(chromedp.CSS("main")))
		if err != nil || !strings.Contains(text, says) {
			b.t.Errorf("%s does not say %q (%v)", path, says, err)
		}
	}
	b.open("/executions")
	b.follow(click("[data-more]"))
	location, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil || !strings.Contains(location, "cursor=") {
		b.t.Errorf("without script, older ones are at %s (%v)", location, err)
	}
}

// TestRowsStayClearOfTheBar goes down and up the list by keys.
func TestRowsStayClearOfTheBar(t *testing.T) {
	g := furnishedSample(t).receive(t, visitors[0])
	b := g.enter(t)
	b.look(screens[0])
	b.open("/executions")
	b.press(strings.Repeat("j", 45) + strings.Repeat("k", 40))
	b.wait(`[...document.querySelectorAll("tr.run .cover")].indexOf(document.activeElement) === 4`)
	if over := run[float64](b, `document.querySelector(".bar").getBoundingClientRect().bottom - document.activeElement.closest("tr").getBoundingClientRect().top`); over > 0 {
		t.Errorf("the row lies %v pixels under the bar", over)
	}
}

func TestSignInFlow(t *testing.T) {
	store := emptyStore(t)
	_, secret := addKey(t, store, auth.RoleRead, "")
	b := browse(t, whole(t, store, still))
	b.open("/executions?outcome=failed")
	b.do(chromedp.SendKeys(chromedp.CSS("#key"), "st_wrong"))
	b.follow(chromedp.KeyEvent(kb.Enter))
	b.wait(`document.querySelector("[role=alert]").textContent.includes("not known")`)
	b.do(chromedp.SendKeys(chromedp.CSS("#key"), secret))
	b.follow(click(".sign-in .primary"))
	if got := b.path(); got != "/executions?outcome=failed" {
		t.Errorf("signing in leads to %s", got)
	}
	if got := run[string](b, "document.cookie"); strings.Contains(got, sessionCookie) {
		t.Errorf("scripts can read the session: %s", got)
	}
	b.follow(click("form[action='/sign-out'] button"))
	b.open("/")
	if got := b.path(); got != "/sign-in" {
		t.Errorf("signed out, one is at %s", got)
	}
}

// stream is an API whose live stream sends what it is told to.
type stream chan string

func (s stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := http.NewResponseController(w)
	fmt.Fprint(w, ": here\n\n")
	_ = flusher.Flush()
	for {
		select {
		case data := <-s:
			fmt.Fprintf(w, "data: %s\n\n", data)
			_ = flusher.Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func TestLiveDoesNotJumpWhileOneReads(t *testing.T) {
	store := emptyStore(t)
	record(t, store)
	events := make(stream)
	b := browse(t, Handler(Options{Store: store, Now: still, API: events}))
	b.open("/executions?minTime=1ms&maxTime=1h") // live under any filter
	b.do(click("[data-live]"))
	b.wait(`document.querySelector("[data-live]").getAttribute("aria-pressed") === "true"`)

	record(t, store)
	events <- "{}"
	b.wait(rows + " === 2")

	b.press("j") // the reader is on a row now
	record(t, store)
	events <- "{}"
	b.wait(`!document.querySelector("[data-pill]").hidden && document.querySelector("[data-pill]").textContent.startsWith("1 new")`)
	if n := run[int](b, rows); n != 2 {
		t.Errorf("the list changed under the reader: %d rows", n)
	}
	b.do(click("[data-pill]"))
	b.wait(rows + ` === 3 && document.querySelector("[data-pill]").hidden`)
	b.do(click("[data-live]"))
	b.wait(`document.querySelector("[data-live]").getAttribute("aria-pressed") === "false"`)
}

// record stores one more execution.
func record(t *testing.T, store fullStore) {
	t.Helper()
	err := store.PutUser(t.Context(), sandtrail.User{ID: "u1", Email: "ada@example.com"})
	if err == nil {
		err = store.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s1", Name: "Mean reversion"})
	}
	if err != nil {
		t.Fatal(err)
	}
	batch, err := sandtrail.Admission{Now: now}.Admit(sandtrail.Draft{
		UserID: "u1", StrategyID: "s1", Type: sandtrail.Validation, Success: new(true), ExecutionTime: new(120),
	})
	if err == nil {
		_, err = store.Append(t.Context(), batch)
	}
	if err != nil {
		t.Fatal(err)
	}
}
