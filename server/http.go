package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

const requestIDHeader = "X-Request-Id"

// wrap puts around every request what has nothing to do with what it asks.
func (s *Server) wrap(next http.Handler) (http.Handler, error) {
	compress, err := gzhttp.NewWrapper(
		gzhttp.EnableZstd(true), gzhttp.PreferZstd(true), gzhttp.MinSize(1024),
		gzhttp.ExceptContentTypes([]string{"text/event-stream", "image/*", "font/*"}),
	)
	if err != nil {
		return nil, err
	}
	compressed := compress(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestID(r)
		w.Header().Set(requestIDHeader, id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		r = r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id))
		defer s.recoverPanic(w, r)
		if r.Body != http.NoBody { // nor may one be waited for that is refused unread
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.Limits.IdleTime))
		}
		compressed.ServeHTTP(w, r)
	}), nil
}

type requestIDKey struct{}

// requestID is the caller's own id of the request if it is presentable, else
// a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get(requestIDHeader)
	if id == "" || len(id) > 128 {
		return sandtrail.NewID(time.Now()).String()
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return sandtrail.NewID(time.Now()).String()
		}
	}
	return id
}

func requestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// logger names the request, and its trace if there is one.
func (s *Server) logger(ctx context.Context) *slog.Logger {
	log := s.log.With("request", requestIDOf(ctx))
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		log = log.With("trace", span.TraceID().String())
	}
	return log
}

func (s *Server) recoverPanic(w http.ResponseWriter, r *http.Request) {
	fault := recover()
	switch fault {
	case nil:
		return
	case http.ErrAbortHandler:
		panic(fault) // cuts the connection, which is what was wanted
	}
	s.writeProblem(w, r, s.panicked(r, fault), "")
}

// panicked counts and logs a panic of a request, and is the error of its answer.
func (s *Server) panicked(r *http.Request, fault any) error {
	s.metrics.panics.Inc()
	s.logger(r.Context()).Error("panic", "path", r.URL.Path, "panic", fault, "stack", string(debug.Stack()))
	return errors.New("panic")
}

// writeProblem answers with an error. origin is where its field paths start.
func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, err error, origin string) {
	problem := s.problem(r.Context(), err, origin)
	if r.URL.Path == otlpPath {
		sendStatus(w, r, problem)
		return
	}
	sendProblem(w, problem)
}

// problem describes an error to the caller, and to the log if it is ours.
func (s *Server) problem(ctx context.Context, err error, origin string, inPath ...string) *api.Problem {
	var known *api.Problem
	if errors.As(err, &known) {
		return known
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = &sandtrail.Error{Code: sandtrail.CodeUnavailable, Message: "the answer took too long; ask for less, or try again later", Err: err}
	case errors.Is(err, context.Canceled):
		err = &sandtrail.Error{Code: sandtrail.CodeUnavailable, Message: "the request was cancelled", Err: err}
	}
	switch sandtrail.CodeOf(err) {
	case sandtrail.CodeInternal:
		s.logger(ctx).Error("request failed", "error", err)
		problem := api.NewProblem(err, origin)
		problem.Detail += " Its operator finds it there as request " + requestIDOf(ctx) + "."
		return problem
	case sandtrail.CodeUnavailable:
		s.logger(ctx).Warn("request failed", "error", err)
	}
	return api.NewProblem(err, origin, inPath...)
}

func sendProblem(w http.ResponseWriter, p *api.Problem) {
	retryHeaders(w, p.Status)
	w.Header().Set("Content-Type", api.ProblemType)
	writeJSON(w, p.Status, p)
}

// retryHeaders say how to come back after a refusal.
func retryHeaders(w http.ResponseWriter, status int) {
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="sandtrail"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
}

// sendJSON answers with a value.
func sendJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	writeJSON(w, status, value)
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if raw, err := sandtrail.EncodeJSON(value); err == nil {
		_, _ = w.Write(append(raw, '\n')) // a caller that is gone needs no answer
	}
}

// idleWriter gives every write its own deadline, so that a caller who takes
// nothing for that long is cut off while a slow one is served.
type idleWriter struct {
	w       io.Writer
	control *http.ResponseController
	idle    time.Duration
}

func newIdleWriter(w http.ResponseWriter, idle time.Duration) *idleWriter {
	return &idleWriter{w: w, control: http.NewResponseController(w), idle: idle}
}

func (w *idleWriter) Write(b []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.idle))
	return w.w.Write(b)
}

// flush sends what is buffered.
func (w *idleWriter) flush() error {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.idle))
	return w.control.Flush()
}
