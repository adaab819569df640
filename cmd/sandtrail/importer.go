package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/intake"
)

// A batch is committed when it has so many records or bytes of them.
const (
	batchRecords = 1000
	batchBytes   = 4 << 20
	// maxArrayBytes bounds the memory that an array takes.
	maxArrayBytes = 256 << 20
)

// importer stores records batch by batch.
type importer struct {
	store       sandtrail.Appender
	owners      ownerMaker
	makesOwners bool
	deps        *deps
	admission   retentionFlag
	source      source
	from        int // line to begin with

	form                 intake.Form
	accepted, duplicates int64
	committed            int  // every record up to this line is stored
	anonymous            bool // a record without id was seen
	read                 int  // records
	ended                bool // the input

	batch   []pending
	pending int // bytes of the batch
}

// ownersBeside are the owners that reads and exports write into a record.
type ownersBeside struct {
	User     *sandtrail.User     `json:"user"`
	Strategy *sandtrail.Strategy `json:"strategy"`
}

// pending is a record that waits for its commit.
type pending struct {
	line   int
	index  int
	draft  sandtrail.Draft
	beside ownersBeside
	id     sandtrail.ID // made from its place; for a draft that has none
}

// single reports whether the input holds one record alone.
func (im *importer) single() bool { return im.ended && im.read == 1 }

// run stores everything. What it returned an error for is not stored; what is
// before committed is.
func (im *importer) run(ctx context.Context, r io.Reader) error {
	reader, err := intake.New(r)
	if err != nil {
		return at(1, err)
	}
	im.form = reader.Form()
	for {
		fault := im.next(reader)
		if fault == nil && !im.full() {
			continue
		}
		// What stands before a fault is good: it is stored, unless it belongs
		// to the same array.
		if fault == nil || fault == io.EOF || im.form != intake.Array {
			if err := im.flush(ctx); err != nil {
				return err
			}
		}
		if fault == io.EOF {
			return nil
		}
		if fault != nil {
			return fault
		}
	}
}

// next takes one record into the batch; io.EOF at the end.
func (im *importer) next(reader *intake.Reader) error {
	record, err := reader.Next()
	if err == io.EOF {
		im.ended = true
		return io.EOF
	}
	if err != nil {
		return at(reader.Line(), err)
	}
	im.read++
	if record.Line < im.from {
		im.committed = record.Line
		return nil
	}
	p := pending{line: record.Line, index: record.Index}
	if err := p.draft.UnmarshalJSON(record.JSON); err != nil {
		return im.place(p, err)
	}
	if im.makesOwners {
		_ = json.Unmarshal(record.JSON, &p.beside) // the draft was read from it
	}
	if p.draft.ID.IsZero() {
		im.anonymous = true
		p.id = im.makeID(record)
	}
	im.batch = append(im.batch, p)
	im.pending += len(record.JSON)
	if im.form == intake.Array && (len(im.batch) > sandtrail.MaxBatch || im.pending > maxArrayBytes) {
		return at(p.line, sandtrail.Errorf(sandtrail.CodeTooLarge,
			"an array is stored all or nothing and may have %d records and %d MiB; write one object per line instead (jq -c '.[]')",
			sandtrail.MaxBatch, maxArrayBytes>>20))
	}
	return nil
}

func (im *importer) full() bool {
	return im.form != intake.Array && (len(im.batch) >= batchRecords || im.pending >= batchBytes)
}

// makeID derives a UUIDv8 (RFC 9562, section 5.8) from the place and the
// content of a record, so that reading it again is recognised.
func (im *importer) makeID(record intake.Record) sandtrail.ID {
	if im.source.name == "" {
		return sandtrail.ID{}
	}
	h := sha256.New()
	fmt.Fprintf(h, "sandtrail import\n%q\n%d\n%d\n", im.source.name, record.Line, record.Index)
	h.Write(record.JSON)
	var id sandtrail.ID
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// flush stores the batch in one commit. When one of its records is refused,
// those before it are stored and the error says which it was.
func (im *importer) flush(ctx context.Context) error {
	batch := im.batch
	im.batch, im.pending = im.batch[:0], 0
	if len(batch) == 0 {
		return nil
	}
	refused, err := im.commit(ctx, batch)
	if err == nil || refused <= 0 || im.form == intake.Array {
		return err
	}
	// The rest of the batch is in order as far as is known: store what comes
	// before the refused record, then stop there.
	if _, before := im.commit(ctx, batch[:refused]); before != nil {
		return before
	}
	return err
}

// commit admits and appends records. It returns the place of the first one
// that was refused, -1 when the fault is not in a record.
func (im *importer) commit(ctx context.Context, batch []pending) (refused int, err error) {
	admitted := make([]sandtrail.Admitted, 0, len(batch))
	admission := im.admission.Admission(im.deps.now())
	for i, p := range batch {
		// A lone record without id is a new one, however often it comes.
		if p.draft.ID.IsZero() && !im.single() {
			p.draft.ID = p.id
		}
		one, err := admission.Admit(p.draft)
		if err == nil && im.makesOwners {
			err = im.owners.ensure(ctx, p.draft, p.beside.User, p.beside.Strategy)
		}
		if err != nil {
			return i, im.place(p, err)
		}
		admitted = append(admitted, one...)
	}
	done, err := im.store.Append(ctx, admitted)
	if err != nil {
		return im.refusal(batch, err)
	}
	im.accepted += int64(done.Accepted)
	im.duplicates += int64(done.Duplicates)
	im.committed = batch[len(batch)-1].line
	return -1, nil
}

// refusal finds the first record that a store refused, and says where it
// stands.
func (im *importer) refusal(batch []pending, err error) (int, error) {
	var e *sandtrail.Error
	if !errors.As(err, &e) || len(e.Fields) == 0 {
		return -1, err
	}
	first := len(batch)
	var fields []sandtrail.FieldError
	for _, f := range e.Fields {
		i, rest := splitIndex(f.Path, len(batch))
		if i > first || i >= len(batch) {
			continue
		}
		if i < first {
			first, fields = i, nil
		}
		fields = append(fields, sandtrail.FieldError{Path: rest, Message: f.Message})
	}
	if first == len(batch) {
		return -1, err
	}
	return first, im.place(batch[first], &sandtrail.Error{Code: e.Code, Message: e.Message, Fields: fields, Remedies: e.Remedies, Err: e.Err})
}

// splitIndex takes the place in the batch off a path; a batch of one has
// none.
func splitIndex(path string, size int) (index int, rest string) {
	if size == 1 {
		return 0, path
	}
	inner, rest, ok := strings.Cut(strings.TrimPrefix(path, "["), "]")
	index, err := strconv.Atoi(inner)
	if !ok || err != nil {
		return size, path
	}
	return index, strings.TrimPrefix(rest, ".")
}

// place says where in the input a fault is.
func (im *importer) place(p pending, err error) error {
	if im.form == intake.Array {
		err = sandtrail.UnderPath(fmt.Sprintf("[%d]", p.index), err)
	}
	return at(p.line, err)
}
