package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
)

// Authenticator knows the keys.
type Authenticator interface {
	// Authenticate says whose key this is; CodeUnauthorized when it is unknown,
	// revoked or expired. The key is "" for readers who have not signed in:
	// while no key exists at all they are the zero Principal, else
	// CodeUnauthorized. It is called for every page, so that revoking a key
	// ends its sessions at once.
	Authenticate(ctx context.Context, key string) (Principal, error)
}

// Principal is who reads the page.
type Principal struct {
	Name   string       // of the key
	KeyID  sandtrail.ID // zero: no sign-in
	Role   auth.Role    // "": no sign-in, may see everything
	UserID string       // sees the executions of this user alone; "": of all
}

func (p Principal) administers() bool {
	return p.Role == "" || p.Role == auth.RoleAdmin
}

// audits reports whether the reader may see how the server is run.
func (p Principal) audits() bool {
	return p.administers() || p.Role == auth.RoleAuditor
}

const (
	sessionCookie = "sandtrail_session"
	sessionLength = 12 * time.Hour
	maxSessions   = 10_000
)

// sessions keeps secrets for those who show the cookie that start made for
// them: for a session the key that was signed in with. They live in memory,
// under the hash of the cookie: after a restart people sign in again.
type sessions struct {
	now    func() time.Time
	length time.Duration

	mu   sync.Mutex
	open map[[sha256.Size]byte]session
}

type session struct {
	secret  string
	expires time.Time
}

func newSessions(now func() time.Time, length time.Duration) *sessions {
	return &sessions{now: now, length: length, open: map[[sha256.Size]byte]session{}}
}

// start returns the cookie's value for a new session.
func (s *sessions) start(secret string) string {
	token := make([]byte, 32)
	_, _ = rand.Read(token) // crypto/rand.Read never fails
	value := base64.RawURLEncoding.EncodeToString(token)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom(now)
	s.open[sha256.Sum256([]byte(value))] = session{secret: secret, expires: now.Add(s.length)}
	return value
}

// makeRoom drops expired sessions, and any one when that is not enough.
func (s *sessions) makeRoom(now time.Time) {
	for token, old := range s.open {
		if !now.Before(old.expires) {
			delete(s.open, token)
		}
	}
	for token := range s.open {
		if len(s.open) < maxSessions {
			return
		}
		delete(s.open, token)
	}
}

// secret returns the secret of a session, "" when there is none.
func (s *sessions) secret(value string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.open[sha256.Sum256([]byte(value))]
	if !ok || !s.now().Before(found.expires) {
		return ""
	}
	return found.secret
}

// take is secret, once.
func (s *sessions) take(value string) string {
	secret := s.secret(value)
	s.end(value)
	return secret
}

func (s *sessions) end(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sha256.Sum256([]byte(value)))
}

// recognise finds out who is asking. It is CodeUnauthorized for readers who
// have to sign in first.
func (v *view) recognise() error {
	if v.Authenticator != nil {
		v.key = v.sessions.secret(cookie(v.r, sessionCookie))
		who, err := v.Authenticator.Authenticate(v.r.Context(), v.key)
		if err == nil && who.Role == auth.RoleIngest {
			err = errWriteOnly
		}
		if err != nil {
			return err
		}
		v.who = who
	}
	v.known = true
	return nil
}

// identify is recognise for pages that need a reader. It is done when it has
// answered itself, by sending the reader to sign in.
func (v *view) identify() (done bool, err error) {
	err = v.recognise()
	if sandtrail.CodeOf(err) != sandtrail.CodeUnauthorized {
		return false, err
	}
	v.sessions.end(cookie(v.r, sessionCookie))
	v.key = ""
	v.askToSignIn()
	return true, nil
}

var errSignIn = sandtrail.Errorf(sandtrail.CodeUnauthorized, "not signed in, or the session has ended: sign in")

var errWriteOnly = sandtrail.Errorf(sandtrail.CodeForbidden,
	"This key can only write. Use one made with --role read, auditor or admin.")

// askToSignIn sends the reader to the form. A browser leaves a strict cookie out when
// its user follows a link from another site, so such a request is first repeated from
// a page of ours.
func (v *view) askToSignIn() {
	if v.r.Header.Get("Sec-Fetch-Site") == "cross-site" && v.r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		v.render(http.StatusOK, "again", v.frame("One moment", ""))
		return
	}
	v.noteRefusal(errSignIn)
	to := "/sign-in"
	if next := v.r.URL.RequestURI(); next != "/" {
		to += "?" + url.Values{"next": {next}}.Encode()
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
}

type signInPage struct {
	*frame
	Next    string
	Problem string
}

func signInForm(v *view) error {
	if err := v.recognise(); err == nil && v.key == "" { // nothing to sign in for
		http.Redirect(v.w, v.r, "/", http.StatusSeeOther)
		return nil
	}
	v.render(http.StatusOK, "sign-in", signInPage{
		frame: v.frame("Sign in", ""), Next: localPath(v.r.URL.Query().Get("next")),
	})
	return nil
}

func signIn(v *view) error {
	if v.Authenticator == nil {
		http.Redirect(v.w, v.r, "/", http.StatusSeeOther)
		return nil
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, 4<<10)
	key, next := v.r.PostFormValue("key"), localPath(v.r.PostFormValue("next"))
	who, err := v.Authenticator.Authenticate(v.r.Context(), key)
	if err == nil && who.Role == auth.RoleIngest {
		err = errWriteOnly
	}
	switch sandtrail.CodeOf(err) {
	case "":
	case sandtrail.CodeUnauthorized, sandtrail.CodeInvalid:
		return v.refuseSignIn(http.StatusUnauthorized, next, errBadKey)
	case sandtrail.CodeForbidden:
		v.who = who
		return v.refuseSignIn(http.StatusForbidden, next, errWriteOnly)
	default:
		return err
	}
	v.keepCookie(sessionCookie, "/", v.sessions.start(key), sessionLength)
	http.Redirect(v.w, v.r, next, http.StatusSeeOther)
	return nil
}

func (v *view) refuseSignIn(status int, next string, problem *sandtrail.Error) error {
	v.noteRefusal(problem)
	v.render(status, "sign-in", signInPage{frame: v.frame("Sign in", ""), Next: next, Problem: problem.Message})
	return nil
}

func signOut(v *view) error {
	v.sessions.end(cookie(v.r, sessionCookie))
	v.keepCookie(sessionCookie, "/", "", 0)
	http.Redirect(v.w, v.r, "/sign-in", http.StatusSeeOther)
	return nil
}

// keepCookie gives the browser a cookie that no script and no other site can
// use; a length of 0 takes it back.
func (v *view) keepCookie(name, path, value string, length time.Duration) {
	seconds := int(length / time.Second)
	if seconds == 0 {
		seconds = -1
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: name, Value: value, Path: path, MaxAge: seconds,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: overTLS(v.r),
	})
}

// overTLS reports whether the reader's connection is encrypted, as far as we
// or the proxy in front of us can tell.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}
