// Package ingest stores executions from files and pipes: it reads them, checks
// them and stores them in batches, each beside the others.
package ingest

import (
	"context"
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
	BatchRecords = 1000
	batchBytes   = 4 << 20
	// maxArrayBytes bounds the memory that an array takes.
	maxArrayBytes = 256 << 20
)

// Import says what is stored, and how.
type Import struct {
	Store sandtrail.Appender
	// Owners makes the users and strategies that are not there yet; nil: an
	// execution without them is refused.
	Owners *Owners
	// Admission is asked for before each batch is checked.
	Admission func() sandtrail.Admission
	// Name is the name of the import, from which, with their places and contents,
	// ids are made for executions that have none; "": each gets a new one.
	Name string
	// FromLine is the first line whose executions are stored; 0 and 1: all.
	FromLine int
	// OnRead is told how many bytes were read of the input; nil: not needed.
	OnRead func(bytes int)
	// OnStored is told how many executions each commit had; nil: not needed.
	OnStored func(records int)
}

// Outcome is how far an import came.
type Outcome struct {
	Accepted, Duplicates int64
	Committed            int  // every execution up to this line is stored
	Unnamed              bool // an execution had no id, and the import has no name
}

// importer is an import under way.
type importer struct {
	Import
	form intake.Form
	done Outcome

	// Of the reading goroutine.
	usual             int // bytes of a part
	count             int // records that were read
	array, arrayBytes int // of those, and their bytes, to be stored at once
}

// Run stores the executions of a file or pipe: one JSON object, an array, or one
// object per line (NDJSON), plain or compressed, or CSV. An array is stored all or
// nothing. Of other forms everything before a fault is stored, and nothing from it
// on; the error names its line. Each batch that is counted in the outcome is as
// durable as the store makes it.
func (i Import) Run(ctx context.Context, in io.Reader) (Outcome, error) {
	ctx, stop := context.WithCancel(ctx)
	im := &importer{Import: i}
	counted := &countingReader{interruptible(ctx, in), i.OnRead}
	reader, err := intake.New(CSV(counted, ExecutionColumns()))
	if err != nil {
		stop()
		return im.done, At(1, err)
	}
	im.form = reader.Form()
	parts := im.parts(ctx, reader)
	defer func() {
		stop()
		for range parts { // until reading has ended
		}
	}()
	err = im.storeAll(ctx, parts)
	return im.done, err
}

// storeAll stores the parts in their order.
func (im *importer) storeAll(ctx context.Context, parts <-chan *part) error {
	var array []record
	for p := range parts {
		<-p.decoded
		array = append(array, p.records...)
		if im.form == intake.Array && p.fault == nil {
			continue
		}
		if im.form != intake.Array || p.fault == io.EOF {
			if err := im.flush(ctx, array, p); err != nil {
				return err
			}
		}
		if p.fault == io.EOF {
			return nil
		}
		if p.fault != nil {
			return p.fault
		}
		array = array[:0]
	}
	return ctx.Err()
}

// flush stores a batch in one commit. When one of its records is refused, those
// before it are stored and the error says which it was.
func (im *importer) flush(ctx context.Context, batch []record, p *part) error {
	im.done.Committed = max(im.done.Committed, p.passed)
	if len(batch) == 0 {
		return nil
	}
	// A lone record without id is a new one, however often it comes.
	if isLone := p.fault == io.EOF && p.read == 1; !isLone {
		for i := range batch {
			if r := &batch[i]; !r.placeID.IsZero() {
				r.admitted.Execution.ID = r.placeID
			}
		}
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

// commit appends records. It returns the place of the first one that was refused,
// -1 when the fault is not in a record.
func (im *importer) commit(ctx context.Context, batch []record) (refused int, err error) {
	admitted := make([]sandtrail.Admitted, len(batch))
	for i, r := range batch {
		if im.Owners != nil {
			if err := im.Owners.ensure(ctx, r.admitted.Execution, r.owners); err != nil {
				return i, im.placed(r.place, err)
			}
		}
		im.done.Unnamed = im.done.Unnamed || !r.hasID && im.Name == ""
		admitted[i] = r.admitted
	}
	done, err := im.Store.Append(ctx, admitted)
	if err != nil {
		return im.refusal(batch, err)
	}
	im.done.Accepted += int64(done.Accepted)
	im.done.Duplicates += int64(done.Duplicates)
	im.done.Committed = batch[len(batch)-1].line
	if im.OnStored != nil {
		im.OnStored(len(batch))
	}
	return -1, nil
}

// refusal finds the first record that a store refused, and says where it is.
func (im *importer) refusal(batch []record, err error) (int, error) {
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
	return first, im.placed(batch[first].place, &sandtrail.Error{Code: e.Code, Message: e.Message, Fields: fields, Remedies: e.Remedies, Err: e.Err})
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

// placed says where in the input a fault is.
func (im *importer) placed(at place, err error) error {
	if im.form == intake.Array {
		err = sandtrail.UnderPath(fmt.Sprintf("[%d]", at.index), err)
	}
	return At(at.line, err)
}

// At puts a line's place before an error.
func At(line int, err error) error {
	var e *sandtrail.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("line %d: %w", line, err)
	}
	placed := *e
	placed.Message, placed.Fields = fmt.Sprintf("line %d", line), e.Fields
	if len(e.Fields) == 0 {
		placed.Message += ": " + e.Message
	}
	return &placed
}

// countingReader tells how much is read.
type countingReader struct {
	r      io.Reader
	onRead func(int)
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if r.onRead != nil {
		r.onRead(n)
	}
	return n, err
}
