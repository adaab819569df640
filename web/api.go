package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

var errNoAPI = sandtrail.Errorf(sandtrail.CodeNotFound, "This server has no API beside the page.")

// export hands the filter of the list to the API, which streams it.
func export(v *view) error {
	return v.forward("/v1/export", "format")
}

// live follows the executions of the filter as they are committed.
func live(v *view) error {
	return v.forward("/v1/executions/stream")
}

// forward asks the API in the name of the signed-in reader, about the filter
// in the address and the parameters named in also.
func (v *view) forward(path string, also ...string) error {
	if v.API == nil {
		return errNoAPI
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
	v.API.ServeHTTP(v.w, v.inReadersName(http.MethodGet, path, q, nil))
	return nil
}

// inReadersName is a request of the API by the signed-in reader: the API decides what
// they may do, and logs it as theirs.
func (v *view) inReadersName(method, path string, q url.Values, body []byte) *http.Request {
	r := v.r.Clone(v.r.Context())
	r.Method = method
	r.URL = &url.URL{Path: path, RawQuery: q.Encode()}
	r.RequestURI = r.URL.RequestURI()
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Form, r.PostForm, r.MultipartForm = nil, nil, nil
	r.Header = http.Header{}
	for _, name := range []string{"Accept", "Accept-Encoding", "Last-Event-Id", "User-Agent"} {
		if value := v.r.Header.Get(name); value != "" {
			r.Header.Set(name, value)
		}
	}
	if v.key != "" {
		r.Header.Set("Authorization", "Bearer "+v.key)
	}
	return r
}

// reply is an answer of the API that is kept.
type reply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *reply) Header() http.Header { return r.header }

func (r *reply) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *reply) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

// fetch asks the API in the reader's name; what it refuses is an error with
// the API's words.
func (v *view) fetch(method, path string, q url.Values, body []byte) (*reply, error) {
	if v.API == nil {
		return nil, errNoAPI
	}
	r := v.inReadersName(method, path, q, body)
	r.Header.Del("Accept-Encoding")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	got := &reply{header: http.Header{}}
	v.API.ServeHTTP(got, r)
	if got.status < http.StatusBadRequest {
		return got, nil
	}
	v.told = got.status == http.StatusForbidden || got.status == http.StatusUnauthorized
	problem := api.Problem{Status: got.status}
	if err := json.Unmarshal(got.body.Bytes(), &problem); err != nil {
		return nil, fmt.Errorf("%s %s: status %d without a problem document: %w", method, path, got.status, err)
	}
	return nil, problem.Err()
}

// ask is fetch with JSON both ways; body and answer may be nil.
func (v *view) ask(method, path string, q url.Values, body, answer any) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return err
		}
	}
	got, err := v.fetch(method, path, q, raw)
	if err != nil || answer == nil {
		return err
	}
	if err := json.Unmarshal(got.body.Bytes(), answer); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return nil
}

// act has the API change something and shows the page that tells of it.
func (v *view) act(back, method, path string, body any) error {
	if err := v.ask(method, path, nil, body, nil); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, back, http.StatusSeeOther)
	return nil
}
