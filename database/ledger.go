package database

import (
	"context"
	"fmt"
	"time"
)

// LedgerKeeper is a store that keeps a ledger of its records.
type LedgerKeeper interface {
	// LedgerState is quick: it reads no executions.
	LedgerState(ctx context.Context) (LedgerState, error)
	// PutVerification remembers the outcome of a verification, durably.
	PutVerification(ctx context.Context, v LedgerVerification) error
}

// LedgerState says how far the executions of a store can be proved, and when
// that was last tried.
type LedgerState struct {
	Size       int64               `json:"size"`       // of the log: records and removals entered
	Unsealed   int64               `json:"unsealed"`   // executions inserted or deleted that have no entry yet
	Checkpoint *LedgerCheckpoint   `json:"checkpoint"` // the newest that was signed; nil: none was
	Verified   *LedgerVerification `json:"verified"`   // the last; nil: none yet
}

// LedgerCheckpoint says when a signed checkpoint was made of how much of the
// log.
type LedgerCheckpoint struct {
	Size int64     `json:"size"`
	At   time.Time `json:"at"`
}

// LedgerVerification is the outcome of comparing the executions with the ledger.
type LedgerVerification struct {
	At       time.Time `json:"at"`
	Records  int64     `json:"records"`  // that were compared
	Findings int64     `json:"findings"` // 0: nothing was altered, inserted or removed without a trace
}

// Check words the state as a line of doctor.
func (s LedgerState) Check() Check {
	c := Check{Name: "ledger", OK: true, Detail: fmt.Sprintf("%d entries, %d changes to be entered", s.Size, s.Unsealed)}
	when := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	if s.Checkpoint == nil {
		c.Detail += "; no checkpoint yet"
	} else {
		c.Detail += fmt.Sprintf("; last checkpoint %s, of %d entries", when(s.Checkpoint.At), s.Checkpoint.Size)
	}
	switch {
	case s.Verified == nil:
		c.Detail += "; not verified yet"
	case s.Verified.Findings == 0:
		c.Detail += "; verified " + when(s.Verified.At) + ", nothing found"
	default:
		c.OK, c.Fix = false, "sandtrail verify names them"
		c.Detail += fmt.Sprintf("; verified %s, %d findings", when(s.Verified.At), s.Verified.Findings)
	}
	return c
}
