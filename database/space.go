package database

import (
	"context"
	"time"
)

// Surveyor tells how much room a store takes on disk.
type Surveyor interface {
	// Space is quick: it reads no executions.
	Space(ctx context.Context) (Space, error)
}

// Space is what a store takes on disk, in bytes.
type Space struct {
	Total int64  `json:"total"` // all that Sandtrail keeps there, indexes and Free included
	Free  *int64 `json:"free"`  // will be used again; nil: not known
	Parts []Part `json:"parts"` // of the executions, newest first; empty: they are not partitioned
}

// Part is a partition of the executions.
type Part struct {
	Name         string    `json:"name"`
	Since, Until time.Time `json:"-"`       // inclusive, exclusive; zero: no bound
	Records      *int64    `json:"records"` // as the database estimates; nil: it has not counted yet
	Bytes        int64     `json:"bytes"`   // indexes included
}
