package server

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/recordcsv"
)

type exportInput struct {
	FilterInput
	Format   string `query:"format" enum:"ndjson,csv" default:"ndjson"`
	Manifest bool   `query:"manifest" doc:"Of ndjson, and not for a key that is bound to one user: each line then says where its execution is in the ledger, and one more line, {\"manifest\":\"…\"}, is the signed manifest of those before it."`
}

// check refuses a manifest where there can be none.
func (in *exportInput) check(ctx context.Context, s *Server) error {
	switch _, without := s.cfg.Ledger.(noLedger); {
	case !in.Manifest:
		return nil
	case in.Format != "ndjson":
		return sandtrail.Errorf(sandtrail.CodeInvalid, "manifest: must be asked for with format=ndjson; of %s none is signed", in.Format)
	case callerOf(ctx).userID != "":
		return sandtrail.Errorf(sandtrail.CodeForbidden, "a key that is bound to one user gets no manifest: ask for the receipt of each execution")
	case without:
		return errNoLedger
	}
	return nil
}

// export streams everything that the filter selects, newest first.
func (s *Server) export(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	filter, err := in.filter(ctx)
	if err == nil {
		err = in.check(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	q := sandtrail.Query{Filter: filter, Limit: sandtrail.MaxLimit}
	ctx = database.WithOwnLimits(ctx)
	first, err := s.store.Executions(ctx, q, s.now())
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		_, w := humago.Unwrap(c)
		out := newIdleWriter(w, s.cfg.Limits.IdleTime)
		write := exportHeader(w, out, in.Format)
		if in.Manifest {
			write = nil
		}
		if err := s.exportAll(ctx, q, first, out, write); err != nil {
			s.logger(ctx).Warn("export stopped", "error", err)
			// The status is sent already: a connection cut short is the one
			// way left to say that this is not all.
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

// exportAll writes what a query selects; without a way to write it, lines with
// their places in the ledger and the manifest behind them.
func (s *Server) exportAll(ctx context.Context, q sandtrail.Query, first sandtrail.Page, out io.Writer, write func([]sandtrail.Execution) error) error {
	if write != nil {
		return s.exportPages(ctx, q, first, write)
	}
	x := s.cfg.Ledger.Export(out, "ndjson", url.Values(api.FilterValues(q.Filter)).Encode())
	err := s.exportPages(ctx, q, first, func(page []sandtrail.Execution) error { return x.Lines(ctx, page) })
	if err != nil {
		return err
	}
	signed, err := x.Manifest(ctx, s.now())
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(api.ExportEnd{Manifest: string(signed)})
}

func (s *Server) exportPages(ctx context.Context, q sandtrail.Query, page sandtrail.Page, write func([]sandtrail.Execution) error) error {
	for {
		if err := write(page.Items); err != nil {
			return err
		}
		if page.NextCursor == "" {
			return nil
		}
		q.Cursor = page.NextCursor
		var err error
		if page, err = s.store.Executions(ctx, q, s.now()); err != nil {
			return err
		}
	}
}

// exportHeader begins the answer and returns what writes records into it.
func exportHeader(w http.ResponseWriter, out io.Writer, format string) func([]sandtrail.Execution) error {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Disposition", `attachment; filename="executions.`+format+`"`)
	if format == "csv" {
		header.Set("Content-Type", "text/csv; charset=utf-8")
		return csvWriter(out)
	}
	header.Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false) // metadata as it was stored
	return func(records []sandtrail.Execution) error {
		for _, e := range records {
			if err := encoder.Encode(e); err != nil {
				return err
			}
		}
		return nil
	}
}

func csvWriter(out io.Writer) func([]sandtrail.Execution) error {
	w := csv.NewWriter(out)
	headed := false
	return func(records []sandtrail.Execution) error {
		if !headed {
			headed = true
			if err := w.Write(recordcsv.Header()); err != nil {
				return err
			}
		}
		for _, e := range records {
			if err := w.Write(recordcsv.Record(e)); err != nil {
				return err
			}
		}
		w.Flush()
		return w.Error()
	}
}
