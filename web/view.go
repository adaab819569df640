package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

// view is one request on its way to becoming a page.
type view struct {
	*site
	w     http.ResponseWriter
	r     *http.Request
	who   Principal
	key   string // that the reader signed in with; "" without sign-in
	known bool   // the reader may look around
	told  bool   // the API has noted the refusal
	store scope
	now   time.Time
	loc   *time.Location
}

// handler writes a page or returns why there is none.
type handler func(*view) error

// open serves a page without sign-in.
func (s *site) open(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := s.view(w, r)
		v.finish(h(v))
	})
}

// page serves a page to signed-in readers, and to all readers where there is no sign-in.
func (s *site) page(h handler) http.Handler {
	return s.open(func(v *view) error {
		if done, err := v.identify(); done || err != nil {
			return err
		}
		v.store = scope{store: s.Store, user: v.who.UserID, now: v.now}
		return h(v)
	})
}

func (s *site) view(w http.ResponseWriter, r *http.Request) *view {
	v := &view{site: s, w: w, r: r, now: s.Now(), loc: time.UTC}
	zone := r.URL.Query().Get("tz")
	if zone == "" {
		zone = cookie(r, zoneCookie)
	}
	if loc, err := sandtrail.ParseLocation(zone); err == nil {
		v.loc = loc
	}
	return v
}

type problemPage struct {
	*frame
	Heading string
	Message string
	Hint    string
	Fields  []sandtrail.FieldError
}

// finish turns an error into a page that says what to do.
func (v *view) finish(err error) {
	if err == nil || v.r.Context().Err() != nil {
		return // the reader has gone
	}
	if !v.known {
		_ = v.recognise() // for the navigation; the error to be told is err
	}
	if code := sandtrail.CodeOf(err); code == sandtrail.CodeForbidden || code == sandtrail.CodeUnauthorized {
		v.noteRefusal(err)
	}
	page := problemPage{frame: v.frame("", "")}
	meaning := api.MeaningOf(sandtrail.CodeOf(err))
	var e *sandtrail.Error
	if errors.As(err, &e) {
		page.Message, page.Fields = e.Message, e.Fields
	}
	switch meaning.Code {
	case sandtrail.CodeInternal:
		v.Log.Error("page failed", "path", v.r.URL.Path, "error", err)
		page.Message = ""
		page.Heading, page.Hint = "Something broke on our side", "Reload the page. If it stays, the server's log says what happened."
	case sandtrail.CodeNotFound:
		page.Heading, page.Hint = "Not found", "It may have been deleted by retention or with its owner, or the address has a typing error."
	case sandtrail.CodeInvalid:
		page.Heading, page.Hint = "That question cannot be answered", "Change the values named here, or start again."
	case sandtrail.CodeUnavailable:
		v.Log.Warn("store out of reach", "path", v.r.URL.Path, "error", err)
		page.Heading, page.Hint = "The store cannot be reached", "Check that the database runs, then reload. The server's log says more; “sandtrail doctor” examines the database."
	case sandtrail.CodeForbidden:
		page.Heading, page.Hint = "Not allowed", "Sign in with a key that may do this; an administrator can make one with “sandtrail keys create”."
	default:
		page.Heading, page.Hint = http.StatusText(meaning.Status), meaning.Says
	}
	page.Title = page.Heading
	v.render(meaning.Status, "problem", page)
}

// Names of the cookies that hold a reader's preferences.
const (
	zoneCookie  = "sandtrail_tz"
	themeCookie = "sandtrail_theme"
)

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// preferences stores the theme or the time zone and returns to the page.
func preferences(v *view) error {
	const year = 365 * 24 * 60 * 60
	set := func(name, value string) {
		http.SetCookie(v.w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: year, SameSite: http.SameSiteLaxMode})
	}
	if zone := v.r.PostFormValue("tz"); zone != "" {
		if _, err := sandtrail.ParseLocation(zone); err != nil {
			return err
		}
		set(zoneCookie, zone)
	}
	switch theme := v.r.PostFormValue("theme"); theme {
	case "light", "dark", "auto":
		set(themeCookie, theme)
	}
	http.Redirect(v.w, v.r, localPath(v.r.PostFormValue("next")), http.StatusSeeOther)
	return nil
}

// localPath is next if it leads to a page of ours, else the overview.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}
