package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
)

// Witness takes checkpoints of other logs. ledger.Witness is one.
type Witness interface {
	AddCheckpoint(ctx context.Context, request []byte, now time.Time) ([]byte, error)
}

var errNoWitness = sandtrail.Errorf(sandtrail.CodeNotFound, "this server is no witness: its operator has to start it as one of this log")

const addCheckpointPath = "POST /v1/ledger/witness/add-checkpoint"

// maxCheckpointBody bounds a request to a witness.
const maxCheckpointBody = 64 << 10

func (s *Server) registerWitness() {
	if s.cfg.Witness == nil { // a call that needs no key is there only where it is wanted
		s.mux.HandleFunc(addCheckpointPath, func(w http.ResponseWriter, r *http.Request) { s.writeProblem(w, r, errNoWitness, "") })
		return
	}
	s.HandleFunc(addCheckpointPath, s.addCheckpoint)
	op := operation(addCheckpointPath, "addCheckpoint", "Have a checkpoint of another log witnessed",
		"As C2SP tlog-witness has it: the checkpoint with a proof that it continues the one seen last. Needs no key of this server: "+
			"the checkpoint must be signed by a log that it is a witness of. The answer is a cosignature; 409 with the size that was seen last "+
			"when the proof begins elsewhere, 422 when the checkpoint does not continue what was seen.")
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}}
	s.documentFile(op, "text/plain")
}

func (s *Server) addCheckpoint(w http.ResponseWriter, r *http.Request) {
	request, err := io.ReadAll(r.Body)
	if err != nil {
		s.writeProblem(w, r, err, "body")
		return
	}
	cosignature, err := s.cfg.Witness.AddCheckpoint(r.Context(), request, s.now())
	var conflict *ledger.ConflictError
	if errors.As(err, &conflict) {
		w.Header().Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintln(w, conflict.Size)
		return
	}
	if errors.Is(err, ledger.ErrForked) {
		s.log.Error("witness: a log was cut or rewritten", "request", string(request), "error", err)
	}
	s.sendFile(w, r, "text/plain; charset=utf-8", cosignature, err)
}
