package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
)

//go:embed assets/*.css assets/*.js assets/*.svg assets/*.woff2 assets/*.txt
var assetFiles embed.FS

// assets serves the page's own files. Their addresses carry a hash of their
// content, so that browsers keep them for good and never use an old one.
type assets struct {
	files map[string]asset
}

type asset struct {
	body        []byte
	contentType string
	version     string
}

var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml", ".woff2": "font/woff2", ".txt": "text/plain; charset=utf-8",
}

func newAssets() *assets {
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err) // the files are part of the program
	}
	a := &assets{files: map[string]asset{}}
	var style []byte
	for _, entry := range entries {
		body, err := assetFiles.ReadFile("assets/" + entry.Name())
		if err != nil {
			panic(err)
		}
		if entry.Name() == "app.css" {
			style = body
			continue
		}
		a.add(entry.Name(), body)
	}
	// The style sheet names the typeface by the address that is kept for good.
	a.add("app.css", bytes.ReplaceAll(style, []byte("inter.woff2"), []byte(a.url("inter.woff2"))))
	return a
}

func (a *assets) add(name string, body []byte) {
	sum := sha256.Sum256(body)
	a.files[name] = asset{body: body, contentType: assetTypes[path.Ext(name)], version: hex.EncodeToString(sum[:6])}
}

// url is the address of a file; it panics on a name that does not exist, when
// the first page is rendered in a test.
func (a *assets) url(name string) string {
	file, ok := a.files[name]
	if !ok {
		panic("no asset " + name)
	}
	return "/assets/" + name + "?v=" + file.version
}

func (v *view) asset() error {
	v.assets.ServeHTTP(v.w, v.r)
	return nil
}

func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := a.files[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.contentType)
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == file.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(file.body) // fails only when the reader went away
}
