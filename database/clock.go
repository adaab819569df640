package database

import (
	"context"
	"fmt"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Clock is a store with a clock of its own: that of the database's server, which
// all who use the database share.
type Clock interface {
	Clock(ctx context.Context) (time.Time, error)
}

// MaxClockDifference is how far the clock of a machine may be from that of the
// database. Beyond it nothing is removed for its age.
const MaxClockDifference = time.Minute

// TimeOf is the time by the clock of a store that has one, else now.
func TimeOf(ctx context.Context, store any, now time.Time) (time.Time, error) {
	if c, ok := store.(Clock); ok {
		return c.Clock(ctx)
	}
	return now, nil
}

// CheckClock compares now, which a machine's clock says, with the clock of a
// store, as a line of doctor. One without a clock agrees.
func CheckClock(ctx context.Context, store any, now time.Time) (Check, error) {
	its, err := TimeOf(ctx, store, now)
	c := Check{Name: "clock", OK: true, Detail: "this machine's agrees with the database's"}
	if d := now.Sub(its).Truncate(time.Millisecond); d > MaxClockDifference || d < -MaxClockDifference {
		c.OK, c.Fix = false, "set the clock that is wrong, and keep both by NTP"
		c.Detail = fmt.Sprintf("this machine's says %s, the database's %s", now.UTC().Format(time.RFC3339), its.UTC().Format(time.RFC3339))
	}
	return c, err
}

// AgreeOnTime refuses, with CodeConflict, to remove by age what is in a store whose
// clock is far from now.
func AgreeOnTime(ctx context.Context, store any, now time.Time) error {
	c, err := CheckClock(ctx, store, now)
	if err == nil && !c.OK {
		err = sandtrail.Errorf(sandtrail.CodeConflict, "nothing is removed while the clocks disagree: %s; %s", c.Detail, c.Fix)
	}
	return err
}
