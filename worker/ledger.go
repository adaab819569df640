package worker

import (
	"context"
	"errors"
	"time"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/ledger/publish"
)

// publishRetry is when another round is made after one that failed.
const publishRetry = time.Minute

// Checkpoints signs a checkpoint every so often and publishes it everywhere,
// on one of the servers. A publisher that fails does not keep it from the
// others; all are tried again soon.
func Checkpoints(sign func(context.Context, time.Time) (publish.Checkpoint, error), leases database.Leases, to []publish.Publisher, every time.Duration) Job {
	return Job{Name: "checkpoints", Every: min(every, publishRetry) / 2, RunOnce: func(ctx context.Context, now time.Time) error {
		mine, err := leases.Claim(ctx, "checkpoints", now, every, every)
		if err != nil || !mine {
			return err
		}
		c, err := sign(ctx, now)
		if err == nil {
			for _, publisher := range to {
				err = errors.Join(err, publisher.Publish(ctx, c))
			}
		}
		if err != nil {
			return errors.Join(err, leases.Reschedule(ctx, "checkpoints", now.Add(min(every, publishRetry))))
		}
		return nil
	}}
}

// verifyRetry is when another server takes over if the one that began does not
// finish.
const verifyRetry = time.Hour

// Verification compares the executions with the ledger every so often, on one of
// the servers.
func Verification(verify func(context.Context, time.Time) error, leases database.Leases, every time.Duration) Job {
	return Job{Name: "verify", Every: min(every, 5*time.Minute), RunOnce: func(ctx context.Context, now time.Time) error {
		mine, err := leases.Claim(ctx, "verify", now, min(every, verifyRetry), every)
		if err != nil || !mine {
			return err
		}
		return errors.Join(verify(ctx, now), leases.Reschedule(ctx, "verify", now.Add(every)))
	}}
}
