package alert

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// deliveriesChecked is of how many events CheckDeliveries looks at the deliveries, and
// channelMemory how old they may be: a channel that is no longer used is not failing.
const (
	deliveriesChecked = 100
	channelMemory     = 7 * 24 * time.Hour
)

// CheckDeliveries looks at the latest delivery to each channel that alerts were sent
// to in the last 7 days, as a line of doctor. Its error is the log's.
func CheckDeliveries(ctx context.Context, log Log, now time.Time) (database.Check, error) {
	c := database.Check{Name: "alert channels", OK: true, Detail: "no alert was sent in the last 7 days"}
	events, err := log.AlertEvents(ctx, sandtrail.ID{}, deliveriesChecked)
	latest := map[string]Delivery{}
	for _, e := range events { // newest first
		for _, d := range e.Deliveries {
			if _, newer := latest[d.Channel]; !newer && now.Sub(d.At) < channelMemory {
				latest[d.Channel] = d
			}
		}
	}
	var failing []string
	for _, channel := range slices.Sorted(maps.Keys(latest)) {
		if d := latest[channel]; !d.Delivered && d.Error != "" {
			failing = append(failing, fmt.Sprintf("%s since %s: %s", channel, d.At.UTC().Format(time.RFC3339), d.Error))
		}
	}
	switch {
	case len(failing) > 0:
		c.OK, c.Detail = false, "the last alert did not reach "+strings.Join(failing, "; ")
		c.Fix = "make the channel reachable, or correct its address where sandtrail serve is started; the alerts page lists every delivery"
	case len(latest) > 0:
		c.Detail = fmt.Sprintf("the last alert reached each of %d", len(latest))
	}
	return c, err
}
