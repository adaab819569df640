package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

const (
	// ndjsonBatch is how many lines, and ndjsonBytes how many bytes of them,
	// are committed together.
	ndjsonBatch = 1000
	ndjsonBytes = 4 << 20
	// maxFaults bounds how many faults one answer lists.
	maxFaults = 100
)

func (s *Server) appendExecutions(w http.ResponseWriter, r *http.Request) {
	answer, err := s.receive(w, r)
	if err != nil {
		s.writeProblem(w, r, err, "body")
		return
	}
	sendJSON(w, http.StatusCreated, answer)
}

func (s *Server) receive(w http.ResponseWriter, r *http.Request) (api.Appended, error) {
	form, err := formOf(r)
	if err != nil {
		return api.Appended{}, err
	}
	body, err := s.openBody(w, r)
	if err != nil {
		return api.Appended{}, err
	}
	defer body.Close()
	if form == ndjsonForm {
		return s.receiveLines(r.Context(), newLineReader(body, s.cfg.Limits.LineBytes))
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Limits.RequestTime)
	defer cancel()
	raw, err := readAll(body, s.cfg.Limits.BodyBytes)
	if err != nil {
		return api.Appended{}, err
	}
	return s.receiveJSON(ctx, raw)
}

func (s *Server) receiveJSON(ctx context.Context, raw []byte) (api.Appended, error) {
	drafts, isArray, err := decodeDrafts(raw)
	if err != nil {
		return api.Appended{}, err
	}
	appended, err := s.storeDrafts(ctx, drafts)
	if err != nil {
		if isArray && len(drafts) == 1 {
			err = sandtrail.UnderPath("[0]", err)
		}
		return api.Appended{}, err
	}
	return api.Appended{Accepted: int64(appended.Accepted), Duplicates: int64(appended.Duplicates), IDs: appended.IDs}, nil
}

// storeDrafts admits drafts and stores them, all or nothing.
func (s *Server) storeDrafts(ctx context.Context, drafts []sandtrail.Draft) (sandtrail.Appended, error) {
	if len(drafts) == 0 {
		return sandtrail.Appended{IDs: []sandtrail.ID{}}, nil
	}
	if len(drafts) > sandtrail.MaxBatch {
		return sandtrail.Appended{}, sandtrail.Errorf(sandtrail.CodeTooLarge, "an array may have %d records, got %d; send NDJSON (application/x-ndjson), which may have any number", sandtrail.MaxBatch, len(drafts))
	}
	batch, err := s.admission().Admit(drafts...)
	if err != nil {
		return sandtrail.Appended{}, err
	}
	return s.committer.Append(ctx, batch)
}

func (s *Server) admission() sandtrail.Admission {
	return s.cfg.Retention.Admission(s.now())
}

// decodeDrafts reads one object or an array of them and names every fault by
// its path.
func decodeDrafts(raw []byte) (drafts []sandtrail.Draft, isArray bool, err error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil, false, sandtrail.Errorf(sandtrail.CodeInvalid, "the body is empty; send one execution or an array of them")
	}
	if raw[0] != '[' {
		var d sandtrail.Draft
		err := d.UnmarshalJSON(raw)
		return []sandtrail.Draft{d}, false, err
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		return nil, true, &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: fmt.Sprintf("not valid JSON: %v", err), Err: err}
	}
	drafts = make([]sandtrail.Draft, len(elements))
	var faults []sandtrail.FieldError
	for i, element := range elements {
		if err := drafts[i].UnmarshalJSON(element); err != nil && len(faults) < maxFaults {
			faults = append(faults, fieldsOf(sandtrail.UnderPath(fmt.Sprintf("[%d]", i), err))...)
		}
	}
	if len(faults) > 0 {
		return nil, true, &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "invalid execution", Fields: faults}
	}
	return drafts, true, nil
}

func fieldsOf(err error) []sandtrail.FieldError {
	var e *sandtrail.Error
	if errors.As(err, &e) {
		return e.Fields
	}
	return nil
}

// lines is an NDJSON import under way.
type lines struct {
	server *Server
	done   api.Appended // committed so far
	drafts []sandtrail.Draft
	at     []int64 // the line of each draft
	bytes  int
}

// receiveLines stores NDJSON of any length in committed batches. At a fault
// everything before the faulty line is stored and nothing from it on, so that
// the rest can be sent again.
func (s *Server) receiveLines(ctx context.Context, reader *lineReader) (api.Appended, error) {
	l := &lines{server: s, done: api.Appended{IDs: []sandtrail.ID{}}}
	for {
		line, err := reader.next()
		var draft sandtrail.Draft
		if err == nil {
			err = draft.UnmarshalJSON(line)
		}
		if err != nil {
			if stopped := l.flush(ctx); stopped != nil {
				return api.Appended{}, stopped
			}
			if err == io.EOF {
				return l.done, nil
			}
			return api.Appended{}, l.stoppedAt(ctx, max(reader.line, 1), err)
		}
		l.drafts, l.at = append(l.drafts, draft), append(l.at, reader.line)
		if l.bytes += len(line); len(l.drafts) >= ndjsonBatch || l.bytes >= ndjsonBytes {
			if stopped := l.flush(ctx); stopped != nil {
				return api.Appended{}, stopped
			}
		}
	}
}

// flush commits what is gathered.
func (l *lines) flush(ctx context.Context) error {
	drafts, at := l.drafts, l.at
	l.drafts, l.at, l.bytes = l.drafts[:0], l.at[:0], 0
	return l.commit(ctx, drafts, at)
}

// commit stores drafts, or those before the first that is at fault.
func (l *lines) commit(ctx context.Context, drafts []sandtrail.Draft, at []int64) error {
	if len(drafts) == 0 {
		return nil
	}
	appended, err := l.server.storeDrafts(ctx, drafts)
	if err == nil {
		l.count(appended)
		return nil
	}
	if len(drafts) == 1 || transient(err) {
		return l.stoppedAt(ctx, at[0], err)
	}
	half := len(drafts) / 2
	if err := l.commit(ctx, drafts[:half], at[:half]); err != nil {
		return err
	}
	return l.commit(ctx, drafts[half:], at[half:])
}

func (l *lines) count(a sandtrail.Appended) {
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
