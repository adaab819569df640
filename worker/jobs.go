package worker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
)

// Maintainer is a store that wants upkeep.
type Maintainer interface {
	Upkeep() []database.UpkeepStep
}

// Upkeep keeps the answers of a store fast. Each step is a job of its own, so
// that one that fails is named, and waits longer and longer, alone.
func Upkeep(store Maintainer) []Job {
	var jobs []Job
	for _, step := range store.Upkeep() {
		jobs = append(jobs, Job{Name: step.Name, Every: time.Second, RunOnce: step.RunOnce})
	}
	return jobs
}

const (
	// retentionPeriod is how often old records are removed.
	retentionPeriod = 24 * time.Hour
	// retentionRetry is when another server takes over if the one that began
	// does not finish.
	retentionRetry = time.Hour
)

// RetentionStore is what retention needs of a store.
type RetentionStore interface {
	sandtrail.Cleaner
	sandtrail.Holds
	database.Leases
	auth.AccessLog
}

// Retention removes executions that are older than their period, once a day
// however many servers run and however often they restart. Each time is a line
// of the access log. It removes nothing while agree says that this machine and
// the database are not of one mind about the time.
func Retention(store RetentionStore, periods sandtrail.Periods, agree func(context.Context) error, log *slog.Logger) Job {
	return Job{Name: "retention", Every: 5 * time.Minute, RunOnce: func(ctx context.Context, now time.Time) error {
		if err := agree(ctx); err != nil {
			return err
		}
		mine, err := store.Claim(ctx, auth.RetentionWork, now, retentionRetry, retentionPeriod)
		if err != nil || !mine {
			return err
		}
		old := periods.Cutoff(now)
		deleted, err := store.Cleanup(ctx, old)
		if err != nil {
			return fmt.Errorf("after %d executions were deleted: %w", deleted, err)
		}
		held, err := store.HeldBefore(ctx, old)
		if err != nil {
			return err
		}
		log.Info("retention", "old", old, "deleted", deleted, "held", held)
		detail := fmt.Sprintf("deleted %d", deleted)
		if held > 0 {
			detail += fmt.Sprintf(", %d are held", held)
		}
		now = sandtrail.Millisecond(now)
		line := auth.Access{
			ID: sandtrail.NewID(now), At: now, Actor: auth.RetentionWork, Action: auth.CleanupAction,
			Object: old.String(), Outcome: auth.Allowed, Detail: detail,
		}
		if err := store.LogAccess(ctx, line); err != nil {
			return err
		}
		return store.Reschedule(ctx, auth.RetentionWork, now.Add(retentionPeriod))
	}}
}
