// Package database is what the databases of Sandtrail have beyond a store: their
// schema, upkeep and examination, and the work that they share.
package database

import (
	"context"
	"errors"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Migration is one step of a store's schema.
type Migration struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`
	SQL     string    `json:"-"`         // what applying it runs
	Applied time.Time `json:"appliedAt"` // zero: pending
}

// Database is a store whose schema Sandtrail keeps: SQLite and PostgreSQL.
type Database interface {
	sandtrail.Store
	// Migrations lists every migration in order, applied or pending.
	Migrations(ctx context.Context) ([]Migration, error)
	// Migrate applies the pending migrations, each in its transaction, under
	// a lock: of several processes that start together one applies, the
	// others wait and find nothing to do. It returns those it applied.
	Migrate(ctx context.Context, now time.Time) ([]Migration, error)
	// Doctor examines the database without changing it. Deep compares roll-ups and
	// other derived data with the executions, and may read all of them.
	Doctor(ctx context.Context, depth Depth, now time.Time) ([]Check, error)
	// Maintain runs every step of Upkeep once, also after one has failed. Its error
	// joins those of the steps.
	Maintain(ctx context.Context, now time.Time) error
	// Upkeep lists the steps of the work that keeps answers fast: creating
	// partitions ahead, moving strays, applying pending changes to roll-ups. They
	// depend on each other in nothing and may run at once, in several processes too.
	// A step returns soon where another process runs it, or has locked its rows.
	Upkeep() []UpkeepStep
}

// UpkeepStep is a part of a store's upkeep.
type UpkeepStep struct {
	Name    string
	RunOnce func(ctx context.Context, now time.Time) error
	// Slow is true where the step may take minutes and makes later answers quicker
	// alone: a command that has an answer to give leaves it to servers.
	Slow bool
}

// MaintainAll implements Maintain by Upkeep.
func MaintainAll(ctx context.Context, db interface{ Upkeep() []UpkeepStep }, now time.Time) error {
	var failed []error
	for _, step := range db.Upkeep() {
		failed = append(failed, step.RunOnce(ctx, now))
	}
	return errors.Join(failed...)
}

// ArchivedCleaner removes old executions that an archive has.
type ArchivedCleaner interface {
	// CleanupArchived deletes as Cleanup does, and only executions created at since
	// or later for whose id archived returns true. It calls archived after writers
	// can no longer change the execution, so that each deleted execution is in the
	// archive. archived must not use the store.
	CleanupArchived(ctx context.Context, since time.Time, c sandtrail.Cutoff, archived func(sandtrail.ID) bool) (deleted int64, err error)
}
