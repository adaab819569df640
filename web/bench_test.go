package web

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/sqlite"
)

// BenchmarkPages measures the server's time for each page over both stores.
// EXECUTIONS says how many there are.
func BenchmarkPages(b *testing.B) {
	for name, open := range map[string]func(*testing.B) fullStore{
		"sqlite": func(b *testing.B) fullStore {
			store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "pages.db"), sqlite.Options{})
			if err != nil {
				b.Fatal(err)
			}
			return store
		},
		"postgresql": func(b *testing.B) fullStore {
			store, err := postgres.Open(b.Context(), pgtest.New(b), postgres.Options{})
			if err != nil {
				b.Fatal(err)
			}
			return store
		},
	} {
		b.Run(name, func(b *testing.B) {
			store := open(b)
			defer store.Close()
			if _, err := store.Migrate(b.Context(), now); err != nil {
				b.Fatal(err)
			}
			if err := populate(b.Context(), store, population); err != nil {
				b.Fatal(err)
			}
			h := whole(b, store, still)
			e := oneExecution(b, store, "u-0001")
			for _, path := range []string{
				"/", "/?window=30d", "/executions", "/executions?outcome=failed", "/executions/" + e.ID.String(),
				"/strategies", "/strategies/s-0003", "/users", "/users/u-0001", "/alerts", "/admin",
			} {
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
