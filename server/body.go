package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/sandtrail/sandtrail"
)

const (
	// maxWindow bounds the memory that decompression of one body takes.
	maxWindow = 8 << 20
	// minWindow is what decompression may always have.
	minWindow = 1 << 20
	// receivingUnit is the memory that one body takes while it comes.
	receivingUnit = 64 << 10
)

// receiveWhole reads a body to its end and keeps it aside. Who sends slowly holds a
// connection by it, and nothing that others need. Free the spool.
func (s *Server) receiveWhole(w http.ResponseWriter, r *http.Request, limit int64) (*spool, error) {
	c := callerOf(r.Context())
	if err := s.receiving(c).try(c.shareName(), 1); err != nil {
		return nil, err
	}
	defer s.receiving(c).give(c.shareName(), 1)
	p := s.newSpool(c.shareName())
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	body := s.sent(w, r, s.cfg.Limits.RequestTime)
	_, err := io.CopyBuffer(struct{ io.Writer }{p}, atMost(body, limit), make([]byte, 16<<10))
	if err != nil {
		p.free()
		return nil, err
	}
	return p, nil
}

// receiving is the budget of bodies that are coming: strangers have their own.
func (s *Server) receiving(c caller) *budget {
	if c.role == "" {
		return s.guests
	}
	return s.bodies
}

// sent reads a body as it comes, each read within the idle time, and all of it
// within a time; 0: any.
func (s *Server) sent(w http.ResponseWriter, r *http.Request, within time.Duration) io.Reader {
	body := &bodyReader{r: r.Body, control: http.NewResponseController(w), idle: s.cfg.Limits.IdleTime}
	if within > 0 {
		body.until = time.Now().Add(within)
	}
	return body
}

// bodyReader gives every read of a body its deadline and words its errors.
type bodyReader struct {
	r       io.Reader
	control *http.ResponseController
	idle    time.Duration
	until   time.Time // zero: no end
}

func (b *bodyReader) Read(p []byte) (int, error) {
	deadline := time.Now().Add(b.idle)
	if !b.until.IsZero() && b.until.Before(deadline) {
		deadline = b.until
	}
	_ = b.control.SetReadDeadline(deadline) // what has none, as in tests, needs none
	n, err := b.r.Read(p)
	if err == io.EOF {
		// The deadline of a body is not one of the answer: past it the
		// connection would count as lost.
		_ = b.control.SetReadDeadline(time.Time{})
		return n, err
	}
	if err != nil {
		err = badBody(err)
	}
	return n, err
}

// badBody words a failure to read a body.
func badBody(err error) error {
	var known *sandtrail.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &sandtrail.Error{Code: sandtrail.CodeUnavailable, Message: "the body stopped coming; send it again", Err: err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "the body ended too early", Err: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "the body cannot be read: " + err.Error(), Err: err}
}

func tooLarge(limit int64) error {
	return sandtrail.Errorf(sandtrail.CodeTooLarge, "a body may have %d bytes; send executions as NDJSON (application/x-ndjson), which may have any length, or in several requests", limit)
}

// limited reads at most so many bytes; one more is an error.
type limited struct {
	r     io.Reader
	limit int64
	left  int64
}

func atMost(r io.Reader, limit int64) io.Reader { return &limited{r, limit, limit} }

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, tooLarge(l.limit)
	}
	return n, err
}

// unpacked is a body without its compression. Close it.
type unpacked struct {
	io.Reader
	window int64 // memory that decompression takes
	close  func()
}

func (u unpacked) Close() error { u.close(); return nil }

// unpack takes the compression off a body. The caller's leaving ends it.
func unpack(ctx context.Context, encoding string, body io.Reader) (unpacked, error) {
	u := unpacked{Reader: attended{ctx, body}, close: func() {}}
	switch encoding {
	case "", "identity":
		return u, nil
	case "gzip":
		reader, err := gzip.NewReader(bufio.NewReaderSize(u.Reader, 4<<10))
		if err != nil {
			return u, badBody(err)
		}
		u.Reader, u.window = worded{reader}, receivingUnit
		return u, nil
	case "zstd":
		buffered := bufio.NewReaderSize(u.Reader, 4<<10)
		u.window = windowOf(buffered)
		reader, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(uint64(u.window)))
		if err != nil {
			return u, badBody(err)
		}
		u.Reader, u.close = worded{reader}, reader.Close
		return u, nil
	}
	return u, sandtrail.Errorf(sandtrail.CodeInvalid, "Content-Encoding %q is not understood; send gzip, zstd or nothing", encoding)
}

// windowOf is the memory that the first frame of a zstd body asks for, within bounds.
func windowOf(body *bufio.Reader) int64 {
	var head zstd.Header
	start, _ := body.Peek(zstd.HeaderMaxSize) // a shorter body is one without a header
	if head.Decode(start) != nil {
		return minWindow
	}
	return int64(min(max(head.WindowSize, minWindow), maxWindow))
}

// attended ends with its caller.
type attended struct {
	ctx context.Context
	r   io.Reader
}

func (a attended) Read(p []byte) (int, error) {
	if err := a.ctx.Err(); err != nil {
		return 0, err
	}
	return a.r.Read(p)
}

// worded words what a decompressor says.
type worded struct{ r io.Reader }

func (w worded) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		err = badBody(err)
	}
	return n, err
}

// bodyForm is how records are written in a body.
type bodyForm int

const (
	jsonForm bodyForm = iota
	ndjsonForm
)

// formOf tells by the content type. A body without one, or with the one that
// curl gives to any data, is JSON.
func formOf(r *http.Request) (bodyForm, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return jsonForm, nil
	}
	switch media, _, _ := mime.ParseMediaType(header); media {
	case "application/json", "application/x-www-form-urlencoded":
		return jsonForm, nil
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return ndjsonForm, nil
	}
	return 0, sandtrail.Errorf(sandtrail.CodeInvalid, "Content-Type %q is not understood; send application/json or application/x-ndjson", header)
}
