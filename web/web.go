// Package web is the page that people leave open: who ran what, what failed
// and why. It is rendered on the server, needs no script to be read, and loads
// nothing from elsewhere.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"time"

	"golang.org/x/time/rate"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/auth"
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

// AccessRecorder adds lines to the access log; auth.AccessLog does.
type AccessRecorder interface {
	LogAccess(ctx context.Context, a auth.Access) error
}

// Options is what the page is made of. Store is required.
type Options struct {
	Store Store
	Now   func() time.Time // nil: time.Now
	// Authenticator asks for a key before anything is shown. Nil: each reader sees
	// everything, for loopback addresses.
	Authenticator Authenticator
	// API is asked on behalf of the signed-in reader: for exports, the live
	// tail, proofs, keys and the access log. Nil: the page has none of them.
	API http.Handler
	// Rules are shown with their state. Nil: sandtrail.DefaultRule.
	Rules []alert.Rule
	// AccessLog notes what the page refuses; what the API refuses it notes
	// itself. Nil: nothing is noted.
	AccessLog AccessRecorder
	// Examiner lets administrators and auditors see the state of the database.
	// Nil: no administration.
	Examiner  Examiner
	Retention sandtrail.Periods // how long executions are kept
	// Outbox opens the outbox of the server's machine; nil, or a nil Outbox,
	// where there is none.
	Outbox func() (Outbox, error)
	Ledger Ledger // nil: nothing is said about integrity
	Alerts Alerts // nil: rules have no history and cannot be silenced
	// Sessions opens the recording of an execution's terminal session,
	// CodeNotFound where there is none. Nil: there are none.
	Sessions func(id sandtrail.ID) (*os.File, error)
	Log      *slog.Logger // nil: slog.Default()
}

// site holds what all requests share.
type site struct {
	Options
	assets   *assets
	renderer *renderer
	sessions *sessions
	refusals *rate.Limiter
	made     *sessions // new keys that are yet to be shown, as JSON
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
		o.Rules = []alert.Rule{alert.DefaultRule()}
	}
	files := newAssets()
	s := &site{
		Options: o, assets: files, renderer: newRenderer(files),
		sessions: newSessions(o.Now, sessionLength), made: newSessions(o.Now, time.Minute),
		refusals: rate.NewLimiter(refusalsPerSecond, 10*refusalsPerSecond),
	}
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(s.open(foreignForm))
	return secureHeaders(guard.Handler(s.routes()))
}

// foreignForm answers the forms of other sites.
func foreignForm(*view) error {
	return sandtrail.Errorf(sandtrail.CodeForbidden, "This form came from another site. Open the page itself and send it from there.")
}

// pages are what one must be signed in for, if there is a sign-in.
var pages = map[string]handler{
	"GET /{$}":                     overview,
	"GET /executions":              executions,
	"GET /executions/{id}":         execution,
	"GET /executions/{id}/receipt": receipt,
	"GET /executions/{id}/proof":   proof,
	"GET /executions/{id}/session": recording,
	"GET /strategies":              strategies,
	"GET /strategies/{id}":         strategy,
	"GET /users":                   users,
	"GET /users/{id}":              user,
	"GET /alerts":                  alerts,
	"GET /checkpoint":              checkpoint,
	"GET /admin":                   admin,
	"GET /admin/keys":              keys,
	"GET /admin/access-log":        accessLog,
	"GET /admin/examination":       examination,
	"GET /export":                  export,
	"GET /live":                    live,
	"/":                            missing,
}

// acts change something, for signed-in readers who may.
var acts = map[string]handler{
	"POST /alerts/silences":          silence,
	"POST /alerts/silences/{id}/end": endSilence,
	"POST /admin/keys":               createKey,
	"POST /admin/keys/{id}/revoke":   revokeKey,
}

// doors need no sign-in.
var doors = map[string]handler{
	"GET /assets/{name}": (*view).asset,
	"POST /preferences":  preferences,
	"GET /sign-in":       signInForm,
	"POST /sign-in":      signIn,
	"POST /sign-out":     signOut,
	madeKeyPattern:       madeKey,
}

func missing(*view) error {
	return sandtrail.Errorf(sandtrail.CodeNotFound, "There is no such page.")
}

func (s *site) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, door := range doors {
		mux.Handle(pattern, s.open(door))
	}
	for _, guarded := range []map[string]handler{pages, acts} {
		for pattern, answer := range guarded {
			mux.Handle(pattern, s.page(answer))
		}
	}
	return mux
}

// policy lets the page load its own files and nothing else.
func policy(scripts string) string {
	return "default-src 'none'; " + scripts + "; style-src 'self'; font-src 'self'; img-src 'self' data:; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}

func secureHeaders(next http.Handler) http.Handler {
	strict := policy("script-src 'self'")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", strict)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
