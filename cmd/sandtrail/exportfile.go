package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/bounded"
	"github.com/sandtrail/sandtrail/internal/filelock"
	"github.com/sandtrail/sandtrail/internal/recordcsv"
)

// begun is what an export to a file was begun with. It lies beside what is
// written, so that only the same export goes on with that.
type begun struct {
	At     time.Time        `json:"at"` // from which durations count back
	Store  string           `json:"store"`
	Format string           `json:"format"`
	Sealed bool             `json:"sealed"`
	Filter sandtrail.Filter `json:"filter"`
}

// begun is what an export with these flags begins with at a time.
func (c *exportCmd) begun(d *deps, at time.Time) begun {
	return begun{at, d.targetDigest(), c.Format, c.Manifest != "", c.filter(at)}
}

// exportFile is a file that an export is written to: beside its name, until it
// is whole.
type exportFile struct {
	name string
	*os.File
	out     *bufio.Writer
	written // by who was interrupted
}

func partOf(name string) string  { return name + ".part" }
func begunOf(name string) string { return name + ".part.json" }

// toFile exports to a file. Interrupted, it leaves what --resume goes on with.
func (c *exportCmd) toFile(ctx context.Context, d *deps) error {
	open := c.createFile
	if c.Resume {
		open = c.resumeFile
	}
	f, at, err := open(d)
	if err != nil {
		return err
	}
	signed, err := c.write(ctx, d, f, at, f.written)
	err = errors.Join(err, f.sync())
	if err == nil {
		err = c.putManifest(signed)
	}
	if err == nil {
		err = f.finish()
	}
	if err != nil && scans[c.Format] != nil && !c.serverSigns(d) {
		d.warn("%s is not whole: the same command with --resume goes on with it", c.To)
	}
	return errors.Join(err, f.Close())
}

// createFile begins a file, whatever was there before.
func (c *exportCmd) createFile(d *deps) (f *exportFile, at time.Time, err error) {
	if f, err = openPart(string(c.To), os.O_CREATE); err != nil {
		return nil, at, err
	}
	at = sandtrail.Millisecond(d.now())
	encoded, err := json.Marshal(c.begun(d, at))
	if err == nil {
		err = f.Truncate(0) // first, or it would be taken for a part of this one
	}
	if err == nil {
		err = durable.WriteFile(begunOf(string(c.To)), encoded)
	}
	if err != nil {
		return nil, at, errors.Join(fmt.Errorf("--to: %w", err), f.Close())
	}
	return f, at, nil
}

// resumeFile goes on with a file. It returns when the export was begun.
func (c *exportCmd) resumeFile(d *deps) (f *exportFile, at time.Time, err error) {
	if scans[c.Format] == nil {
		return nil, at, sandtrail.Errorf(sandtrail.CodeInvalid,
			"a %s file cannot be continued, because its index comes last: begin again without --resume", c.Format)
	}
	var b begun
	encoded, err := durable.ReadNamed(begunOf(string(c.To)), maxBegun)
	if err == nil {
		err = json.Unmarshal(encoded, &b)
	}
	if err != nil {
		return nil, at, sandtrail.Errorf(sandtrail.CodeInvalid, "no export to %s was interrupted: begin without --resume (%w)", c.To, err)
	}
	if same, err := json.Marshal(c.begun(d, b.At)); err != nil || !bytes.Equal(same, encoded) {
		return nil, at, errors.Join(err, sandtrail.Errorf(sandtrail.CodeInvalid,
			"the export to %s was begun from another store or with other flags: give the same, or begin again without --resume", c.To))
	}
	if f, err = openPart(string(c.To), 0); err != nil {
		return nil, at, err
	}
	if f.written, err = scans[c.Format](f); err == nil {
		err = f.Truncate(f.end)
	}
	if err != nil {
		return nil, at, errors.Join(fmt.Errorf("--to: %w", err), f.Close())
	}
	f.content = io.NewSectionReader(f, 0, f.end)
	return f, b.At, nil
}

// openPart opens what is written of a file, for one process at a time.
func openPart(name string, flags int) (*exportFile, error) {
	f, err := os.OpenFile(partOf(name), os.O_RDWR|os.O_APPEND|flags, 0o600)
	if err != nil {
		return nil, invalid(err)
	}
	if err := filelock.TryLock(f); err != nil {
		return nil, errors.Join(sandtrail.Errorf(sandtrail.CodeInvalid, "--to: another export writes %s", f.Name()), f.Close())
	}
	return &exportFile{name: name, File: f, out: bufio.NewWriterSize(f, 1<<16)}, nil
}

