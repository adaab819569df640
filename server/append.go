package server

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/intake"
)

// recordCost is the memory that a decoded execution takes besides its bytes.
const recordCost = 1 << 10

// appendExecutions reads its body itself: an array is received whole, lines in
// batches.
func (s *Server) appendExecutions(w http.ResponseWriter, r *http.Request) {
	form, err := formOf(r)
	var answer api.Appended
	switch {
	case err != nil:
	case form == ndjsonForm:
		answer, err = s.receiveLines(w, r)
	default:
		answer, err = s.receiveJSON(w, r)
	}
	if err != nil {
		s.writeProblem(w, r, err, "body")
		return
	}
	sendJSON(w, http.StatusCreated, answer)
}

// receiveJSON stores one execution or an array of them, all or nothing.
func (s *Server) receiveJSON(w http.ResponseWriter, r *http.Request) (answer api.Appended, err error) {
	kept, err := s.receiveWhole(w, r, s.cfg.Limits.BodyBytes)
	if err != nil {
		return answer, err
	}
	defer kept.free()
	err = s.inSlot(w, r, 0, func(ctx context.Context) error {
		answer, err = s.storeJSON(ctx, kept, r.Header.Get("Content-Encoding"))
		return err
	})
	return answer, err
}

// storeJSON reads a body that has come. An array is read twice: once to know
// what it would take, which costs no memory, then to keep it.
func (s *Server) storeJSON(ctx context.Context, kept *spool, encoding string) (api.Appended, error) {
	asked := newPayload(ctx, s, kept, encoding)
	first, err := asked.first()
	if err == io.EOF {
		err = sandtrail.Errorf(sandtrail.CodeInvalid, "the body is empty; send one execution or an array of them")
	}
	if err != nil {
		return api.Appended{}, err
	}
	cost := int64(s.cfg.Limits.LineBytes) // of one execution
	if asked.window == 0 {
		cost = min(cost, kept.size())
	}
	if first == '[' {
		if cost, err = asked.measure(); err != nil {
			return api.Appended{}, err
		}
	}
	cost, err = s.memory.wait(ctx, kept.who, cost+asked.window+recordCost, s.cfg.Limits.WaitTime)
	if err != nil {
		return api.Appended{}, err
	}
	defer s.memory.give(kept.who, cost)
	batch, err := asked.decode(first == '[', s.admission())
	if err != nil {
		return api.Appended{}, err
	}
	appended, err := s.storeBatch(ctx, batch)
	if err != nil {
		if first == '[' && len(batch) == 1 {
			err = sandtrail.UnderPath("[0]", err)
		}
		return api.Appended{}, err
	}
	return api.Appended{Accepted: int64(appended.Accepted), Duplicates: int64(appended.Duplicates), IDs: appended.IDs}, nil
}

// storeBatch stores a batch, all or nothing.
func (s *Server) storeBatch(ctx context.Context, batch []sandtrail.Admitted) (sandtrail.Appended, error) {
	if len(batch) == 0 {
		return sandtrail.Appended{IDs: []sandtrail.ID{}}, nil
	}
	return s.committer.Append(ctx, batch)
}

func (s *Server) admission() sandtrail.Admission {
	return s.cfg.Retention.Admission(s.now())
}

// payload is a JSON body that has come, to be read more than once.
type payload struct {
	ctx      context.Context
	server   *Server
	kept     *spool
	encoding string
	window   int64 // memory that decompression takes; 0: it has none
}

func newPayload(ctx context.Context, s *Server, kept *spool, encoding string) *payload {
	return &payload{ctx: ctx, server: s, kept: kept, encoding: encoding}
}

// read reads the body from its beginning.
func (p *payload) read(read func(*intake.Reader) error) error {
	stored, err := p.kept.open()
	if err != nil {
		return err
	}
	plain, err := unpack(p.ctx, p.encoding, stored)
	if err != nil {
		return err
	}
	defer plain.Close()
	p.window = plain.window
	limits := p.server.cfg.Limits
	reader := intake.Open(atMost(plain, limits.BodyBytes), intake.Array, limits.LineBytes)
	reader.SkipMark()
	return read(reader)
}

// first is the first character that is no blank.
func (p *payload) first() (c byte, err error) {
	err = p.read(func(r *intake.Reader) error {
		c, err = r.First()
		return err
	})
	return c, err
}

// measure is the memory that the executions of an array take.
func (p *payload) measure() (cost int64, err error) {
	count := 0
	err = p.read(func(r *intake.Reader) error {
		for {
			record, err := r.Next()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if count++; count > sandtrail.MaxBatch {
				return sandtrail.Errorf(sandtrail.CodeTooLarge, "an array may have %d executions, this one has more; send NDJSON (application/x-ndjson), which may have any number", sandtrail.MaxBatch)
			}
			cost += 2*int64(len(record.JSON)) + recordCost // the store takes as much again
		}
	})
	return cost, err
}

// bytes is the whole body, in memory for which it returns what to give back. What
// one message of it takes once it is decoded is in that.
func (p *payload) bytes() (raw []byte, cost int64, err error) {
	stored, err := p.kept.open()
	if err != nil {
		return nil, 0, err
	}
	limits := p.server.cfg.Limits
	size := p.kept.size()
	if p.encoding != "" {
		plain, err := unpack(p.ctx, p.encoding, stored)
		if err != nil {
			return nil, 0, err
		}
		size, err = io.Copy(io.Discard, atMost(plain, limits.BodyBytes))
		_ = plain.Close()
		if err != nil {
			return nil, 0, err
		}
		if stored, err = p.kept.open(); err != nil {
			return nil, 0, err
		}
		p.window = plain.window
	}
	cost, err = p.server.memory.wait(p.ctx, p.kept.who, 2*size+p.window+min(40*size, 16<<20), limits.WaitTime)
	if err != nil {
		return nil, 0, err
	}
	plain, err := unpack(p.ctx, p.encoding, stored)
	raw = make([]byte, size)
	if err == nil {
		_, err = io.ReadFull(plain, raw)
		_ = plain.Close()
	}
	if err != nil {
		p.server.memory.give(p.kept.who, cost)
	}
	return raw, cost, err
}

// decode reads and admits one execution, or all of an array.
func (p *payload) decode(isArray bool, admission sandtrail.Admission) (batch []sandtrail.Admitted, err error) {
	err = p.read(func(r *intake.Reader) error {
		if isArray {
			batch, err = admitArray(r, admission)
			return err
		}
		raw, err := r.Rest()
		if err != nil {
			return err
		}
		one, _, err := admission.AdmitJSON(raw)
		batch = []sandtrail.Admitted{one}
		return err
	})
	return batch, err
}

// admitArray names every fault of an array by its path.
func admitArray(r *intake.Reader, admission sandtrail.Admission) ([]sandtrail.Admitted, error) {
	var batch []sandtrail.Admitted
	var faults sandtrail.Faults
	for {
		record, err := r.Next()
		if err == io.EOF {
			return batch, faults.Err("invalid execution")
		}
		if err != nil {
			return nil, err
		}
		one, _, err := admission.AdmitJSON(record.JSON)
		if err != nil {
			faults.Add(fmt.Sprintf("[%d]", record.Index), err)
		}
		batch = append(batch, one)
	}
}
