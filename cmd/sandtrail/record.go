package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ingest"
	"github.com/sandtrail/sandtrail/internal/human"
)

type recordCmd struct {
	File         input  `arg:"" optional:"" default:"-" help:"File of executions, - for standard input: one JSON object, an array, or one object per line (NDJSON), gzip and zstd understood, or CSV as export writes it."`
	FromLine     int    `default:"1" help:"Skip the lines before this one."`
	Import       string `placeholder:"NAME" help:"Name of this import. Executions without id get one made from the name, the line's number and its content, so that reading the same lines again stores nothing twice. A file is named by its path."`
	CreateOwners bool   `help:"Make the users and strategies that are not there yet, as the executions tell of them."`
	retentionFlag
}

// Help says how an import goes on.
func (recordCmd) Help() string {
	return `NDJSON of any length is stored in batches, each in one commit. At a faulty line everything before it is stored and nothing from it on. After an interruption, or when the line is mended, run the same command again: lines that are stored already are recognised by their id, or by the place in the file that their id was made from.

An array is stored all or nothing, and so is a single object; an object that comes alone and without id is new each time. Records without id that come through a pipe are new each time too, unless the import has a name.`
}

// Examples shows how it is used.
func (recordCmd) Examples() []string {
	return []string{
		"sandtrail record runs.ndjson",
		"sandtrail export | sandtrail record --create-owners --retention 0 --db sqlite:other.db",
		"zstdcat old-*.ndjson.zst | sandtrail record - --import old-runs --retention 0",
		`echo '{"userId":"ada","strategyId":"momentum","executionType":"VALIDATION","success":true,"executionTime":1250}' | sandtrail record`,
	}
}

// Run stores the records.
func (c *recordCmd) Run(ctx context.Context, d *deps) error {
	in, source, err := c.open(d)
	if err != nil {
		return err
	}
	defer in.Close()
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	bar := d.newProgress("recording", source.size)
	im := ingest.Import{
		Store: store, Name: source.name, FromLine: c.FromLine, OnRead: func(bytes int) { bar.add(int64(bytes)) },
		Admission: func() sandtrail.Admission { return c.Admission(d.now()) },
	}
	if c.CreateOwners {
		im.Owners = &ingest.Owners{Store: store, Act: d.recordAct}
	}
	done, err := im.Run(ctx, in)
	bar.finish()
	d.maintain(ctx)
	if err != nil {
		explain(d, done)
		return err
	}
	return d.say("Stored %s%s.", human.Plural(done.Accepted, "execution"), known(done))
}

// source is where records come from.
type source struct {
	name string // ids are made from it; "": none are
	size int64  // bytes, 0: not known
}

// open opens the input and finds the name that its ids are made from.
func (c *recordCmd) open(d *deps) (io.ReadCloser, source, error) {
	s := source{name: c.Import}
	if c.File == "-" {
		f, ok := d.in.(*os.File)
		if !ok {
			return io.NopCloser(d.in), s, nil
		}
		return f, s.describe(f, "standard input"), nil
	}
	f, err := os.Open(string(c.File))
	if err != nil {
		return nil, s, sandtrail.Errorf(sandtrail.CodeInvalid, "record: %w", err)
	}
	path, err := filepath.Abs(string(c.File))
	if err != nil {
		path = string(c.File)
	}
	return f, s.describe(f, path), nil
}

// describe adds what only a file, not a pipe, tells about itself.
func (s source) describe(f *os.File, path string) source {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return s
	}
	s.size = info.Size()
	if s.name == "" {
		s.name = path
	}
	return s
}

// known words how many records were stored already.
func known(o ingest.Outcome) string {
	if o.Duplicates == 0 {
		return ""
	}
	return fmt.Sprintf("; %s stored before", human.Count(o.Duplicates))
}

// explain says where an import stopped, what is stored and how to go on.
func explain(d *deps, o ingest.Outcome) {
	if o.Accepted+o.Duplicates == 0 {
		fmt.Fprintln(d.err, "sandtrail: nothing was stored.")
		return
	}
	fmt.Fprintf(d.err, "sandtrail: %s stored%s, up to line %d; nothing of what follows is.\n",
		human.Plural(o.Accepted, "execution"), known(o), o.Committed)
	if o.Unnamed {
		fmt.Fprintf(d.err, "sandtrail: to go on, run the same command with --from-line %d.\n", o.Committed+1)
	} else {
		fmt.Fprintf(d.err, "sandtrail: to go on, run the same command again: what is stored is recognised; --from-line %d skips it faster.\n", o.Committed+1)
	}
}
