// Package web is the page that people leave open: who ran what, what failed
// and why. It is rendered on the server, needs no script to be read, and loads
// nothing from elsewhere.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Store is what the page asks of a store.
type Store interface {
	sandtrail.Reader
	sandtrail.Analyst
	Owners
	Ping(ctx context.Context) error
}

// Owners looks up users and strategies; sandtrail.Owners does.
type Owners interface {
	User(ctx context.Context, id string) (sandtrail.User, error)
	Users(ctx context.Context, q sandtrail.OwnerQuery) (sandtrail.OwnerPage[sandtrail.User], error)
	Strategy(ctx context.Context, id string) (sandtrail.Strategy, error)
	Strategies(ctx context.Context, q sandtrail.OwnerQuery) (sandtrail.OwnerPage[sandtrail.Strategy], error)
}

// Options is what the page is made of. Store is required.
type Options struct {
	Store Store
	Now   func() time.Time // nil: time.Now
	// Authenticator asks for a key before anything is shown. Nil: whoever
	// reaches the page sees everything, for loopback addresses.
	Authenticator Authenticator
	// API answers /v1/export and /v1/executions/stream on behalf of whoever is
	// signed in. Nil: the page has no export and no live tail.
	API http.Handler
	// Rules are shown with their state. Nil: sandtrail.DefaultRule.
	Rules []sandtrail.Rule
	// Examiner lets administrators see the state of the database. Nil: no
	// such page.
	Examiner Examiner
	Log      *slog.Logger // nil: slog.Default()
}

// site holds what all requests share.
type site struct {
	Options
	assets   *assets
	renderer *renderer
	sessions *sessions
}

// Handler serves the page. It answers every path that it is given, unknown
// ones with a page that says so, and writes every header the page needs.
func Handler(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Rules == nil {
		o.Rules = []sandtrail.Rule{sandtrail.DefaultRule()}
	}
	files := newAssets()
	s := &site{Options: o, assets: files, renderer: newRenderer(files), sessions: newSessions(o.Now)}
	return secureHeaders(http.NewCrossOriginProtection().Handler(s.routes()))
}

// pages are what one must be signed in for, if there is a sign-in.
var pages = map[string]handler{
	"GET /{$}":             overview,
	"GET /executions":      executions,
	"GET /executions/{id}": execution,
	"GET /strategies":      strategies,
	"GET /strategies/{id}": strategy,
	"GET /users":           users,
	"GET /users/{id}":      user,
	"GET /alerts":          alerts,
	"GET /admin":           admin,
	"GET /export":          export,
	"GET /live":            live,
	"/":                    missing,
}

func missing(*view) error {
	return sandtrail.Errorf(sandtrail.CodeNotFound, "There is no such page.")
}

func (s *site) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /assets/{name}", s.assets)
	mux.Handle("POST /preferences", s.open(preferences))
	mux.Handle("GET /sign-in", s.open(signInForm))
	mux.Handle("POST /sign-in", s.open(signIn))
	mux.Handle("POST /sign-out", s.open(signOut))
	for pattern, page := range pages {
		mux.Handle(pattern, s.page(page))
	}
	return mux
}

// secureHeaders lets the page load its own files and nothing else.
func secureHeaders(next http.Handler) http.Handler {
	const policy = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
