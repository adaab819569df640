package web

import (
	"bytes"
	"embed"
	"html/template"
	"io"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail/internal/human"
)

//go:embed templates
var templateFiles embed.FS

// renderer holds one template set per page: the layout, the shared parts and
// the page itself.
type renderer struct {
	pages map[string]*template.Template
}

func newRenderer(files *assets) *renderer {
	shared := template.Must(template.New("").Funcs(functions(files)).ParseFS(templateFiles, "templates/shared/*.html"))
	names, err := templateFiles.ReadDir("templates/pages")
	if err != nil {
		panic(err) // the files are part of the program
	}
	r := &renderer{pages: map[string]*template.Template{}}
	for _, entry := range names {
		page := template.Must(template.Must(shared.Clone()).ParseFS(templateFiles, path.Join("templates/pages", entry.Name())))
		r.pages[strings.TrimSuffix(entry.Name(), ".html")] = page
	}
	return r
}

// frame is what every page has around its content.
type frame struct {
	Title   string
	Section string // of the navigation that is current
	Theme   string // light, dark or auto
	Zone    string // IANA name
	Here    string // path and query of this page
	Who     Principal
	Nav     bool // the reader may go to the other pages
	Signed  bool // the reader signed in and can sign out
	Admin   bool
	Now     time.Time
	Refresh bool // the page brings itself up to date while it is open

	ZoneGiven bool // the reader has chosen the zone
	ZoneLabel string

	loc *time.Location
}

func (v *view) frame(title, section string) *frame {
	f := &frame{
		Title: title, Section: section, Theme: "auto", Zone: v.loc.String(), Here: v.r.URL.RequestURI(),
		Who: v.who, Signed: v.known && v.key != "", Admin: v.Examiner != nil && v.who.audits(), Now: v.now, loc: v.loc,
		Nav:       v.known,
		ZoneGiven: cookie(v.r, zoneCookie) != "" || v.r.URL.Query().Has("tz"),
		ZoneLabel: v.now.In(v.loc).Format("MST"),
	}
	if theme := cookie(v.r, themeCookie); theme == "light" || theme == "dark" {
		f.Theme = theme
	}
	if v.r.Method != http.MethodGet {
		f.Here = "/"
	}
	return f
}

// NextTheme is what the theme button changes to.
func (f *frame) NextTheme() string {
	return map[string]string{"auto": "dark", "dark": "light", "light": "auto"}[f.Theme]
}

// render writes a page as a whole or, when the template fails, an error.
func (v *view) render(status int, name string, data any) {
	var page bytes.Buffer
	if err := v.renderer.pages[name].ExecuteTemplate(&page, "layout", data); err != nil {
		v.Log.Error("template failed", "page", name, "error", err)
		http.Error(v.w, "The page could not be made; the server's log says why.", http.StatusInternalServerError)
		return
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "private, no-cache")
	}
	h.Set("Vary", "Cookie")
	v.w.WriteHeader(status)
	_, _ = io.WriteString(v.w, showHidden(page.String())) // fails only when the reader went away
}

// readable are the attributes that a reader gets to see; the others, such as
// the value of a field, stay exact.
var readable = regexp.MustCompile(` (title|aria-label|placeholder)="[^"]*"`)

// showHidden makes every character of a page visible that hides or reorders
// text. Templates escape < and > wherever they do not
// belong to a tag.
func showHidden(page string) string {
	if !human.Hidden(page) {
		return page
	}
	var b strings.Builder
	for page != "" {
		text, rest, _ := strings.Cut(page, "<")
		b.WriteString(human.VisibleLines(text))
		if rest == "" {
			break
		}
		tag, after, _ := strings.Cut(rest, ">")
		b.WriteString("<" + readable.ReplaceAllStringFunc(tag, human.VisibleLines) + ">")
		page = after
	}
	return b.String()
}
