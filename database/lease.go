package database

import (
	"context"
	"time"
)

// Leases lets several processes on one store share work that one of them
// should do at a time.
type Leases interface {
	// Claim returns true where the work is due, and leases it to the caller: other
	// calls get false until the lease ends. Of calls that race one gets true.
	// Work without a lease is due. So is work whose time lies further ahead than
	// period and MaxClockDifference: a wrong clock wrote that time.
	Claim(ctx context.Context, work string, now time.Time, lease, period time.Duration) (bool, error)
	// Reschedule sets when the work is due next.
	Reschedule(ctx context.Context, work string, due time.Time) error
	// Due returns when the work is due next, or until when it is claimed; the
	// zero time when it was never claimed.
	Due(ctx context.Context, work string) (time.Time, error)
}
