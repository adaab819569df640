package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/ledger"
)

// exporting exports the same store again and again.
type exporting struct {
	*testing.T
	cmd   exportCmd
	deps  *deps
	store database.Database
}

var exportNow = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// newExporting makes a store of n executions, every three of them of the same
// millisecond, with texts that make lines hard to tell.
func newExporting(t *testing.T, n int) *exporting {
	dir := t.TempDir()
	d := &deps{
		makes: true, globals: globals{DB: "sqlite:" + filepath.Join(dir, "test.db")}, out: &bytes.Buffer{}, err: &bytes.Buffer{},
		getenv: func(string) string { return "" }, now: func() time.Time { return exportNow },
	}
	_, err := d.store(t.Context())
	x := &exporting{T: t, deps: d}
	x.must(err)
	x.Cleanup(func() { x.must(d.close()) })
	x.store = d.opened.(database.Database)
	name := "Ada \"\r\n,1\n\""
	x.must(x.store.PutUser(t.Context(), sandtrail.User{ID: "a\nda", Email: "ada@example.com", Name: &name}))
	x.must(x.store.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "=S\n"}))
	times := make([]time.Time, n)
	for i := range times {
		times[i] = exportNow.Add(-time.Duration(i/3) * time.Minute)
	}
	x.append(times...)
	x.must(x.store.Maintain(t.Context(), exportNow))
	x.cmd.To, x.cmd.Manifest, x.cmd.LedgerKey = outFile(filepath.Join(dir, "executions")), outFile(filepath.Join(dir, "manifest")), filepath.Join(dir, "key")
	return x
}

func (x *exporting) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// append adds executions of these times and returns the last one's id.
func (x *exporting) append(times ...time.Time) (last sandtrail.ID) {
	batch := make([]sandtrail.Admitted, len(times))
	for i, at := range times {
		last = sandtrail.NewID(at)
		batch[i].Execution = sandtrail.Execution{
			ID: last, UserID: "a\nda", StrategyID: "s", Type: sandtrail.Validation, CreatedAt: at,
			Metadata: []byte("{\n\"run\":{\"command\":\"<a \\n,\\\" b>\"}}"),
		}
	}
	_, err := x.store.Append(x.Context(), batch)
	x.must(err)
	return last
}

func (x *exporting) read(path string) []byte {
	x.Helper()
	b, err := os.ReadFile(path)
	x.must(err)
	return b
}

// interrupt leaves what an export had written when it was interrupted.
func (x *exporting) interrupt(content []byte) {
	x.Helper()
	f, _, err := x.cmd.createFile(x.deps)
	x.must(err)
	_, err = f.File.Write(content)
	x.must(errors.Join(err, f.Close()))
}

// resumed is the file and its manifest after the export went on.
func (x *exporting) resumed() (file, manifest []byte) {
	x.Helper()
	c := x.cmd
	c.Resume = true
	x.must(c.Run(x.Context(), x.deps))
	for _, name := range []string{partOf(string(x.cmd.To)), begunOf(string(x.cmd.To))} {
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			x.Errorf("%s is left: %v", name, err)
		}
	}
	return x.read(string(x.cmd.To)), x.read(string(x.cmd.Manifest))
}

// tails are what a crash of the machine can leave behind the cut.
var tails = []string{"", "\x00\x00\x00"}

// TestExportResumes cuts exports and has them go on.
func TestExportResumes(t *testing.T) {
	for _, rows := range []int{4, exportedRows} {
		for format := range scans {
			t.Run(fmt.Sprint(rows, " rows/", format), func(t *testing.T) {
				x := newExporting(t, rows)
				x.cmd.Format = format
				x.must(x.cmd.Run(t.Context(), x.deps))
				whole, manifest := x.read(string(x.cmd.To)), x.read(string(x.cmd.Manifest))
				for cut := 0; cut <= len(whole); cut += len(whole)/8 + 1 {
					for _, tail := range tails {
						x.interrupt(append(slices.Clone(whole[:cut]), tail...))
						got, signed := x.resumed()
						if !bytes.Equal(got, whole) {
							t.Fatalf("cut at %d, it goes on to be (-want +got):\n%s", cut, cmp.Diff(string(whole), string(got)))
						}
						if !bytes.Equal(signed, manifest) {
							t.Fatalf("cut at %d, its manifest is (-want +got):\n%s", cut, cmp.Diff(string(manifest), string(signed)))
						}
					}
				}
			})
		}
	}
}

