package web

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/sandtrail/sandtrail"
)

// measured are the pages whose times are told.
func measured(e sandtrail.Execution) []string {
	return []string{
		"/", "/?window=30d", "/executions", "/executions?outcome=failed", "/executions/" + e.ID.String(),
		"/strategies", "/strategies/s-0003", "/users", "/users/u-0001", "/alerts", "/admin",
	}
}

// BenchmarkPages measures the server's time for each page over both stores.
// EXECUTIONS says how many there are.
func BenchmarkPages(b *testing.B) {
	for name, open := range map[string]func(*testing.B) fullStore{
		"sqlite": func(b *testing.B) fullStore {
			store, err := fill(filepath.Join(b.TempDir(), "pages.db"), population)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { store.Close() })
			return store
		},
		"postgresql": func(b *testing.B) fullStore { return largeStore(b, population.Executions) },
	} {
		b.Run(name, func(b *testing.B) {
			store := open(b)
			h := whole(b, store, still)
			e := oneExecution(b, store, "u-0001")
			for _, path := range measured(e) {
				b.Run(path, func(b *testing.B) {
					for b.Loop() {
						if w := get(b, h, path); w.Code != http.StatusOK {
							b.Fatalf("status %d", w.Code)
						}
					}
				})
			}
		})
	}
}

// BenchmarkFirstPaint measures how long it takes from a click until a browser
// with an empty cache shows each page, over PostgreSQL.
func BenchmarkFirstPaint(b *testing.B) {
	store := largeStore(b, population.Executions)
	tab := browse(b, whole(b, store, still))
	tab.look(screens[0])
	tab.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
		return err
	}))
	for _, path := range measured(oneExecution(b, store, "u-0001")) {
		b.Run(path, func(b *testing.B) {
			var times []float64
			for b.Loop() {
				tab.open(path)
				tab.wait(`performance.getEntriesByName("first-contentful-paint").length > 0`)
				times = append(times, run[float64](tab, `performance.getEntriesByName("first-contentful-paint")[0].startTime`))
			}
			slices.Sort(times)
			b.ReportMetric(times[len(times)/2], "ms-median")
			b.ReportMetric(times[len(times)-1], "ms-most")
		})
	}
}
