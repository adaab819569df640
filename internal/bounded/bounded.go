// Package bounded reads files and answers that others wrote, up to a limit: what
// goes on beyond it is an error that names the source, and not memory.
package bounded

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/sandtrail/sandtrail"
)

// Reader hands on what a source has, up to a number of bytes.
type Reader struct {
	from   io.Reader
	source string
	max    int64
	left   int64
}

// New makes a reader of at most max bytes. Errors name the source.
func New(from io.Reader, source string, max int64) *Reader {
	return &Reader{from: from, source: source, max: max, left: max}
}

// Read implements io.Reader. Beyond the limit the error is of
// sandtrail.CodeTooLarge.
func (r *Reader) Read(b []byte) (int, error) {
	if r.left < 0 {
		return 0, r.tooLarge()
	}
	b = b[:min(int64(len(b)), r.left+1)]
	n, err := r.from.Read(b)
	if r.left -= int64(n); r.left < 0 {
		return n - 1, r.tooLarge()
	}
	return n, err
}

func (r *Reader) tooLarge() error { return tooLarge(r.source, r.max) }

// Renew grants max bytes again, for the next part of the source.
func (r *Reader) Renew() { r.left = r.max }

func tooLarge(what string, max int64) error {
	return sandtrail.Errorf(sandtrail.CodeTooLarge, "%s has more than the %d bytes that are read of it: check that it is the one you mean", what, max)
}

// ReadAll reads a source of at most max bytes.
func ReadAll(from io.Reader, source string, max int64) ([]byte, error) {
	return io.ReadAll(New(from, source, max))
}

// Lines reads a source line by line.
type Lines struct {
	from   *bufio.Reader
	source string
	max    int
	line   bytes.Buffer
	number int64
}

// NewLines makes a reader of lines of at most max bytes. Errors name the source
// and the line.
func NewLines(from io.Reader, source string, max int) *Lines {
	return &Lines{from: bufio.NewReaderSize(from, 64<<10), source: source, max: max}
}

// Next returns a line with its end, valid until the next call. The last one need
// not have an end: io.EOF comes with it, or alone.
func (l *Lines) Next() ([]byte, error) {
	l.line.Reset()
	l.number++
	for {
		part, err := l.from.ReadSlice('\n')
		if l.line.Len()+len(part) > l.max {
			return nil, tooLarge(fmt.Sprintf("%s: line %d", l.source, l.number), int64(l.max))
		}
		l.line.Write(part)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l.line.Bytes(), err
		}
	}
}
