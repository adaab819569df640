package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// sender posts spans to a collector. OpenTelemetry's own client of this
// protocol brings all of gRPC into the program.
type sender struct {
	settings
	http *http.Client
	log  *slog.Logger
}

func newSender(s settings, log *slog.Logger) *sender {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &sender{settings: s, log: log, http: &http.Client{
		Transport: transport, Timeout: s.timeout,
		// The headers may hold secrets: only the collector gets them.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Start implements otlptrace.Client.
func (s *sender) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (s *sender) Stop(context.Context) error {
	s.http.CloseIdleConnections()
	return nil
}

// UploadTraces sends spans. They are worth some attempts and no more: a
// failure is written to the log alone.
func (s *sender) UploadTraces(ctx context.Context, spans []*traces.ResourceSpans) error {
	// The message that the protocol asks for differs from this one in name only.
	body, err := proto.Marshal(&traces.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	if s.zip {
		body = zipped(body)
	}
	if err := s.deliver(ctx, body); err != nil {
		s.log.Warn("traces were not delivered and are dropped", "to", s.url, "error", err)
	}
	return nil
}

func zipped(raw []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(raw) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

const attempts = 3

// deliver tries until it succeeds, is refused, or has tried enough.
func (s *sender) deliver(ctx context.Context, body []byte) (err error) {
	for n := range attempts {
		if n > 0 {
			pause := time.NewTimer(time.Second<<n/2 + rand.N(time.Second))
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return err
			}
		}
		var again bool
		if again, err = s.post(ctx, body); !again {
			return err
		}
	}
	return err
}

// post tries once and reports whether another attempt makes sense.
func (s *sender) post(ctx context.Context, body []byte) (again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	for name, values := range s.header {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	if s.zip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	response, err := s.http.Do(request)
	if err != nil {
		return ctx.Err() == nil, err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection is used again
	switch response.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return false, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	return again, fmt.Errorf("the collector answered %s", response.Status)
}
