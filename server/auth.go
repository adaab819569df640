package server

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/remedy"
)

const (
	// keyMemory is how long a key is believed without looking it up again:
	// how long a revocation on another server takes to be noticed.
	keyMemory = 2 * time.Second
	// touchEvery is the precision of Key.LastUsedAt.
	touchEvery = time.Minute
	// maxUnknown is how many keys are remembered as unknown.
	maxUnknown = 4096
	// unknownPerSecond bounds what strangers, each with a key of their making, can
	// have looked up in the store.
	unknownPerSecond = 100
	// deniedPerSecond bounds what strangers can write into the access log.
	deniedPerSecond = 10
)

// caller is who sent a request.
type caller struct {
	key    *auth.Key // nil: the server has no keys
	role   auth.Role
	userID string // "": not bound to a user
	remote string
}

// grant is the bit that the caller needs in a route's grants.
func (c caller) grant() grants {
	switch {
	case c.role == auth.RoleRead && c.userID != "":
		return byBound
	case c.role == auth.RoleRead:
		return byReader
	case c.role == auth.RoleIngest:
		return byIngest
	case c.role == auth.RoleAuditor:
		return byAuditor
	case c.role == auth.RoleAdmin:
		return byAdmin
	}
	return 0
}

func (c caller) name() string {
	switch {
	case c.key == nil && c.role == "":
		return "anonymous"
	case c.key == nil:
		return "local"
	case c.key.Name == "":
		return c.key.ID.String()
	}
	return c.key.Name
}

// shareName is whose share of the server's limits a request takes: the key's, or
// where there is none the address's.
func (c caller) shareName() string {
	if c.key != nil {
		return c.key.ID.String()
	}
	ip := net.ParseIP(c.remote)
	if ip == nil || ip.To4() != nil {
		return c.remote
	}
	return ip.Mask(net.CIDRMask(64, 128)).String() // what one holder of IPv6 addresses has at least
}

type callerKey struct{}

// callerOf is the caller of a request; one without rights where the server did not ask.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// authenticator decides who comes in.
type authenticator struct {
	keys   auth.Keyring
	access auth.AccessLog
	now    func() time.Time
	log    *slog.Logger
	rate   rate.Limit
	touch  chan sandtrail.ID
	denied *rate.Limiter
	misses *rate.Limiter

	mu       sync.Mutex
	known    map[auth.KeyHash]*knownKey
	unknown  map[auth.KeyHash]time.Time // when they were found to be
	isKeyed  bool                       // a key exists; that never changes back
	lookedAt time.Time                  // when we last looked for one
}

// knownKey is a key that was looked up. Only keys that exist are remembered,
// so the memory is bounded by their number.
type knownKey struct {
	key       auth.Key
	at        time.Time
	touchedAt time.Time
	limiter   *rate.Limiter
}

func newAuthenticator(cfg Config, kept services) *authenticator {
	return &authenticator{
		keys: kept.keys, access: kept.accessLog, now: cfg.Now, log: cfg.Log, rate: rate.Limit(cfg.Limits.Rate),
		touch: make(chan sandtrail.ID, 64), denied: rate.NewLimiter(deniedPerSecond, 10*deniedPerSecond),
		misses: rate.NewLimiter(unknownPerSecond, 2*unknownPerSecond),
		known:  make(map[auth.KeyHash]*knownKey), unknown: make(map[auth.KeyHash]time.Time),
	}
}

// run notes in the store when keys were used.
func (g *authenticator) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-g.touch:
			if err := g.keys.TouchKey(ctx, id, g.now()); err != nil && ctx.Err() == nil {
				g.log.Warn("note the use of a key", "key", id, "error", err)
			}
		}
	}
}

// isOpen reports whether no key has ever been made, so that the server is
// open to every program on this machine.
func (g *authenticator) isOpen(ctx context.Context) (bool, error) {
	if g.keys == nil {
		return true, nil
	}
	g.mu.Lock()
	keyed, fresh := g.isKeyed, g.now().Sub(g.lookedAt) < keyMemory
	g.mu.Unlock()
	if keyed || fresh {
		return !keyed, nil
	}
	keyed, err := g.keys.Keyed(ctx)
	if err != nil {
		return false, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isKeyed, g.lookedAt = keyed, g.now()
	return !g.isKeyed, nil
}

// welcome makes a key that was made here be looked up however many strangers try
// others.
func (g *authenticator) welcome(hash auth.KeyHash) {
	g.forget()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known[hash] = &knownKey{limiter: g.newLimiter()}
}

func (g *authenticator) newLimiter() *rate.Limiter { return rate.NewLimiter(g.rate, 2*int(g.rate)+1) }

// forget makes the next request look its key up again.
func (g *authenticator) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, known := range g.known {
		known.at = time.Time{}
	}
	clear(g.unknown)
	g.lookedAt = time.Time{}
}

// identify finds out who sent a request.
func (g *authenticator) identify(r *http.Request) (caller, error) {
	stranger := stranger(r)
	remote := stranger.remote
	if secret, given := bearer(r); given {
		known, err := g.lookUp(r.Context(), secret)
		if err != nil {
			return stranger, err
		}
		if !known.limiter.AllowN(g.now(), 1) {
			return stranger, sandtrail.Errorf(sandtrail.CodeRateLimited, "more than %g requests a second with this key; try again in a second", float64(g.rate))
		}
		key := known.key
		return caller{key: &key, role: key.Role, userID: key.UserID, remote: remote}, nil
	}
	open, err := g.isOpen(r.Context())
	if err != nil {
		return stranger, err
	}
	if !open {
		return stranger, sandtrail.Errorf(sandtrail.CodeUnauthorized, "no key was given; send it as Authorization: Bearer st_…")
	}
	if err := checkLocal(r); err != nil {
		return stranger, err
	}
	return caller{role: auth.RoleAdmin, remote: remote}, nil
}

