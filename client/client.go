// Package client is a running server as a sandtrail.Store: the same calls,
// the same answers, the same errors as the database behind it.
package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/backoff"
	"github.com/sandtrail/sandtrail/internal/bounded"
)

// Options describe a server. Zero fields take the value named beside them.
type Options struct {
	URL       string       // http://127.0.0.1:8471; required
	Key       string       // "": none, for a server without keys
	HTTP      *http.Client // one whose answers must begin within a minute
	Attempts  int          // for calls that may be repeated; 4
	UserAgent string       // sandtrail
}

// Client is a sandtrail.Store. It may be used by many goroutines.
type Client struct {
	base    *url.URL
	options Options
	ownHTTP bool
}

var _ sandtrail.Store = (*Client)(nil)

// Open makes a client for the server at a URL. It does not connect: Ping does.
func Open(serverURL, key string) (*Client, error) {
	return New(Options{URL: serverURL, Key: key})
}

// New makes a client. It does not connect.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "server: must be a URL such as https://sandtrail.example.com or http://127.0.0.1:8471, its https:// or http:// included")
	}
	if strings.ContainsFunc(o.Key, unicode.IsControl) {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "key: must be st_… without line breaks or other control characters")
	}
	c := &Client{base: base, options: o, ownHTTP: o.HTTP == nil}
	if c.ownHTTP {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 64
		transport.ResponseHeaderTimeout = time.Minute
		c.options.HTTP = &http.Client{Transport: transport}
	}
	own := *c.options.HTTP
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.options.HTTP = &own // what is sent is for the server that was named
	if c.options.Attempts == 0 {
		c.options.Attempts = 4
	}
	if c.options.UserAgent == "" {
		c.options.UserAgent = "sandtrail"
	}
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() error {
	if c.ownHTTP {
		c.options.HTTP.CloseIdleConnections()
	}
	return nil
}

// Ping asks whether the server can serve now.
func (c *Client) Ping(ctx context.Context) error {
	_, err := get[struct{}](ctx, c, nil, "readyz")
	return err
}

// call is a request that can be made again.
type call struct {
	method string
	path   []string // segments, not escaped
	query  url.Values
	body   any    // sent as JSON; nil: none
	once   bool   // a repetition could have another answer
	after  string // the last event of a stream that is known; "": none
}

func get[T any](ctx context.Context, c *Client, query url.Values, path ...string) (T, error) {
	return do[T](ctx, c, call{method: http.MethodGet, path: path, query: query})
}

// do makes a call, again if that may help, and reads its answer.
func do[T any](ctx context.Context, c *Client, request call) (answer T, err error) {
	response, err := c.send(ctx, request)
	if err != nil {
		return answer, err
	}
	defer drain(response.Body)
	if response.StatusCode == http.StatusNoContent {
		return answer, nil
	}
	raw, err := bounded.ReadAll(response.Body, request.answer(), maxAnswer)
	if err == nil && elements(raw) > maxElements {
		err = sandtrail.Errorf(sandtrail.CodeTooLarge, "%s has more elements than are read of it: check that the address is that of a Sandtrail server", request.answer())
	}
	if err == nil {
		err = json.Unmarshal(raw, &answer)
	}
	if err != nil {
		return answer, cutShort(ctx, request, err)
	}
	return answer, nil
}

// cutShort is the error of an answer that was not read to its end.
func cutShort(ctx context.Context, request call, cause error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", request, ctx.Err())
	}
	if sandtrail.CodeOf(cause) == sandtrail.CodeTooLarge {
		return cause
	}
	return &sandtrail.Error{Code: sandtrail.CodeUnavailable, Message: fmt.Sprintf("%s: the answer was cut short: %v", request, cause), Err: cause}
}

func (r call) String() string { return r.method + " /" + strings.Join(r.path, "/") }

// send returns an answer of success; its body must be closed.
func (c *Client) send(ctx context.Context, request call) (*http.Response, error) {
	body, err := encode(request.body)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		response, err := c.try(ctx, request, body)
		if err == nil || attempt >= c.options.Attempts || !mayRepeat(request, err) {
			return response, err
		}
		if !backoff.Wait(ctx, attempt, err) {
			return nil, err
		}
	}
}

