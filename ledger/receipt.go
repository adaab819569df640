package ledger

import (
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sandtrail/sandtrail"
)

// Receipt proves that an execution was in the log when a checkpoint was signed. A
// reader needs only the log's public key to verify it. Its JSON form is a file to keep.
type Receipt struct {
	Type       string              `json:"type"` // ReceiptType
	Record     sandtrail.Execution `json:"record"`
	Leaf       int64               `json:"leaf"`       // its index
	Data       []byte              `json:"data"`       // of the ledger entry, base64
	Proof      [][]byte            `json:"proof"`      // inclusion, RFC 6962, base64
	Checkpoint string              `json:"checkpoint"` // signed note
}

// ReceiptType is the type of the receipts that this package makes.
const ReceiptType = "sandtrail-receipt/v1"

func newReceipt(e sandtrail.Execution, entry Entry, p Proof) Receipt {
	e.User, e.Strategy = nil, nil // they are not proved
	data, _ := entry.appendLeaf(nil, &e)
	return Receipt{Type: ReceiptType, Record: e, Leaf: p.Leaf, Data: data, Proof: p.Proof, Checkpoint: p.Checkpoint}
}

// VerifyReceipt checks the JSON of a receipt against the public keys of the
// log, and returns the proved record and the checkpoint that proves it.
func VerifyReceipt(raw []byte, trusted Verifiers) (sandtrail.Execution, Checkpoint, error) {
	e, c, err := verifyReceipt(raw, trusted)
	if err != nil {
		return sandtrail.Execution{}, Checkpoint{}, fmt.Errorf("receipt: %w", err)
	}
	return e, c, nil
}

func verifyReceipt(raw []byte, trusted Verifiers) (e sandtrail.Execution, c Checkpoint, err error) {
	var r Receipt
	if err := json.Unmarshal(raw, &r); err != nil {
		return e, c, fmt.Errorf("not a receipt: %w", err)
	}
	if r.Type != ReceiptType {
		return e, c, fmt.Errorf("the type must be %q, got %q", ReceiptType, r.Type)
	}
	if c, err = trusted.Open([]byte(r.Checkpoint)); err != nil {
		return e, c, err
	}
	proof := tlog.RecordProof{}
	for _, hash := range r.Proof {
		if len(hash) != tlog.HashSize {
			return e, c, errors.New("a hash of the proof is not 32 bytes long")
		}
		proof = append(proof, Hash(hash))
	}
	if r.Leaf < 0 || r.Leaf >= c.Size {
		return e, c, fmt.Errorf("entry %d is not in the checkpoint's log of %d entries", r.Leaf, c.Size)
	}
	if err := tlog.CheckRecord(proof, c.Size, c.Root, r.Leaf, tlog.RecordHash(r.Data)); err != nil {
		return e, c, fmt.Errorf("the proof does not lead from the entry to the checkpoint: %w", err)
	}
	e, err = decodeLeaf(r.Data)
	if err != nil {
		return e, c, err
	}
	if string(r.Record.Metadata) == "null" {
		r.Record.Metadata = nil // as package json reads a null
	}
	if !(sandtrail.Admitted{Execution: e}).SameContent(r.Record) {
		return e, c, errors.New("the execution is not the one that was proved")
	}
	return e, c, nil
}

// decodeLeaf reads the record out of its leaf's data.
func decodeLeaf(data []byte) (sandtrail.Execution, error) {
	if len(data) < recordAt || Kind(data[0]) != RecordLeaf {
		return sandtrail.Execution{}, errors.New("the entry is not an execution's")
	}
	return DecodeRecord(data[recordAt:])
}
