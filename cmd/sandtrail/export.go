package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/archive"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/recordcsv"
	"github.com/sandtrail/sandtrail/ledger"
)

type exportCmd struct {
	selection
	Failed bool   `help:"Only those that did not succeed, time-outs included."`
	Format string `enum:"ndjson,csv,parquet,ocsf" default:"ndjson" placeholder:"ndjson" help:"ndjson, csv, parquet or ocsf (NDJSON of Process Activity events)."`

	To     outFile `placeholder:"FILE" help:"Write there, in place of standard output, and give the file its name when it is whole."`
	Resume bool    `help:"Go on with the file of --to where the same export was interrupted."`

	Manifest outFile `placeholder:"FILE" help:"Write a signed manifest of the export there; lines of ndjson then say where their execution is in the ledger."`
	ledgerKeyFlag
}

// Help tells what differs over a server.
func (exportCmd) Help() string {
	return "With --server the server signs a manifest, with its own key: of ndjson only, without --resume and --ledger-key. " +
		"A key that is bound to a user exports that user's executions, and no manifest."
}

// Examples shows how it is used.
func (exportCmd) Examples() []string {
	return []string{
		"sandtrail export > executions.ndjson",
		"sandtrail export --format csv --since 30d > month.csv",
		"sandtrail export --format parquet --strategy momentum > momentum.parquet",
		"sandtrail export --manifest manifest.txt > executions.ndjson",
		"sandtrail export --to executions.ndjson",
		"sandtrail export --to executions.ndjson --resume",
	}
}

// Run writes every execution that the flags select, newest first.
func (c *exportCmd) Run(ctx context.Context, d *deps) error {
	if c.Resume && c.To == "" {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--resume goes on with a file: name it with --to")
	}
	if c.Format == "parquet" && c.To == "" && d.outTTY {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "parquet is not for terminals: redirect standard output to a file, or give --to")
	}
	if err := errors.Join(c.check(d.now()), c.checkServer(d)); err != nil {
		return err
	}
	if c.To != "" {
		return c.toFile(ctx, d)
	}
	signed, err := c.write(ctx, d, d.shown(), d.now(), written{})
	if err != nil {
		return err
	}
	return c.putManifest(signed)
}

// write writes what the flags select at a time, behind what is written already,
// and returns the manifest of the whole, if one is asked for.
func (c *exportCmd) write(ctx context.Context, d *deps, to io.Writer, at time.Time, so written) (signed []byte, err error) {
	store, err := d.store(ctx)
	if err != nil {
		return nil, err
	}
	out := exporters[c.Format](to)
	var m *ledger.Export
	if c.Manifest != "" {
		if server, ok := store.(*client.Client); ok {
			return fromServer(ctx, server, c.filter(at), to)
		}
		if m, err = c.manifested(ctx, d, to, at, so); err != nil {
			return nil, err
		}
		out = manifestExporter(ctx, m, c.Format)
	}
	if so.end == 0 && out.begin != nil {
		if err := out.begin(); err != nil {
			return nil, err
		}
	}
	err = d.export(ctx, store, so.rest(c.filter(at)), func(page []sandtrail.Execution) error {
		return out.write(slices.DeleteFunc(page, so.has))
	})
	if err == nil {
		err = out.close()
	}
	if err != nil || m == nil {
		return nil, err
	}
	return m.Manifest(ctx, d.now())
}

// filter is what the flags select at a time.
func (c *exportCmd) filter(at time.Time) sandtrail.Filter {
	filter := c.selection.filter(at)
	if filter.Within > 0 { // the same for all that go on with it
		filter.Since, filter.Within = at.Add(-filter.Within), 0
	}
	if c.Failed {
		filter.Success = new(bool)
	}
	return filter
}

// export uses every page of what a filter selects, newest first, and has the
// access log say so.
func (d *deps) export(ctx context.Context, store sandtrail.Store, filter sandtrail.Filter, use func([]sandtrail.Execution) error) error {
	if server, ok := store.(*client.Client); ok {
		return server.Export(ctx, filter, use)
	}
	if err := d.recordAct(ctx, "export", "executions"); cannotWrite(err) {
		d.warn("this export is not in the access log: %v", err)
	} else if err != nil {
		return err
	}
	return database.EachPage(ctx, store, filter, d.now, use)
}

// exporter writes executions in one format, piece by piece.
type exporter struct {
	begin func() error // writes what comes before the first; nil: nothing
	write func([]sandtrail.Execution) error
	close func() error
}

var exporters = map[string]func(io.Writer) exporter{
	"ndjson":  exportNDJSON,
	"csv":     exportCSV,
	"parquet": exportParquet,
	"ocsf":    exportOCSF,
}

func exportNDJSON(w io.Writer) exporter {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return exporter{
		write: func(executions []sandtrail.Execution) error {
			for _, e := range executions {
				if err := encoder.Encode(e); err != nil {
					return err
				}
			}
			return nil
		},
		close: func() error { return nil },
	}
}

func exportCSV(w io.Writer) exporter {
	out := csv.NewWriter(w)
	return exporter{
		begin: func() error { return out.Write(recordcsv.Header()) },
		write: func(executions []sandtrail.Execution) error {
			for _, e := range executions {
				if err := out.Write(recordcsv.Record(e)); err != nil {
					return err
				}
			}
			return nil
		},
		close: func() error {
			out.Flush()
			return out.Error()
		},
	}
}

func exportParquet(w io.Writer) exporter {
	out := archive.NewWriter(w)
	return exporter{write: out.Write, close: out.Close}
}
