package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/intake"
)

const (
	// ndjsonBatch is how many lines, and ndjsonBytes how many bytes of them,
	// are committed together.
	ndjsonBatch = 1000
	ndjsonBytes = 4 << 20
)

// lines is an NDJSON import under way.
type lines struct {
	server *Server
	w      http.ResponseWriter
	r      *http.Request
	who    string
	kept   *spool
	before int64        // lines of the batches that have come
	done   api.Appended // committed so far; of the batch that is being stored
}

// lineBatch is a part of the lines that is committed at once.
type lineBatch struct {
	before, count int64 // lines before it, and of its own
	end           error // what ended the body behind it, if it did

	admitted []sandtrail.Admitted
	at       []int64 // the line of each
	fault    error   // behind the admitted; io.EOF: none
	line     int64   // of the fault

	decoded chan struct{} // closed when the spool is free again
	stored  chan struct{} // closed when it is stored, or not
	err     error         // why it is not, once stored is closed
}

// receiveLines stores NDJSON of any length in committed batches. At a fault
// everything before the faulty line is stored and nothing from it on, so that
// the rest can be sent again.
func (s *Server) receiveLines(w http.ResponseWriter, r *http.Request) (api.Appended, error) {
	c := callerOf(r.Context())
	if err := s.bodies.try(c.shareName(), 1); err != nil {
		return api.Appended{}, err
	}
	defer s.bodies.give(c.shareName(), 1)
	plain, err := unpack(r.Context(), r.Header.Get("Content-Encoding"), s.sent(w, r, 0))
	if err != nil {
		return api.Appended{}, err
	}
	defer plain.Close()
	if plain.window > 0 {
		units, err := s.bodies.wait(r.Context(), c.shareName(), plain.window/receivingUnit, s.cfg.Limits.WaitTime)
		if err != nil {
			return api.Appended{}, err
		}
		defer s.bodies.give(c.shareName(), units)
	}
	l := &lines{server: s, w: w, r: r, who: c.shareName(), kept: s.newSpool(c.shareName()), done: api.Appended{IDs: []sandtrail.ID{}}}
	defer l.kept.free()
	return l.receive(plain)
}

// receive keeps a batch aside until all of it has come, then stores it. The next
// one comes and is decoded meanwhile.
func (l *lines) receive(body io.Reader) (api.Appended, error) {
	gathered := &gatherer{body: body, buffer: make([]byte, 16<<10)}
	previous := newLineBatch(0)
	close(previous.stored)
	for {
		b := l.gather(gathered, previous)
		if previous.hasFailed() {
			return api.Appended{}, previous.err
		}
		go l.store(b, previous)
		<-b.decoded
		<-previous.stored
		if b.end == nil && b.fault == io.EOF && previous.err == nil {
			if b.end = l.kept.empty(); b.end == nil {
				previous = b
				continue
			}
		}
		<-b.stored
		switch {
		case b.err != nil:
			return api.Appended{}, b.err
		case b.end != io.EOF:
			return api.Appended{}, b.end
		}
		return l.done, nil
	}
}

func newLineBatch(before int64) *lineBatch {
	return &lineBatch{before: before, fault: io.EOF, decoded: make(chan struct{}), stored: make(chan struct{})}
}

// hasFailed reports whether it is known that the batch was not stored.
func (b *lineBatch) hasFailed() bool {
	select {
	case <-b.stored:
		return b.err != nil
	default:
		return false
	}
}

// gatherer cuts a body between lines.
type gatherer struct {
	body   io.Reader
	buffer []byte
	rest   []byte // of the buffer, that was read behind the last cut
	end    error  // what ended the body behind that
}

// gather keeps whole lines, up to a batch of them, or until it is known that the
// previous batch was not stored.
func (l *lines) gather(g *gatherer, previous *lineBatch) *lineBatch {
	b := newLineBatch(l.before)
	for b.end == nil && !previous.hasFailed() {
		if len(g.rest) == 0 && g.end == nil {
			var n int
			n, g.end = g.body.Read(g.buffer)
			g.rest = g.buffer[:n]
		}
		part, lines, isFull := cut(g.rest, ndjsonBatch-b.count, ndjsonBytes-l.kept.size())
		b.count += lines
		l.before += lines
		if g.rest = g.rest[len(part):]; len(g.rest) == 0 {
			b.end = g.end
		}
		if _, err := l.kept.Write(part); err != nil {
			b.end = err
		}
		// A line without end is refused.
		if isFull || l.kept.size() > ndjsonBytes+int64(l.server.cfg.Limits.LineBytes) {
			break
		}
	}
	return b
}

