package sandtrail

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// AlertState is what is remembered about a rule between evaluations.
type AlertState struct {
	Rule       string     `json:"rule"` // its name
	Firing     bool       `json:"firing"`
	Since      time.Time  `json:"since"`      // when that began
	HoldsSince *time.Time `json:"holdsSince"` // since when the condition holds of a rule that does not fire yet; nil: it does not hold
	Event      *ID        `json:"event"`      // the change that began it; nil: none did
	NotifiedAt *time.Time `json:"notifiedAt"` // nil: somebody has yet to be told
}

// AlertEvent is a change of a rule's state: it began to fire, or it no longer
// does.
type AlertEvent struct {
	ID         ID              `json:"id"` // a UUIDv7; newer events have greater ids
	At         time.Time       `json:"at"`
	Rule       string          `json:"rule"`
	Firing     bool            `json:"firing"` // false: resolved
	Value      *float64        `json:"value"`  // of the rule's metric; nil over nothing
	Message    string          `json:"message"`
	Silenced   bool            `json:"silenced"` // a silence covered the rule when it changed
	Deliveries []AlertDelivery `json:"deliveries"`
}

// AlertDelivery is what became of telling one channel of an event. One that is not
// delivered and has no error is on its way, or was when its server was killed.
type AlertDelivery struct {
	Channel   string    `json:"channel"` // such as "webhook hooks.example.com"
	Delivered bool      `json:"delivered"`
	Attempts  int       `json:"attempts"`
	At        time.Time `json:"at"`    // of the last attempt
	Error     string    `json:"error"` // of the last attempt; "" when delivered
}

// AlertHistory is how long events are kept.
const AlertHistory = 365 * 24 * time.Hour

// AlertLog keeps what alert rules say and who was told. Every change is
// durable when its method returns.
type AlertLog interface {
	// AlertStates returns the states in the order of their rules' names.
	AlertStates(ctx context.Context) ([]AlertState, error)
	// PutAlertState creates or replaces the state of a rule. The event that
	// the change is, if it is one (nil: none), is added with it, all or
	// nothing, and events older than AlertHistory before it are forgotten.
	PutAlertState(ctx context.Context, s AlertState, e *AlertEvent) error
	// PutAlertDelivery creates or replaces what became of telling a channel.
	// An event that is not there is ErrNotFound.
	PutAlertDelivery(ctx context.Context, event ID, d AlertDelivery) error
	// AlertEvent returns one event, or ErrNotFound.
	AlertEvent(ctx context.Context, id ID) (AlertEvent, error)
	// AlertEvents returns events with an id below before, newest first, each
	// with its deliveries in the order of their channels; the zero id starts
	// at the newest. limit is 1 to MaxLimit.
	AlertEvents(ctx context.Context, before ID, limit int) ([]AlertEvent, error)
}

// deliveriesChecked is of how many events CheckDeliveries looks at the deliveries, and
// channelMemory how old they may be: a channel that is no longer used is not failing.
const (
	deliveriesChecked = 100
	channelMemory     = 7 * 24 * time.Hour
)

// CheckDeliveries looks at the latest delivery to each channel that alerts were sent
// to in the last 7 days, as a line of doctor. Its error is the log's.
func CheckDeliveries(ctx context.Context, log AlertLog, now time.Time) (Check, error) {
	c := Check{Name: "alert channels", OK: true, Detail: "no alert was sent in the last 7 days"}
	events, err := log.AlertEvents(ctx, ID{}, deliveriesChecked)
	latest := map[string]AlertDelivery{}
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

// Silence keeps a rule from telling anybody. What changes meanwhile is told
// when the silence ends, if it still is so.
type Silence struct {
	ID        ID         `json:"id"`
	Rule      string     `json:"rule"` // its name; "": every rule
	Reason    string     `json:"reason"`
	CreatedBy string     `json:"createdBy"` // the key's name, or "cli"
	CreatedAt time.Time  `json:"createdAt"`
	Until     time.Time  `json:"until"`
	EndedAt   *time.Time `json:"endedAt"` // nil: not ended before its time
}

// Validate reports every broken rule as an *Error of CodeInvalid.
func (s Silence) Validate() error {
	var p problems
	checkText(&p, "rule", s.Rule, MaxKeyBytes)
	checkText(&p, "reason", s.Reason, MaxNameBytes)
	if !s.Until.After(s.CreatedAt) {
		p.add("until", "is not in the future")
	}
	return p.err("invalid silence")
}

// Covers reports whether the rule is silenced at that time.
func (s Silence) Covers(rule string, now time.Time) bool {
	return (s.Rule == "" || s.Rule == rule) && !now.Before(s.CreatedAt) && now.Before(s.Until) &&
		(s.EndedAt == nil || now.Before(*s.EndedAt))
}

// Silences keeps silences. Every change is durable when its method returns.
type Silences interface {
	CreateSilence(ctx context.Context, s Silence) error
	// Silences returns all silences whose time is after since, oldest first.
	Silences(ctx context.Context, since time.Time) ([]Silence, error)
	// EndSilence is ErrNotFound when there is no such silence; the end of one
	// that has ended already stays.
	EndSilence(ctx context.Context, id ID, now time.Time) error
}