// stranger is a caller of whom nothing is known but the address.
func stranger(r *http.Request) caller {
	remote, _, _ := net.SplitHostPort(r.RemoteAddr)
	return caller{remote: remote}
}

func bearer(r *http.Request) (secret string, given bool) {
	header := r.Header.Get("Authorization")
	scheme, secret, _ := strings.Cut(header, " ")
	if header == "" {
		return "", false
	}
	if !strings.EqualFold(scheme, "Bearer") {
		return "", true
	}
	return strings.TrimSpace(secret), true
}

func (g *authenticator) lookUp(ctx context.Context, secret string) (*knownKey, error) {
	invalid := sandtrail.Errorf(sandtrail.CodeUnauthorized, "the key is not valid: unknown, expired or revoked; ask for another")
	if g.keys == nil || !auth.IsSecret(secret) {
		return nil, invalid
	}
	hash := auth.HashSecret(secret)
	known, err := g.remember(ctx, hash)
	if errors.Is(err, sandtrail.CodeNotFound) {
		return nil, invalid
	}
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(known.key.Hash[:], hash[:]) != 1 || !known.key.ValidAt(g.now()) {
		return nil, invalid
	}
	g.noteUse(known)
	return known, nil
}

func (g *authenticator) remember(ctx context.Context, hash auth.KeyHash) (*knownKey, error) {
	g.mu.Lock()
	known := g.known[hash]
	fresh := known != nil && g.now().Sub(known.at) < keyMemory
	missed, unknown := g.unknown[hash]
	g.mu.Unlock()
	switch {
	case fresh:
		return known, nil
	case unknown && g.now().Sub(missed) < keyMemory:
		return nil, sandtrail.CodeNotFound
	case known == nil && g.misses.TokensAt(g.now()) < 1:
		return nil, sandtrail.Errorf(sandtrail.CodeRateLimited, "more than %d unknown keys a second are tried here; try again in a second", unknownPerSecond)
	}
	key, err := g.keys.KeyByHash(ctx, hash)
	g.mu.Lock()
	defer g.mu.Unlock()
	if errors.Is(err, sandtrail.CodeNotFound) {
		delete(g.known, hash)
		g.noteUnknown(hash)
		g.misses.ReserveN(g.now(), 1) // only now: after a start all valid keys are new here
	}
	if err != nil {
		return nil, err
	}
	delete(g.unknown, hash)
	renewed := &knownKey{key: key, at: g.now(), limiter: g.newLimiter()}
	if known != nil {
		renewed.limiter, renewed.touchedAt = known.limiter, known.touchedAt
	}
	g.known[hash] = renewed
	return renewed, nil
}

// noteUnknown remembers that there is no such key, so that asking again costs
// nothing for a while. All are forgotten when there are too many.
func (g *authenticator) noteUnknown(hash auth.KeyHash) {
	if len(g.unknown) >= maxUnknown {
		clear(g.unknown)
	}
	g.unknown[hash] = g.now()
}

func (g *authenticator) noteUse(known *knownKey) {
	g.mu.Lock()
	due := g.now().Sub(known.touchedAt) >= touchEvery
	if due {
		known.touchedAt = g.now()
	}
	g.mu.Unlock()
	if !due {
		return
	}
	select {
	case g.touch <- known.key.ID:
	default: // the next use will be noted
	}
}

// checkVisitor applies checkLocal to calls that need no key, where no key is
// needed for anything.
func (g *authenticator) checkVisitor(r *http.Request) error {
	if open, err := g.isOpen(r.Context()); err == nil && !open {
		return nil
	}
	return checkLocal(r) // also where the store does not say: such a call is not about it
}

// checkLocal keeps web pages of other origins, and names that an attacker
// points at this machine, away from a server without keys.
func checkLocal(r *http.Request) error {
	if !isLocalHost(r.Host) {
		return sandtrail.Errorf(sandtrail.CodeForbidden, "without keys the server answers to localhost only, not to %q; make a key first", r.Host).
			With(sandtrail.Remedy{Act: remedy.AddKey, Value: string(auth.RoleAdmin)})
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
			return sandtrail.Errorf(sandtrail.CodeForbidden, "without keys the server does not answer pages of other sites; make a key for them")
		}
		return nil
	}
	if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
		return sandtrail.Errorf(sandtrail.CodeForbidden, "without keys the server does not answer pages of other sites, such as %q; make a key for them", origin)
	}
	return nil
}

func isLocalHost(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.Trim(hostPort, "[]")
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// record adds a line to the access log.
func (g *authenticator) record(r *http.Request, c caller, act string, outcome auth.Outcome, detail string) error {
	if g.access == nil {
		return nil
	}
	now := sandtrail.Millisecond(g.now())
	line := auth.Access{
		ID: sandtrail.NewID(now), At: now, Actor: c.name(), Action: act,
		Object: r.URL.RequestURI(), Outcome: outcome, Detail: detail, Remote: c.remote,
	}
	if c.key != nil {
		line.KeyID = &c.key.ID
	}
	return g.access.LogAccess(r.Context(), line.Bounded())
}

// recordDenied notes a refusal. It never fails the answer, which is a refusal
// already, and lets no flood of them into the store.
func (g *authenticator) recordDenied(r *http.Request, c caller, act string, cause error) {
	if !g.denied.AllowN(g.now(), 1) {
		return
	}
	if err := g.record(r, c, act, auth.Denied, cause.Error()); err != nil {
		g.log.Error("note a denied attempt", "action", act, "error", err)
	}
}