// TestExportScans cuts exports everywhere and finds the last record before.
func TestExportScans(t *testing.T) {
	const rows = 4
	for format, scan := range scans {
		t.Run(format, func(t *testing.T) {
			x := newExporting(t, rows)
			x.cmd.Format = format
			x.must(x.cmd.Run(t.Context(), x.deps))
			whole := x.read(string(x.cmd.To))
			f, err := openPart(string(x.cmd.To), os.O_CREATE)
			x.must(err)
			defer f.Close()
			var so written // at the cut before
			for cut := range len(whole) + 1 {
				for _, tail := range tails {
					x.must(f.Truncate(0))
					_, err = f.File.Write(append(slices.Clone(whole[:cut]), tail...))
					x.must(err)
					_, err = f.Seek(0, io.SeekStart)
					x.must(err)
					got, err := scan(f)
					x.must(err)
					if got.end != so.end && tail == "" {
						if got.end != int64(cut) || got.records > so.records+1 {
							t.Fatalf("cut at %d, %d records end at %d; before, %d ended at %d", cut, got.records, got.end, so.records, so.end)
						}
						so = got
					}
					if got.end != so.end || got.records != so.records {
						t.Fatalf("cut at %d, %d records end at %d; want %d at %d", cut, got.records, got.end, so.records, so.end)
					}
				}
			}
			if so.records != rows || so.end != int64(len(whole)) {
				t.Errorf("the whole has %d records and ends at %d; want %d and %d", so.records, so.end, rows, len(whole))
			}
		})
	}
}

// TestExportResumesAmongChanges interrupts an export, and executions come and
// go before it goes on: what is written stays, and what follows is what there
// is then.
func TestExportResumesAmongChanges(t *testing.T) {
	x := newExporting(t, 30)
	x.cmd.Format = "ndjson"
	x.must(x.cmd.Run(t.Context(), x.deps))
	whole := x.read(string(x.cmd.To))
	var at int // half of the executions of a millisecond are written
	for range 16 {
		at += 1 + bytes.IndexByte(whole[at:], '\n')
	}
	x.interrupt(whole[:at+100])

	x.append(exportNow.Add(time.Second))
	older := x.append(exportNow.Add(-time.Hour))
	gone, going := exportedIDs(t, whole)[15], exportedIDs(t, whole)[20]
	deleted, err := x.store.(database.ArchivedCleaner).CleanupArchived(t.Context(), time.Time{}, sandtrail.Before(exportNow),
		func(id sandtrail.ID) bool { return id == gone || id == going })
	if err != nil || deleted != 2 {
		t.Fatalf("deleted %d, %v; want 2", deleted, err)
	}
	want := slices.DeleteFunc(append(exportedIDs(t, whole), older), func(id sandtrail.ID) bool { return id == going })

	got, signed := x.resumed()
	if diff := cmp.Diff(want, exportedIDs(t, got)); diff != "" {
		t.Errorf("exported (-want +got):\n%s", diff)
	}
	keys, err := ledger.LoadKeys(x.cmd.LedgerKey)
	x.must(err)
	m, err := keys.OpenManifest(signed)
	x.must(err)
	sum, err := ledger.VerifyExport(bytes.NewReader(got), m, func(f ledger.Finding) { t.Errorf("found %+v", f) })
	if err != nil || sum.Intact != 30 {
		t.Errorf("%d are intact, %v; want 30", sum.Intact, err)
	}
}

func exportedIDs(t *testing.T, ndjson []byte) (ids []sandtrail.ID) {
	t.Helper()
	for line := range bytes.Lines(ndjson) {
		var e sandtrail.Execution
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// TestExportInterrupted interrupts exports that run.
func TestExportInterrupted(t *testing.T) {
	for format, resumable := range map[string]bool{"ndjson": true, "csv": true, "ocsf": true, "parquet": false} {
		t.Run(format, func(t *testing.T) {
			x := newExporting(t, exportedRows)
			x.cmd.Format, x.cmd.Manifest = format, ""
			x.must(x.cmd.Run(t.Context(), x.deps))
			whole := x.read(string(x.cmd.To))
			x.must(os.Remove(string(x.cmd.To)))

			x.deps.opened = interrupted{x.store}
			if err := x.cmd.Run(t.Context(), x.deps); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want that it is interrupted", err)
			}
			x.deps.opened = x.store
			if _, err := os.Stat(string(x.cmd.To)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a part has the name of the whole: %v", err)
			}
			if told := strings.Contains(x.deps.err.(*bytes.Buffer).String(), "--resume"); told != resumable {
				t.Errorf("told how to go on: %t, want %t", told, resumable)
			}
			x.cmd.Resume = true
			err := x.cmd.Run(t.Context(), x.deps)
			if !resumable {
				if sandtrail.CodeOf(err) != sandtrail.CodeInvalid {
					t.Errorf("goes on with a %s file: %v", format, err)
				}
				return
			}
			x.must(err)
			if !bytes.Equal(x.read(string(x.cmd.To)), whole) {
				t.Errorf("the export that went on is another")
			}
		})
	}
}

// interrupted is a store that is interrupted behind the first page.
type interrupted struct{ sandtrail.Store }

// Executions is part of sandtrail.Reader.
func (s interrupted) Executions(ctx context.Context, q sandtrail.Query, now time.Time) (sandtrail.Page, error) {
	if q.Cursor != "" {
		return sandtrail.Page{}, context.Canceled
	}
	return s.Store.Executions(ctx, q, now)
}
