package web

import (
	"context"
	"net/http"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// Ledger tells how far records can be proved.
type Ledger interface {
	LedgerState(ctx context.Context) (database.LedgerState, error)
	// Leaf returns the place of a stored execution in the log, CodeNotFound while
	// it is unsealed.
	Leaf(ctx context.Context, e sandtrail.Execution) (int64, error)
	// PublicKeys are those that checkpoints are verified with.
	PublicKeys() []string
}

// integrity is the state of the ledger. Its figures count the records of all users,
// so a reader who is bound to a user does not get it.
type integrity struct {
	database.LedgerState
	Signed   stamp // when the newest checkpoint was
	Checked  stamp // when the ledger was last verified
	Keys     []string
	Download string // of a checkpoint; "" where the API does not serve it
}

// Tone is the colour of the state: whether it is good.
func (i integrity) Tone() string {
	if i.Verified != nil && i.Verified.Findings > 0 {
		return "fail"
	}
	return "ok"
}

// integrity is nil where there is no ledger, and for readers who are bound.
func (v *view) integrity(f *frame) (*integrity, error) {
	if v.Ledger == nil || v.who.UserID != "" {
		return nil, nil
	}
	state, err := v.Ledger.LedgerState(v.r.Context())
	if err != nil {
		return nil, err
	}
	i := &integrity{LedgerState: state, Keys: v.Ledger.PublicKeys()}
	if state.Checkpoint != nil {
		i.Signed = f.Stamp(state.Checkpoint.At)
	}
	if state.Verified != nil {
		i.Checked = f.Stamp(state.Verified.At)
	}
	if v.API != nil {
		i.Download = "/checkpoint"
	}
	return i, nil
}

// proven is what can be proved about one execution.
type proven struct {
	Sealed         bool
	Leaf           *int64 // nil: not sealed, or not for this reader to know
	Keys           []string
	Receipt, Proof string // downloads
}

// proven is nil where there is no ledger, or no API to get proofs from.
func (v *view) proven(e sandtrail.Execution) (*proven, error) {
	if v.Ledger == nil || v.API == nil {
		return nil, nil
	}
	p := &proven{Keys: v.Ledger.PublicKeys()}
	leaf, err := v.Ledger.Leaf(v.r.Context(), e)
	if sandtrail.CodeOf(err) == sandtrail.CodeNotFound {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	p.Sealed = true
	if v.who.UserID == "" {
		p.Leaf = &leaf
	}
	p.Receipt, p.Proof = "/executions/"+e.ID.String()+"/receipt", "/executions/"+e.ID.String()+"/proof"
	return p, nil
}

func receipt(v *view) error { return v.downloadOf("receipt") }

func proof(v *view) error { return v.downloadOf("proof") }

// downloadOf hands out what the API says about the ledger and an execution
// that the reader may see.
func (v *view) downloadOf(kind string) error {
	e, err := v.executionInPath()
	if err != nil {
		return err
	}
	return v.download("/v1/ledger/"+kind+"/"+e.ID.String(), kind+"-"+e.ID.String()+".json")
}

func checkpoint(v *view) error {
	return v.download("/v1/ledger/checkpoint", "checkpoint-"+v.now.UTC().Format("2006-01-02T150405Z")+".txt")
}

// download sends an answer of the API as a file, and a page when there is
// none to send.
func (v *view) download(path, name string) error {
	reply, err := v.fetch(http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", reply.header.Get("Content-Type"))
	v.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	v.w.Header().Set("Cache-Control", "no-store")
	_, _ = v.w.Write(reply.body.Bytes()) // fails only when the reader went away
	return nil
}
