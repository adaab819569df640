package worker

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// lease is work that this server has claimed, and no other does until it ends.
type lease struct {
	leases database.Leases
	work   string
	length time.Duration
	until  time.Time
	now    func() time.Time // by the clock that all servers share
}

// claim claims work; nil: it is another server's, or not due.
func claim(ctx context.Context, leases database.Leases, work string, now time.Time, length, period time.Duration) (*lease, error) {
	now, begun := sandtrail.Millisecond(now), time.Now()
	mine, err := leases.Claim(ctx, work, now, length, period)
	if err != nil || !mine {
		return nil, err
	}
	return &lease{leases, work, length, now.Add(length), func() time.Time {
		return sandtrail.Millisecond(now.Add(time.Since(begun)))
	}}, nil
}

// renew makes the lease last its whole length again, once half of it has gone. It
// reports false when another server has claimed the work: what it is doing must not
// be done here.
func (l *lease) renew(ctx context.Context) (mine bool, err error) {
	now := l.now()
	if l.until.Sub(now) > l.length/2 {
		return true, nil
	}
	until := now.Add(l.length)
	// Work that is due by the end of this lease was not claimed since.
	mine, err = l.leases.Claim(ctx, l.work, l.until, until.Sub(l.until), l.length)
	if mine {
		l.until = until
	}
	return mine, err
}

// release lets others have the work.
func (l *lease) release(ctx context.Context) error {
	now := l.now()
	if !now.Before(l.until) {
		return nil // it may be another's already
	}
	return l.leases.Reschedule(ctx, l.work, now)
}