// cut takes lines off a text: all, or as many as are left of a batch, which is full
// then.
func cut(text []byte, lines, size int64) (part []byte, n int64, isFull bool) {
	n = int64(bytes.Count(text, []byte("\n")))
	switch {
	case n >= lines:
		end := 0
		for range lines {
			end += bytes.IndexByte(text[end:], '\n') + 1
		}
		return text[:end], lines, true
	case n > 0 && int64(len(text)) >= size:
		return text[:bytes.LastIndexByte(text, '\n')+1], n, true
	}
	return text, n, false
}

// store stores a batch behind the previous one.
func (l *lines) store(b, previous *lineBatch) {
	isDecoded := sync.OnceFunc(func() { close(b.decoded) })
	defer func() {
		if fault := recover(); fault != nil {
			b.err = l.server.panicked(l.r, fault)
		}
		isDecoded()
		close(b.stored)
	}()
	cost := l.kept.size() + ndjsonBatch*recordCost
	if !l.server.slots.has(l.who, 1) || !l.server.memory.has(l.who, cost) {
		<-previous.stored // this import itself may be why
	}
	waitTime := l.server.cfg.Limits.WaitTime
	b.err = l.server.inSlot(l.w, l.r, waitTime, func(ctx context.Context) error {
		cost, err := l.server.memory.wait(ctx, l.who, cost, waitTime)
		if err != nil {
			return err
		}
		defer l.server.memory.give(l.who, cost)
		if err := l.decode(ctx, b); err != nil {
			return err
		}
		isDecoded()
		<-previous.stored
		if previous.err != nil {
			return nil
		}
		ctx, cancel := l.server.answering(l.w, l.r)
		defer cancel()
		return l.flush(ctx, b)
	})
	<-previous.stored
	var stopped *api.Problem
	switch {
	case previous.err != nil:
		b.err = previous.err
	case b.err != nil && !errors.As(b.err, &stopped): // before anything of the batch was stored
		b.err = l.stoppedAt(l.r.Context(), b.before+1, b.err)
	}
}

// decode admits the lines that are kept, up to the first at fault.
func (l *lines) decode(ctx context.Context, b *lineBatch) error {
	stored, err := l.kept.open()
	if err != nil {
		return err
	}
	if b.end != nil && b.end != io.EOF {
		stored = io.MultiReader(stored, broken{b.end})
	}
	reader := intake.Open(attended{ctx, stored}, intake.Lines, l.server.cfg.Limits.LineBytes)
	if b.before == 0 {
		reader.SkipMark()
	}
	admission := l.server.admission()
	for {
		record, err := reader.Next()
		line := b.before + int64(reader.Line())
		var one sandtrail.Admitted
		if err == nil {
			one, _, err = admission.AdmitJSON(record.JSON)
		}
		if err != nil {
			b.fault, b.line = err, line
			return nil
		}
		b.admitted, b.at = append(b.admitted, one), append(b.at, line)
	}
}

// broken is where a body broke off.
type broken struct{ why error }

func (b broken) Read([]byte) (int, error) { return 0, b.why }

// flush commits what is before the fault of a batch, if it has one.
func (l *lines) flush(ctx context.Context, b *lineBatch) error {
	if err := l.commit(ctx, b.admitted, b.at); err != nil || b.fault == io.EOF {
		return err
	}
	return l.stoppedAt(ctx, b.line, b.fault)
}

// commit stores a batch, or what is before the first that is at fault.
func (l *lines) commit(ctx context.Context, batch []sandtrail.Admitted, at []int64) error {
	if len(batch) == 0 {
		return nil
	}
	appended, err := l.server.committer.Append(ctx, batch)
	if err == nil {
		l.countStored(appended)
		return nil
	}
	if len(batch) == 1 || transient(err) {
		return l.stoppedAt(ctx, at[0], err)
	}
	half := len(batch) / 2
	if err := l.commit(ctx, batch[:half], at[:half]); err != nil {
		return err
	}
	return l.commit(ctx, batch[half:], at[half:])
}

func (l *lines) countStored(a sandtrail.Appended) {
	l.done.Accepted += int64(a.Accepted)
	l.done.Duplicates += int64(a.Duplicates)
	if l.done.IDs != nil {
		l.done.IDs = append(l.done.IDs, a.IDs...)
	}
	if len(l.done.IDs) > sandtrail.MaxBatch {
		l.done.IDs = nil // the answer does not grow with the request
	}
}

// stoppedAt is the problem that says how far the import came.
func (l *lines) stoppedAt(ctx context.Context, line int64, err error) error {
	problem := l.server.problem(ctx, sandtrail.UnderPath(fmt.Sprintf("[%d]", line-1), err), "body")
	problem.Detail = fmt.Sprintf("stopped at line %d: %s", line, problem.Detail)
	problem.Line, problem.Accepted, problem.Duplicates = &line, &l.done.Accepted, &l.done.Duplicates
	return problem
}
