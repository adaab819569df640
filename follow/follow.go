// Package follow hands out executions in the order in which they became visible.
package follow

import (
	"context"
	"encoding/json"

	"github.com/sandtrail/sandtrail"
)

// Follower hands out executions as they become visible, those of other programs too.
type Follower interface {
	// Tip is the place behind everything that is visible now.
	Tip(ctx context.Context) (Place, error)
	// Follow returns up to limit executions that became visible after the
	// place, with their users and strategies. Going on from the last one's
	// place until nothing is left meets every execution exactly once, however
	// late its transaction commits and whatever its createdAt; one deleted in
	// between is left out. A place that is not one of this store's is
	// CodeInvalid. Places survive restarts.
	Follow(ctx context.Context, after Place, limit int) ([]Followed, error)
}

// Place is a point in the order in which executions became visible. Only the
// store that made it can read it.
type Place string

// Followed is an execution and the place right behind it.
type Followed struct {
	sandtrail.Execution
	Place Place
}

// MarshalJSON writes the execution with its place as one more member.
func (f Followed) MarshalJSON() ([]byte, error) {
	raw, err := f.Execution.MarshalJSON()
	if err != nil {
		return nil, err
	}
	place, err := sandtrail.EncodeJSON(string(f.Place))
	return append(append(append(raw[:len(raw)-1], `,"place":`...), place...), '}'), err
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Followed) UnmarshalJSON(raw []byte) error {
	var beside struct {
		Place Place `json:"place"`
	}
	if err := json.Unmarshal(raw, &beside); err != nil {
		return err
	}
	f.Place = beside.Place
	return f.Execution.UnmarshalJSON(raw)
}
