package server

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/klauspost/compress/gzhttp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/ledger"
)

// Ledger answers for the log by which executions are proved. ledger.Service is
// one.
type Ledger interface {
	Checkpoint(ctx context.Context, now time.Time) ([]byte, error)
	Proof(ctx context.Context, e sandtrail.Execution, now time.Time) (ledger.Proof, error)
	Receipt(ctx context.Context, e sandtrail.Execution, now time.Time) (ledger.Receipt, error)
	Tile(ctx context.Context, path string) ([]byte, error)
	Removals(ctx context.Context, part ledger.Range) ([]ledger.StoredRemoval, error)
	Renames(ctx context.Context, part ledger.Range) ([]ledger.StoredRename, error)
	Closed(ctx context.Context) ([]ledger.ClosedLog, error)
	ClosedTile(ctx context.Context, at time.Time, path string) ([]byte, error)
	// Export begins an export with a manifest.
	Export(to io.Writer, format, filter string) *ledger.Export
}

func (s *Server) registerLedger() {
	s.HandleFunc("GET /v1/ledger/checkpoint", s.checkpoint)
	s.documentFile(operation("GET /v1/ledger/checkpoint", "getCheckpoint", "Read a signed checkpoint of the ledger",
		"A C2SP tlog-checkpoint of all that is sealed. Keep it where the operator of the database cannot reach."), "text/plain")

	s.HandleFunc("GET /v1/ledger/tile/{path...}", s.tile)
	tile := operation("GET /v1/ledger/tile/{path}", "getTile", "Read a tile of the ledger's tree",
		"As C2SP tlog-tiles cuts and names them. The entry bundles, which would hold personal data, are not published.")
	tile.Parameters = []*huma.Param{{
		Name: "path", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString},
		Description: "Level, number and width, such as 0/x001/234 or 1/000.p/17.",
	}}
	s.documentFile(tile, "application/octet-stream")

	register(s, operation("GET /v1/ledger/closed", "getClosedLogs", "List the logs that were closed before this one",
		"The last first: when each was closed, by what, and how many entries its ledger has; 0 where that is not kept. "+
			"A checkpoint that was signed for one of them contradicts the log of today."), s.closed)
	s.HandleFunc("GET /v1/ledger/closed/{at}/tile/{path...}", s.closedTile)
	closedTile := operation("GET /v1/ledger/closed/{at}/tile/{path}", "getClosedTile", "Read a tile of a closed log's tree",
		"As the tiles of the ledger are read.")
	closedTile.Parameters = []*huma.Param{{
		Name: "at", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString, Format: "date-time"},
		Description: "When the log was closed, as the list says.",
	}, tile.Parameters[0]}
	s.documentFile(closedTile, "application/octet-stream")

	register(s, operation("GET /v1/ledger/removals", "getRemovals", "List the removals in the ledger",
		"In the order of their ledger entries, page by page, each with the data of its entry: when, why, by whom, and the entries of the executions that it removed. "+
			"SHA-256 of a zero byte and the data is the hash that the tiles have for the entry."), s.removals)
	register(s, operation("GET /v1/ledger/renames", "getRenames", "List the renames in the ledger",
		"Users and strategies that got another id, in the order of their ledger entries, page by page: the data of the entry, which commits to both ids, "+
			"and what opens it, left out once the ids are erased."), s.renames)

	proof := operation("GET /v1/ledger/proof/{id}", "getProof", "Prove that an execution is in the ledger",
		"The path from its ledger entry to a checkpoint. An execution is sealed seconds after its commit; before that there is no proof.")
	proof.Middlewares = append(proof.Middlewares, uncompressed)
	register(s, proof, s.proof)
	register(s, operation("GET /v1/ledger/receipt/{id}", "getReceipt", "Read the receipt of an execution",
		"Execution, proof and checkpoint in one file, which sandtrail verify --receipt checks without any server."), s.receipt)
}

// uncompressed spares an answer that is small and mostly hashes.
func uncompressed(ctx huma.Context, next func(huma.Context)) {
	ctx.SetHeader(gzhttp.HeaderNoCompression, "hashes")
	next(ctx)
}

// documentFile describes a call that answers with a file of its own form.
func (s *Server) documentFile(op huma.Operation, form string) {
	op.Responses = map[string]*huma.Response{
		"200":     {Description: "OK", Content: map[string]*huma.MediaType{form: {Schema: &huma.Schema{Type: huma.TypeString}}}},
		"default": s.problemResponse(),
	}
	s.api.OpenAPI().AddOperation(&op)
}

// noLedger stands where there is none.
type noLedger struct{}

var errNoLedger = sandtrail.Errorf(sandtrail.CodeNotFound, "this server has no ledger: its store keeps none, or it has no key to sign with")

