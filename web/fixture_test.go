package web

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/internal/sample"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/server"
	"github.com/sandtrail/sandtrail/sqlite"
)

// now is what every test takes the time to be.
var now = time.Date(2026, 11, 24, 15, 20, 0, 0, time.UTC)

// population is the sample that the tests look at. EXECUTIONS enlarges it.
var population = sample.Options{Seed: 11, Executions: populationSize(), Since: now.AddDate(0, 0, -30), Until: now}

func populationSize() int {
	if n, err := strconv.Atoi(os.Getenv("EXECUTIONS")); err == nil {
		return n
	}
	return 20_000
}

// fullStore is what both databases are to a server.
type fullStore interface {
	database.Database
	auth.Keyring
	auth.AccessLog
	follow.Follower
	database.Leases
	alert.Log
	alert.Silences
	database.Surveyor
	database.LedgerKeeper
	ledger.Log
}

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
	return store, populate(ctx, store, options)
}

// populate puts a sample into a store.
func populate(ctx context.Context, store database.Database, options sample.Options) error {
	s := sample.New(options)
	for _, u := range s.Users() {
		if err := store.PutUser(ctx, u); err != nil {
			return err
		}
	}
	for _, st := range s.Strategies() {
		if err := store.PutStrategy(ctx, st); err != nil {
			return err
		}
	}
	for batch, err := range s.Admit(2000) {
		if err != nil {
			return err
		}
		if _, err := store.Append(ctx, batch); err != nil {
			return err
		}
	}
	return store.Maintain(ctx, now)
}

// still is a clock that stands.
func still() time.Time { return now }

var ledgerKeys = sync.OnceValues(func() (ledger.Keys, error) { return ledger.GenerateKeys(rand.Reader, "sandtrail/test") })

// shownLedger is the ledger as serve gives it to the page.
type shownLedger struct {
	database.LedgerKeeper
	ledger.Service
}

// whole is the page as serve makes it over a store: with keys, a ledger, and
// the API beside it. edit can change the page's options.
func whole(t testing.TB, store fullStore, clock func() time.Time, edit ...func(*Options)) http.Handler {
	t.Helper()
	keys, err := ledgerKeys()
	if err != nil {
		t.Fatal(err)
	}
	proofs := ledger.Service{Log: store, Keys: keys}
	served, err := server.New(server.Config{
		Store: store, Ledger: proofs, Now: clock,
		Page: func(api http.Handler) http.Handler {
			o := Options{
				Store: store, Now: clock, Authenticator: Keyring(store, clock), API: api, Examiner: store, Alerts: store, AccessLog: store,
				Retention: sandtrail.Periods{Keep: sandtrail.DefaultRetention}, Ledger: shownLedger{store, proofs},
			}
			for _, e := range edit {
				e(&o)
			}
			return Handler(o)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return served.Handler()
}

// options are those of a page without sign-in over the sample.
func options(t *testing.T) Options {
	return Options{Store: sampleStore(t), Now: func() time.Time { return now }}
}

// get asks the handler for a path; edit can change the request.
func get(t testing.TB, h http.Handler, path string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "localhost"
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// newestOf returns the sample's newest execution of a filter.
func newestOf(t *testing.T, f sandtrail.Filter) sandtrail.Execution {
	t.Helper()
	return newestIn(t, sampleStore(t), f)
}

func newestIn(t *testing.T, store database.Database, f sandtrail.Filter) sandtrail.Execution {
	t.Helper()
	page, err := store.Executions(t.Context(), sandtrail.Query{Filter: f, Limit: 1}, now)
	if err != nil || len(page.Items) == 0 {
		t.Fatalf("newest execution: %v, %d found", err, len(page.Items))
	}
	return page.Items[0]
}
