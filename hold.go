package sandtrail

import (
	"context"
	"time"
)

// Hold is a legal hold: while it lasts neither its subject nor any execution
// of it is removed.
type Hold struct {
	Subject   Subject   `json:"subject"`   // Users or Strategies
	SubjectID string    `json:"subjectId"` // which of them
	Reason    string    `json:"reason"`
	CreatedBy string    `json:"createdBy"` // the key's name, or "cli"
	CreatedAt time.Time `json:"createdAt"`
}

// Validate reports every broken rule as an *Error of CodeInvalid.
func (h Hold) Validate() error {
	var p Faults
	if h.Subject != Strategies && h.Subject != Users {
		p.Addf("subject", "must be strategy or user, got %q", h.Subject)
	}
	p.Key("subjectId", h.SubjectID)
	p.Name("reason", h.Reason)
	return p.Err("invalid hold")
}

// Holds keeps legal holds. A database enforces them itself: a removal that includes a
// held execution fails as a whole, also one by plain SQL.
type Holds interface {
	// PutHold creates or replaces a hold; CodeNotFound when there is no such
	// user or strategy. When it returns nothing held is removed any more.
	PutHold(ctx context.Context, h Hold) error
	// Holds returns all holds, those on strategies first, in the order of
	// their subjects' ids.
	Holds(ctx context.Context) ([]Hold, error)
	// RemoveHold is CodeNotFound when there is no such hold.
	RemoveHold(ctx context.Context, subject Subject, id string) error
	// HeldBefore returns how many executions Cleanup leaves because they are
	// held.
	HeldBefore(ctx context.Context, c Cutoff) (int64, error)
}