func (noLedger) Checkpoint(context.Context, time.Time) ([]byte, error) { return nil, errNoLedger }
func (noLedger) Tile(context.Context, string) ([]byte, error)          { return nil, errNoLedger }

func (noLedger) Export(io.Writer, string, string) *ledger.Export    { return nil }
func (noLedger) Closed(context.Context) ([]ledger.ClosedLog, error) { return nil, errNoLedger }

func (noLedger) ClosedTile(context.Context, time.Time, string) ([]byte, error) {
	return nil, errNoLedger
}

func (noLedger) Removals(context.Context, ledger.Range) ([]ledger.StoredRemoval, error) {
	return nil, errNoLedger
}

func (noLedger) Renames(context.Context, ledger.Range) ([]ledger.StoredRename, error) {
	return nil, errNoLedger
}

func (noLedger) Proof(context.Context, sandtrail.Execution, time.Time) (ledger.Proof, error) {
	return ledger.Proof{}, errNoLedger
}

func (noLedger) Receipt(context.Context, sandtrail.Execution, time.Time) (ledger.Receipt, error) {
	return ledger.Receipt{}, errNoLedger
}

func (s *Server) checkpoint(w http.ResponseWriter, r *http.Request) {
	signed, err := s.cfg.Ledger.Checkpoint(r.Context(), s.now())
	s.sendFile(w, r, "text/plain; charset=utf-8", signed, err)
}

func (s *Server) tile(w http.ResponseWriter, r *http.Request) {
	hashes, err := s.cfg.Ledger.Tile(r.Context(), "tile/"+r.PathValue("path"))
	s.sendFile(w, r, "application/octet-stream", hashes, err)
}

func (s *Server) closedTile(w http.ResponseWriter, r *http.Request) {
	at, err := time.Parse(time.RFC3339, r.PathValue("at"))
	if err != nil {
		s.writeProblem(w, r, sandtrail.Errorf(sandtrail.CodeNotFound,
			"a closed log is named by the time at which it was closed, as GET /v1/ledger/closed has it"), "")
		return
	}
	hashes, err := s.cfg.Ledger.ClosedTile(r.Context(), at, "tile/"+r.PathValue("path"))
	s.sendFile(w, r, "application/octet-stream", hashes, err)
}

func (s *Server) closed(ctx context.Context, _ *struct{}) (*body[api.Page[ledger.ClosedLog]], error) {
	all, err := s.cfg.Ledger.Closed(ctx)
	return answer(api.NewPage(all, ""), err)
}

func (s *Server) removals(ctx context.Context, in *PageInput) (*body[api.Page[ledger.StoredRemoval]], error) {
	part, err := in.entries()
	if err != nil {
		return nil, err
	}
	items, err := s.cfg.Ledger.Removals(ctx, part)
	return answer(api.NewPage(items, nextEntry(items, in.Limit, func(r ledger.StoredRemoval) int64 { return r.Leaf })), err)
}

func (s *Server) renames(ctx context.Context, in *PageInput) (*body[api.Page[ledger.StoredRename]], error) {
	part, err := in.entries()
	if err != nil {
		return nil, err
	}
	items, err := s.cfg.Ledger.Renames(ctx, part)
	return answer(api.NewPage(items, nextEntry(items, in.Limit, func(r ledger.StoredRename) int64 { return r.Leaf })), err)
}

// entries is what a cursor stands for where pages go by ledger entries: the
// entries after one.
func (in *PageInput) entries() (ledger.Range, error) {
	if in.Cursor == "" {
		return ledger.Range{Limit: in.Limit}, nil
	}
	last, err := strconv.ParseUint(in.Cursor, 10, 62)
	if err != nil {
		return ledger.Range{}, atField("cursor", errBadCursor)
	}
	return ledger.Range{From: int64(last) + 1, Limit: in.Limit}, nil
}

// nextEntry is the cursor of the page after items, of which limit were asked for.
func nextEntry[T any](items []T, limit int, index func(T) int64) string {
	if len(items) < limit {
		return ""
	}
	return strconv.FormatInt(index(items[limit-1]), 10)
}

func (s *Server) sendFile(w http.ResponseWriter, r *http.Request, form string, content []byte, err error) {
	if err != nil {
		s.writeProblem(w, r, err, "")
		return
	}
	w.Header().Set("Content-Type", form)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(content)
}

// ledgerInput asks about one execution.
type ledgerInput struct {
	ID string `path:"id" format:"uuid"`
}

func (s *Server) proof(ctx context.Context, in *ledgerInput) (*body[ledger.Proof], error) {
	e, err := s.visibleExecution(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(s.cfg.Ledger.Proof(ctx, e, s.now()))
}

func (s *Server) receipt(ctx context.Context, in *ledgerInput) (*body[ledger.Receipt], error) {
	e, err := s.visibleExecution(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(s.cfg.Ledger.Receipt(ctx, e, s.now()))
}
