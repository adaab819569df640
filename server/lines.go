package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

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
	who    string
	kept   *spool
	done   api.Appended // committed so far
	before int64        // lines of the batches that were read
	count  int64        // lines of the batch that is kept
	batch  []sandtrail.Admitted
	at     []int64 // the line of each
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
	l := &lines{server: s, who: c.shareName(), kept: s.newSpool(c.shareName()), done: api.Appended{IDs: []sandtrail.ID{}}}
	defer l.kept.free()
	return l.receive(w, r, plain)
}

// receive keeps a batch aside until all of it has come, then stores it.
func (l *lines) receive(w http.ResponseWriter, r *http.Request, body io.Reader) (api.Appended, error) {
	gathered := &gatherer{body: body, buffer: make([]byte, 16<<10)}
	for {
		end := l.gather(gathered)
		err := l.server.inSlot(w, r, l.server.cfg.Limits.WaitTime, func(ctx context.Context) error { return l.storeKept(ctx, end) })
		var stopped *api.Problem
		switch {
		case errors.As(err, &stopped):
			return api.Appended{}, err
		case err != nil: // before anything of the batch was stored
			return api.Appended{}, l.stoppedAt(r.Context(), l.before+1, err)
		case end == io.EOF:
			return l.done, nil
		}
		if err := l.kept.empty(); err != nil {
			return api.Appended{}, err
		}
	}
}

// gatherer cuts a body between lines.
type gatherer struct {
	body   io.Reader
	buffer []byte
	rest   []byte // of the buffer, that was read behind the last cut
}

// gather keeps whole lines, up to a batch of them. It returns what ended the
// body: io.EOF, or a fault.
func (l *lines) gather(g *gatherer) error {
	l.count = 0
	for {
		var end error
		if len(g.rest) == 0 {
			var n int
			n, end = g.body.Read(g.buffer)
			g.rest = g.buffer[:n]
		}
		part := g.rest
		newlines := int64(bytes.Count(part, []byte("\n")))
		full := newlines > 0 && (l.count+newlines >= ndjsonBatch || l.kept.size()+int64(len(part)) >= ndjsonBytes)
		if full {
			part = part[:bytes.LastIndexByte(part, '\n')+1]
		}
		l.count += newlines
		g.rest = g.rest[len(part):]
		if _, err := l.kept.Write(part); err != nil {
			return err
		}
		if end != nil || full {
			return end
		}
		if l.kept.size() > ndjsonBytes+int64(l.server.cfg.Limits.LineBytes) {
			return nil // a line without end, which is refused
		}
	}
}

// storeKept stores the lines that are kept, once there is memory for them; end is
// what ended the body, if it did.
func (l *lines) storeKept(ctx context.Context, end error) error {
	limits := l.server.cfg.Limits
	cost, err := l.server.memory.wait(ctx, l.who, l.kept.size()+ndjsonBatch*recordCost, limits.WaitTime)
	if err != nil {
		return err
	}
	defer l.server.memory.give(l.who, cost)
	stored, err := l.kept.open()
	if err != nil {
		return err
	}
	if end != nil && end != io.EOF {
		stored = io.MultiReader(stored, broken{end})
	}
	reader := intake.Open(attended{ctx, stored}, intake.Lines, limits.LineBytes)
	if l.before == 0 {
		reader.SkipMark()
	}
	for {
		record, err := reader.Next()
		line := l.before + int64(max(reader.Line(), 1))
		var one sandtrail.Admitted
		if err == nil {
			one, _, err = l.server.admission().AdmitJSON(record.JSON)
		}
		if err != nil {
			if stopped := l.flush(ctx); stopped != nil {
				return stopped
			}
			if err != io.EOF {
				return l.stoppedAt(ctx, line, err)
			}
			l.before += l.count
			return nil
		}
		l.batch, l.at = append(l.batch, one), append(l.at, line)
		if len(l.batch) >= ndjsonBatch {
			if stopped := l.flush(ctx); stopped != nil {
				return stopped
			}
		}
	}
}

// broken is where a body broke off.
type broken struct{ why error }

func (b broken) Read([]byte) (int, error) { return 0, b.why }

// flush commits what is gathered.
func (l *lines) flush(ctx context.Context) error {
	batch, at := l.batch, l.at
	l.batch, l.at = nil, l.at[:0]
	return l.commit(ctx, batch, at)
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
