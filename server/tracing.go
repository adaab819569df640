package server

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traced serves a request inside a span, which continues the trace that the
// caller names. It tells neither the query nor the caller's name.
func (s *Server) traced(route string, w *statusWriter, r *http.Request, handle http.HandlerFunc) {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := s.cfg.Tracer.Start(ctx, route, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", r.Method),
		attribute.String("url.path", r.URL.Path),
		attribute.String("sandtrail.request.id", requestIDOf(ctx)),
	))
	defer func() {
		span.SetAttributes(attribute.Int("http.response.status_code", w.status))
		if w.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(w.status))
		}
		span.End()
	}()
	handle(w, r.WithContext(ctx))
}

// span opens a span around a commit: in the trace of the first write that is
// traced, with links to the others.
func (c *committer) span(ctx context.Context, group []*write, records int) (context.Context, func(error)) {
	var parent trace.SpanContext
	var links []trace.Link
	for _, w := range group {
		switch span := trace.SpanContextFromContext(w.ctx); {
		case !span.IsSampled():
		case !parent.IsValid():
			parent = span
		default:
			links = append(links, trace.Link{SpanContext: span})
		}
	}
	if !parent.IsValid() {
		return ctx, func(error) {}
	}
	ctx, span := c.tracer.Start(trace.ContextWithSpanContext(ctx, parent), "commit", trace.WithLinks(links...), trace.WithAttributes(
		attribute.Int("sandtrail.batches", len(group)), attribute.Int("sandtrail.records", records),
	))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, "nothing was stored")
		}
		span.End()
	}
}
