package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/sandtrail/sandtrail/internal/testneed"
)

// tab is a browser's tab that looks at a server.
type tab struct {
	t   testing.TB
	ctx context.Context
	url string
}

// browse starts a server and a Chromium of its own for one test.
func browse(t testing.TB, h http.Handler) tab {
	t.Helper()
	path := testneed.Program(t, "chromium", "chromium", "chromium-browser", "google-chrome")
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()))
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync",
	} {
		flags = append(flags, chromedp.Flag(flag, true))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, flags...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until the browser is gone
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return tab{t, ctx, server.URL}
}

// do takes steps one after the other.
func (b tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// open goes to a page of the server.
func (b tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// follow takes a step that leads to another page and waits until it is there.
func (b tab) follow(step chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, step); err != nil {
		b.t.Fatal(err)
	}
}

// run evaluates an expression in the page.
func run[T any](b tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// wait returns when the expression is true in the page, whatever page that is
// by then: asking fails while one page makes room for another.
func (b tab) wait(expression string) {
	b.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	enough := time.After(20 * time.Second)
	for {
		if is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression)); err == nil && is {
			return
		}
		select {
		case <-again.C:
		case <-enough:
			b.t.Fatalf("%s: never at %s", expression, run[string](b, "location.href"))
		}
	}
}

// awaited evaluates an expression that is a promise.
func awaited[T any](b tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%.80s: %v", expression, err)
	}
	return value
}

// complaints starts to collect the browser's warnings, errors and uncaught
// exceptions; the answer gives those since it was last asked.
func (b tab) complaints() func() []string {
	b.t.Helper()
	var mu sync.Mutex
	var heard []string
	err := chromedp.Listen(b.ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *cdplog.EventEntryAdded:
			heard = append(heard, ev.Entry.Text+" "+ev.Entry.URL)
		case *runtime.EventExceptionThrown:
			heard = append(heard, ev.ExceptionDetails.Text)
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		since := heard
		heard = nil
		return since
	}
}

func (b tab) press(keys string) { b.t.Helper(); b.do(chromedp.KeyEvent(keys)) }

// path is where the tab is, without the server's address.
func (b tab) path() string {
	b.t.Helper()
	return run[string](b, "location.pathname + location.search")
}

// screen is a way of looking at the page.
type screen struct {
	name          string
	width, height int64
	scheme        string // light or dark
}

var screens = []screen{
	{"desktop-light", 1440, 900, "light"},
	{"desktop-dark", 1440, 900, "dark"},
	{"phone-light", 390, 844, "light"},
	{"phone-dark", 390, 844, "dark"},
}

func (b tab) look(s screen) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(s.width, s.height), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.scheme}},
		})
		return err
	}))
}
