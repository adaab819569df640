package web

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// doc is a parsed page.
type doc struct {
	*html.Node
	path string
}

// page asks for a path, wants the status and parses the answer.
func page(t *testing.T, h http.Handler, path string, status int, edit ...func(*http.Request)) doc {
	t.Helper()
	w := get(t, h, path, edit...)
	if w.Code != status {
		t.Fatalf("%s: status %d, want %d\n%s", path, w.Code, status, w.Body)
	}
	return parse(t, path, w)
}

func parse(t *testing.T, path string, w *httptest.ResponseRecorder) doc {
	t.Helper()
	root, err := html.Parse(w.Body)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return doc{root, path}
}

// find lists the elements that match, in the order of the page.
func (d doc) find(match func(*html.Node) bool) []doc {
	var found []doc
	for n := range d.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			found = append(found, doc{n, d.path})
		}
	}
	return found
}

// class finds elements by a class.
func (d doc) class(name string) []doc {
	return d.find(func(n *html.Node) bool {
		return strings.Contains(" "+attr(n, "class")+" ", " "+name+" ")
	})
}

// tag finds elements by their name.
func (d doc) tag(name string) []doc {
	return d.find(func(n *html.Node) bool { return n.Data == name })
}

// having finds elements by an attribute.
func (d doc) having(attribute string) []doc {
	return d.find(func(n *html.Node) bool {
		return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == attribute })
	})
}

// plain is text as doc.text gives it.
func plain(s string) string { return strings.ReplaceAll(s, nb, " ") }

// id finds the one element with an id.
func (d doc) id(t *testing.T, id string) doc {
	t.Helper()
	found := d.find(func(n *html.Node) bool { return attr(n, "id") == id })
	if len(found) != 1 {
		t.Fatalf("%s: %d elements with the id %q", d.path, len(found), id)
	}
	return found[0]
}

func (d doc) attr(name string) string { return attr(d.Node, name) }

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// text is what one reads, with runs of blanks made one.
func (d doc) text() string {
	var b strings.Builder
	for n := range d.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "title" {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// main is the text of the page between its frame.
func (d doc) main(t *testing.T) string { t.Helper(); return d.id(t, "main").text() }

// wantText fails unless the page's main part says each of the words.
func (d doc) wantText(t *testing.T, words ...string) {
	t.Helper()
	text := d.main(t)
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not say %q:\n%s", d.path, w, text)
		}
	}
}
