package recorder

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// tail keeps the last bytes written to it, in constant memory.
type tail struct {
	mu    sync.Mutex // a stream whose reader takes nothing is given up while it writes
	ring  []byte
	limit int
	next  int   // where the next byte goes once the ring is full
	total int64 // bytes ever written
}

func newTail(limit int) *tail { return &tail{limit: limit} }

func (t *tail) Write(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += int64(len(p))
	if len(p) > t.limit {
		p = p[len(p)-t.limit:]
	}
	if room := min(t.limit-len(t.ring), len(p)); room > 0 {
		t.ring = append(t.ring, p[:room]...)
		p = p[room:]
	}
	for len(p) > 0 {
		n := copy(t.ring[t.next:], p)
		t.next = (t.next + n) % t.limit
		p = p[n:]
	}
}

// last returns the last n bytes that were kept, oldest first.
func (t *tail) last(n int) []byte {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ordered := append(append(make([]byte, 0, len(t.ring)), t.ring[t.next:]...), t.ring[:t.next]...)
	return ordered[max(0, len(ordered)-n):]
}

// isCut reports whether more was written than is kept.
func (t *tail) isCut() bool { return t.written() > int64(t.limit) }

// written is how much was written in all.
func (t *tail) written() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

func (t *tail) output(n int) *Output {
	if t == nil || n == 0 {
		return nil
	}
	return &Output{Tail: storable(string(t.last(n))), Bytes: t.written()}
}

// storable makes any bytes a text that every store can hold.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// stream passes what a command writes on to its destination and remembers the
// end of it.
type stream struct {
	r    *os.File
	w    *os.File // the command's end
	to   io.Writer
	tail *tail
	done chan struct{}
}

func newStream(to io.Writer, keep int) (*stream, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	return streamOf(r, w, to, keep), nil
}

func streamOf(r, w *os.File, to io.Writer, keep int) *stream {
	if to == nil {
		to = io.Discard
	}
	return &stream{r: r, w: w, to: to, tail: newTail(keep), done: make(chan struct{})}
}

// copy runs until the pipe ends. When the destination fails the reading end
// is closed, so that the command learns of it as it would without us.
func (s *stream) copy() {
	defer close(s.done)
	defer s.r.Close()
	buf := make([]byte, 64<<10)
	draining, left := false, maxPipeBytes
	for left > 0 {
		if draining {
			_ = s.r.SetReadDeadline(time.Now().Add(pipeDelay))
		}
		n, err := s.r.Read(buf)
		s.tail.Write(buf[:n])
		if n > 0 {
			if _, werr := s.to.Write(buf[:n]); werr != nil {
				return
			}
		}
		switch {
		case draining:
			left -= n
			if err != nil {
				return
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			draining = true // finish says so
		case err != nil:
			return
		}
	}
}

// finish has the rest of the output passed on; done tells when it is. Every
// process of the command is gone, so the pipe ends at once, unless a process that
// escaped holds it: then only what is already in it, or comes soon, is read.
func (s *stream) finish() { _ = s.r.SetReadDeadline(time.Now()) }
