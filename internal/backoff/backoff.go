// Package backoff says how long callers wait between attempts.
package backoff

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	first   = 100 * time.Millisecond
	longest = 5 * time.Second
)

// Pause is the wait before an attempt is repeated. It doubles with each attempt from
// 0.1 seconds to the longest, and half of it is random: clients do not return in step.
func Pause(attempt int, longest time.Duration) time.Duration {
	const doublings = 16 // are more than any longest, and no overflow
	wait := min(first<<min(max(attempt-1, 0), doublings), longest)
	return wait/2 + rand.N(wait)
}

// Wait waits before an attempt is repeated, at most five seconds and a half. An error
// with a method RetryAfter sets the time in place of Pause. It returns false when the
// context ends or would end first.
func Wait(ctx context.Context, attempt int, err error) bool {
	wait := Pause(attempt, longest)
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(err, &asks) && asks.RetryAfter() > 0 {
		wait = min(asks.RetryAfter(), longest) + rand.N(first)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