// encoded is a body as it is sent.
type encoded struct {
	bytes []byte
	gzip  bool
}

const compressFrom = 1 << 10

func encode(value any) (encoded, error) {
	if value == nil {
		return encoded{}, nil
	}
	raw, err := sandtrail.EncodeJSON(value)
	if err != nil || len(raw) < compressFrom {
		return encoded{bytes: raw}, err
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return encoded{}, err
	}
	_, _ = w.Write(raw) // a bytes.Buffer takes everything
	_ = w.Close()
	return encoded{bytes: b.Bytes(), gzip: true}, nil
}

func (c *Client) try(ctx context.Context, request call, body encoded) (*http.Response, error) {
	r, err := c.request(ctx, request, body)
	if err != nil {
		return nil, err
	}
	response, err := c.options.HTTP.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", request, ctx.Err())
		}
		return nil, &sandtrail.Error{Code: sandtrail.CodeUnavailable, Message: fmt.Sprintf("the server cannot be reached: %v", cause(err)), Err: err}
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer drain(response.Body)
	if response.StatusCode/100 == 3 {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "the server answered %s, and redirections are not followed%s: give the server's own address", response.Status, elsewhere(response))
	}
	return nil, refusal(response)
}

// elsewhere is where a redirection leads, without what may be a secret.
func elsewhere(response *http.Response) string {
	to, err := response.Location()
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (to %s://%s)", to.Scheme, to.Host)
}

// cause takes off the URL that the HTTP library puts before its errors.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (c *Client) request(ctx context.Context, request call, body encoded) (*http.Request, error) {
	segments := make([]string, len(request.path))
	for i, segment := range request.path {
		if segment == "" {
			return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "an address cannot name what has an empty id: ask the database in place of a server")
		}
		segments[i] = escape(segment)
	}
	u := *c.base
	u.RawPath = strings.TrimSuffix(u.EscapedPath(), "/") + "/" + strings.Join(segments, "/")
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + strings.Join(request.path, "/")
	u.RawQuery = request.query.Encode()
	r, err := http.NewRequestWithContext(ctx, request.method, u.String(), bytes.NewReader(body.bytes))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", request, err)
	}
	r.Header.Set("User-Agent", c.options.UserAgent)
	if c.options.Key != "" {
		r.Header.Set("Authorization", "Bearer "+c.options.Key)
	}
	if request.after != "" {
		r.Header.Set("Last-Event-ID", request.after)
	}
	if body.bytes != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if body.gzip {
		r.Header.Set("Content-Encoding", "gzip")
	}
	return r, nil
}

// escape makes a segment of a path of any text. Dots alone would be steps.
func escape(segment string) string {
	if segment == "." || segment == ".." {
		return strings.ReplaceAll(segment, ".", "%2E")
	}
	return url.PathEscape(segment)
}

// maxProblem bounds how much of a refusal is read.
const maxProblem = 1 << 20

// refusal is the error that an answer stands for.
func refusal(response *http.Response) error {
	var problem api.Problem
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if media != api.ProblemType || json.NewDecoder(io.LimitReader(response.Body, maxProblem)).Decode(&problem) != nil {
		problem = api.Problem{Status: response.StatusCode, Detail: "the server answered " + response.Status}
	}
	e := problem.Err()
	e.Err = &answered{problem: problem, retryAfter: seconds(response.Header.Get("Retry-After"))}
	return e
}

// answered is the cause of an error that the server gave.
type answered struct {
	problem    api.Problem
	retryAfter time.Duration
}

func (a *answered) Error() string { return fmt.Sprintf("HTTP status %d", a.problem.Status) }

// RetryAfter is the time that the server asked the caller to wait; 0: none.
func (a *answered) RetryAfter() time.Duration { return a.retryAfter }

func seconds(header string) time.Duration {
	n, err := strconv.Atoi(header)
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// mayRepeat reports whether a failed call may be made again: it was not let
// in, or nothing can go wrong by doing it twice.
func mayRepeat(request call, err error) bool {
	switch sandtrail.CodeOf(err) {
	case sandtrail.CodeRateLimited:
		return true
	case sandtrail.CodeUnavailable:
		return !request.once
	}
	return false
}

// drain reads what is left of a body, so that its connection can be used
// again.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxProblem)
	_ = body.Close()
}
