package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/sample"
	"github.com/sandtrail/sandtrail/sqlite"
)

// now is what every test takes the time to be.
var now = time.Date(2026, 11, 24, 15, 20, 0, 0, time.UTC)

// population is the sample that the tests look at.
var population = sample.Options{Seed: 11, Executions: 12_000, Since: now.AddDate(0, 0, -30), Until: now}

var (
	tempDir string
	closing []func() error // at the very end
	filled  = sync.OnceValues(func() (*sqlite.Store, error) {
		store, err := fill(filepath.Join(tempDir, "filled.db"), population)
		if err == nil {
			closing = append(closing, store.Close)
		}
		return store, err
	})
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if tempDir, err = os.MkdirTemp("", "sandtrail-web"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(tempDir)
		code := m.Run()
		for _, end := range closing {
			if err := end(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
		http.DefaultClient.CloseIdleConnections()
		if err := goleak.Find(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	}())
}

// sampleStore is an SQLite file with the population, shared by all tests,
// which only read it.
func sampleStore(t *testing.T) *sqlite.Store {
	t.Helper()
	store, err := filled()
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// emptyStore is a fresh SQLite file.
func emptyStore(t *testing.T) *sqlite.Store {
	t.Helper()
	store, err := fill(filepath.Join(t.TempDir(), "empty.db"), sample.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// fill makes a database and, unless the options are empty, puts a sample in.
func fill(path string, options sample.Options) (*sqlite.Store, error) {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return nil, err
	}
	if _, err := store.Migrate(ctx, now); err != nil || options.Executions == 0 {
		return store, err
	}
	s := sample.New(options)
	for _, u := range s.Users() {
		if err := store.PutUser(ctx, u); err != nil {
			return nil, err
		}
	}
	for _, st := range s.Strategies() {
		if err := store.PutStrategy(ctx, st); err != nil {
			return nil, err
		}
	}
	for batch, err := range s.Admit(2000) {
		if err != nil {
			return nil, err
		}
		if _, err := store.Append(ctx, batch); err != nil {
			return nil, err
		}
	}
	return store, store.Maintain(ctx, now)
}

// options are those of a page without sign-in over the sample.
func options(t *testing.T) Options {
	return Options{Store: sampleStore(t), Now: func() time.Time { return now }}
}

// get asks the handler for a path; edit can change the request.
func get(t *testing.T, h http.Handler, path string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// newestOf returns the newest execution of a filter.
func newestOf(t *testing.T, f sandtrail.Filter) sandtrail.Execution {
	t.Helper()
	page, err := sampleStore(t).Executions(t.Context(), sandtrail.Query{Filter: f, Limit: 1}, now)
	if err != nil || len(page.Items) == 0 {
		t.Fatalf("newest execution: %v, %d found", err, len(page.Items))
	}
	return page.Items[0]
}
