package web

import (
	"net/http"
	"net/url"

	"github.com/sandtrail/sandtrail"
)

// export hands the filter of the list to the API, which streams it.
func export(v *view) error {
	return v.forward("/v1/export", "format")
}

// live follows the executions of the filter as they are committed.
func live(v *view) error {
	return v.forward("/v1/executions/stream")
}

// forward asks the API in the name of whoever is signed in, about the filter
// in the address and the parameters named in also.
func (v *view) forward(path string, also ...string) error {
	if v.API == nil {
		return sandtrail.Errorf(sandtrail.CodeNotFound, "This server has no API beside the page.")
	}
	f, err := readForm(v.r.URL.Query()).filter(v.loc)
	if err != nil {
		return err
	}
	if f.UserID, err = v.store.restrict(f.UserID); err != nil {
		return err
	}
	q := exportQuery(f, v.now)
	for _, name := range also {
		q.Set(name, v.r.URL.Query().Get(name))
	}
	r := v.r.Clone(v.r.Context())
	r.URL = &url.URL{Path: path, RawQuery: q.Encode()}
	r.RequestURI = r.URL.RequestURI()
	r.Header = http.Header{}
	for _, name := range []string{"Accept", "Accept-Encoding", "Last-Event-Id", "User-Agent"} {
		if value := v.r.Header.Get(name); value != "" {
			r.Header.Set(name, value)
		}
	}
	if v.key != "" {
		r.Header.Set("Authorization", "Bearer "+v.key)
	}
	v.API.ServeHTTP(v.w, r)
	return nil
}