// Write implements io.Writer.
func (f *exportFile) Write(b []byte) (int, error) { return f.out.Write(b) }

// sync makes what is written durable.
func (f *exportFile) sync() error { return errors.Join(f.out.Flush(), f.Sync()) }

// finish gives the whole file its name.
func (f *exportFile) finish() error {
	if err := durable.Rename(partOf(f.name), f.name); err != nil {
		return err
	}
	return os.Remove(begunOf(f.name))
}

// written is what of an export is in a file: what comes behind its end is torn.
type written struct {
	end     int64
	records int64
	content io.Reader           // up to the end; nil: nothing
	last    *sandtrail.Position // nil: none
}

// rest restricts a filter to what comes after what is written.
func (w written) rest(filter sandtrail.Filter) sandtrail.Filter {
	if w.last != nil { // others may be of the same millisecond
		filter.Until = w.last.CreatedAt.Add(time.Millisecond)
	}
	return filter
}

// has reports whether an execution is written, or would have been before what
// is.
func (w written) has(e sandtrail.Execution) bool {
	return w.last != nil && !before(sandtrail.Position{CreatedAt: e.CreatedAt, ID: e.ID}, *w.last)
}

// before reports whether a position is older than another.
func before(p, q sandtrail.Position) bool {
	if c := p.CreatedAt.Compare(q.CreatedAt); c != 0 {
		return c < 0
	}
	return bytes.Compare(p.ID[:], q.ID[:]) < 0
}

// add takes a record that ends at an offset, if it can come next.
func (w *written) add(p sandtrail.Position, end int64) bool {
	if w.last != nil && !before(p, *w.last) {
		return false
	}
	w.end, w.last = end, &p
	w.records++
	return true
}

// scans read files of each format up to where they are torn.
var scans = map[string]func(*exportFile) (written, error){
	"ndjson": func(f *exportFile) (written, error) {
		return scanLines(f, func(line []byte) (sandtrail.Position, error) {
			var record struct {
				CreatedAt sandtrail.Time `json:"createdAt"`
				ID        sandtrail.ID   `json:"id"`
			}
			err := json.Unmarshal(line, &record)
			return sandtrail.Position{CreatedAt: record.CreatedAt.Time, ID: record.ID}, err
		})
	},
	"ocsf": func(f *exportFile) (written, error) {
		return scanLines(f, func(line []byte) (sandtrail.Position, error) {
			var event struct {
				Time     int64 `json:"time"`
				Metadata struct {
					UID sandtrail.ID `json:"uid"`
				} `json:"metadata"`
			}
			err := json.Unmarshal(line, &event)
			return sandtrail.Position{CreatedAt: time.UnixMilli(event.Time).UTC(), ID: event.Metadata.UID}, err
		})
	},
	"csv": scanCSV,
}

func scanLines(f *exportFile, parse func([]byte) (sandtrail.Position, error)) (w written, err error) {
	for in := bounded.NewLines(f.File, f.Name(), maxExported); ; {
		line, err := in.Next()
		if errors.Is(err, io.EOF) {
			return w, nil
		}
		if err != nil {
			return w, err
		}
		p, err := parse(line)
		if err != nil || !w.add(p, w.end+int64(len(line))) {
			return w, nil
		}
	}
}

func scanCSV(f *exportFile) (w written, err error) {
	header := recordcsv.Header()
	id, createdAt := slices.Index(header, "id"), slices.Index(header, "createdAt")
	row := bounded.New(f.File, f.Name(), maxExported)
	in := csv.NewReader(row)
	in.ReuseRecord = true
	for lineEnd := make([]byte, 1); ; row.Renew() {
		cells, err := in.Read()
		if torn := new(csv.ParseError); errors.Is(err, io.EOF) || errors.As(err, &torn) {
			return w, nil
		}
		end := in.InputOffset()
		if err == nil {
			_, err = f.ReadAt(lineEnd, end-1)
		}
		if err != nil {
			return w, err
		}
		if lineEnd[0] != '\n' {
			return w, nil
		}
		if w.end == 0 {
			if !slices.Equal(cells, header) {
				return w, nil
			}
			w.end = end
			continue
		}
		var p sandtrail.Position
		var at sandtrail.Time
		err = errors.Join(p.ID.UnmarshalText([]byte(cells[id])), at.UnmarshalText([]byte(cells[createdAt])))
		p.CreatedAt = at.Time
		if err != nil || !w.add(p, end) {
			return w, nil
		}
	}
}
