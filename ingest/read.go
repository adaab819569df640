package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"runtime"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/intake"
)

// place is where in the input a record is.
type place struct{ line, index int }

// record is one of the input that has been admitted.
type record struct {
	place
	admitted sandtrail.Admitted
	hasID    bool
	placeID  sandtrail.ID // made from its place, where it has none of its own
	owners   beside
}

// part is a stretch of the input: so many records as are committed together.
type part struct {
	admission sandtrail.Admission
	raw       []byte
	places    []place
	ends      []int // of the records in raw
	passed    int   // the last line before Import.FromLine
	read      int   // records of the input up to here
	fault     error // what ended the input, io.EOF where nothing is wrong

	records []record // before the fault, once it is decoded
	decoded chan struct{}
}

// full reports whether there is enough for a commit.
func (p *part) full() bool { return len(p.places) >= BatchRecords || len(p.raw) >= batchBytes }

// parts reads the input ahead of its use and decodes several parts at a time. The
// last has a fault, unless the context ended.
func (im *importer) parts(ctx context.Context, reader *intake.Reader) <-chan *part {
	ahead := make(chan *part, runtime.GOMAXPROCS(0))
	go func() {
		defer close(ahead)
		for fault := error(nil); fault == nil; {
			p := im.read(reader)
			fault = p.fault
			go im.decode(p)
			select {
			case ahead <- p:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ahead
}

// read takes the next part off the input.
func (im *importer) read(reader *intake.Reader) *part {
	p := &part{admission: im.Admission(), raw: make([]byte, 0, im.usual), decoded: make(chan struct{})}
	for p.fault == nil && !p.full() {
		r, err := reader.Next()
		switch {
		case err == io.EOF:
			p.fault = err
		case err != nil:
			p.fault = At(reader.Line(), err)
		case r.Line < im.FromLine:
			im.count++
			p.passed = r.Line
		default:
			im.count++
			p.raw = append(p.raw, r.JSON...)
			p.places, p.ends = append(p.places, place{r.Line, r.Index}), append(p.ends, len(p.raw))
			p.fault = im.bound(r)
		}
	}
	im.usual = max(im.usual, len(p.raw))
	p.read = im.count
	return p
}

// bound refuses an array that is too large to be stored at once.
func (im *importer) bound(r intake.Record) error {
	if im.form != intake.Array {
		return nil
	}
	im.array, im.arrayBytes = im.array+1, im.arrayBytes+len(r.JSON)
	if im.array <= sandtrail.MaxBatch && im.arrayBytes <= maxArrayBytes {
		return nil
	}
	return At(r.Line, sandtrail.Errorf(sandtrail.CodeTooLarge,
		"an array is stored all or nothing and may have %d records and %d MiB; write one object per line instead (jq -c '.[]')",
		sandtrail.MaxBatch, maxArrayBytes>>20))
}

// decode admits the records of a part up to the first that is at fault.
func (im *importer) decode(p *part) {
	defer close(p.decoded)
	p.records = make([]record, 0, len(p.places))
	begin := 0
	for i, at := range p.places {
		raw := p.raw[begin:p.ends[i]]
		begin = p.ends[i]
		r := record{place: at}
		var err error
		if r.admitted, r.hasID, err = p.admission.AdmitJSON(raw); err != nil {
			p.fault = im.placed(at, err)
			break
		}
		if im.Owners != nil {
			_ = json.Unmarshal(raw, &r.owners) // the execution was read from it
		}
		if !r.hasID {
			r.placeID = im.makeID(at, raw)
		}
		p.records = append(p.records, r)
	}
	p.raw = nil
}

// makeID derives a UUIDv8 (RFC 9562, section 5.8) from the place and the
// content of a record, so that reading it again is recognised.
func (im *importer) makeID(at place, raw []byte) (id sandtrail.ID) {
	if im.Name == "" {
		return id
	}
	h := sha256.New()
	fmt.Fprintf(h, "sandtrail import\n%q\n%d\n%d\n", im.Name, at.line, at.index)
	h.Write(raw)
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// interruptible ends reading when the context does, also while a terminal or
// pipe has nothing to read.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{in}, struct{ io.Reader }{r}, make([]byte, 64<<10))
		in.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { out.CloseWithError(ctx.Err()) })
	return out
}
