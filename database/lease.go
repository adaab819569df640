package database

import (
	"context"
	"time"
)

// Leases lets several processes on one store share work that one of them
// should do at a time.
type Leases interface {
	// Claim reports whether the work is due and claims it: nobody is told so
	// again for the length of the lease. Work that nobody has claimed yet is
	// due, and so is work that would be due later than a period from now, and
	// MaxClockDifference: that was written by a clock gone wrong. Of calls
	// that race one gets true.
	Claim(ctx context.Context, work string, now time.Time, lease, period time.Duration) (bool, error)
	// Reschedule sets when the work is due next.
	Reschedule(ctx context.Context, work string, due time.Time) error
	// Due returns when the work is due next, or until when it is claimed; the
	// zero time when nobody has claimed it yet.
	Due(ctx context.Context, work string) (time.Time, error)
}
