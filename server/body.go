package server

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/sandtrail/sandtrail"
)

// maxWindow bounds the memory that decompression of one request takes.
const maxWindow = 8 << 20

// openBody gives the body of a request decompressed. Close it.
func (s *Server) openBody(w http.ResponseWriter, r *http.Request) (io.ReadCloser, error) {
	body := &idleReader{r: r.Body, control: http.NewResponseController(w), idle: s.cfg.Limits.IdleTime}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return io.NopCloser(body), nil
	case "gzip":
		reader, err := gzip.NewReader(body)
		if err != nil {
			return nil, badBody(err)
		}
		return reader, nil
	case "zstd":
		reader, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, badBody(err)
		}
		return reader.IOReadCloser(), nil
	default:
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "Content-Encoding %q is not understood; send gzip, zstd or nothing", encoding)
	}
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
	}
	return &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "the body cannot be read: " + err.Error(), Err: err}
}

// readAll reads a body of at most limit bytes.
func readAll(body io.Reader, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, badBody(err)
	}
	if int64(len(raw)) > limit {
		return nil, sandtrail.Errorf(sandtrail.CodeTooLarge, "a JSON body may have %d bytes; send NDJSON (application/x-ndjson), which may have any length, or several requests", limit)
	}
	return raw, nil
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

// lineReader hands out the lines of NDJSON and counts them.
type lineReader struct {
	r     *bufio.Reader
	limit int
	line  int64 // number of the line that next returned, from 1
	buf   []byte
}

func newLineReader(r io.Reader, limit int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 64<<10), limit: limit}
}

// next returns the next line that is not blank, without its end; io.EOF after
// the last. The bytes are valid until the next call.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.read()
		if len(line) == 0 && err != nil {
			return nil, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}

// read returns one line, blank or not. The last line need not have an end.
func (l *lineReader) read() ([]byte, error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.buf) == 0 && len(part) > 0 {
			l.line++
		}
		if len(l.buf)+len(part) > l.limit {
			return nil, sandtrail.Errorf(sandtrail.CodeTooLarge, "a line may have %d bytes", l.limit)
		}
		l.buf = append(l.buf, part...)
		switch {
		case err == nil, err == io.EOF && len(l.buf) > 0:
			return l.buf, nil
		case err == io.EOF:
			return nil, io.EOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, badBody(err)
		}
	}
}
