package alert

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail"
)

// State is what is remembered about a rule between evaluations.
type State struct {
	Rule       string        `json:"rule"` // its name
	Firing     bool          `json:"firing"`
	Since      time.Time     `json:"since"`      // when that began
	HoldsSince *time.Time    `json:"holdsSince"` // since when the condition holds of a rule that does not fire yet; nil: it does not hold
	Event      *sandtrail.ID `json:"event"`      // the change that began it; nil: none did
	NotifiedAt *time.Time    `json:"notifiedAt"` // nil: no channel was told yet
}

// Event is a change of a rule's state: it began to fire, or it no longer
// does.
type Event struct {
	ID         sandtrail.ID `json:"id"` // a UUIDv7; newer events have greater ids
	At         time.Time    `json:"at"`
	Rule       string       `json:"rule"`
	Firing     bool         `json:"firing"` // false: resolved
	Value      *float64     `json:"value"`  // of the rule's metric; nil over nothing
	Message    string       `json:"message"`
	Silenced   bool         `json:"silenced"` // a silence covered the rule when it changed
	Deliveries []Delivery   `json:"deliveries"`
}

// Delivery is what became of telling one channel of an event. One that is not
// delivered and has no error is on its way, or was when its server was killed.
type Delivery struct {
	Channel   string    `json:"channel"` // such as "webhook hooks.example.com"
	Delivered bool      `json:"delivered"`
	Attempts  int       `json:"attempts"`
	At        time.Time `json:"at"`    // of the last attempt
	Error     string    `json:"error"` // of the last attempt; "" when delivered
}

// History is how long events are kept.
const History = 365 * 24 * time.Hour

// Log keeps what alert rules say and who was told. Every change is
// durable when its method returns.
type Log interface {
	// AlertStates returns the states in the order of their rules' names.
	AlertStates(ctx context.Context) ([]State, error)
	// PutAlertState creates or replaces the state of a rule. The event that
	// the change is, if it is one (nil: none), is added with it, all or
	// nothing, and events older than History before it are forgotten.
	PutAlertState(ctx context.Context, s State, e *Event) error
	// PutAlertDelivery creates or replaces what became of telling a channel.
	// An event that is not there is CodeNotFound.
	PutAlertDelivery(ctx context.Context, event sandtrail.ID, d Delivery) error
	// Event returns one event, or CodeNotFound.
	AlertEvent(ctx context.Context, id sandtrail.ID) (Event, error)
	// AlertEvents returns events with an id below before, newest first, each
	// with its deliveries in the order of their channels; the zero id starts
	// at the newest. limit is 1 to MaxLimit.
	AlertEvents(ctx context.Context, before sandtrail.ID, limit int) ([]Event, error)
}

// Silence keeps a rule from sending alerts. A change meanwhile is sent when the silence
// ends, if the rule is still in that state.
type Silence struct {
	ID        sandtrail.ID `json:"id"`
	Rule      string       `json:"rule"` // its name; "": every rule
	Reason    string       `json:"reason"`
	CreatedBy string       `json:"createdBy"` // the key's name, or "cli"
	CreatedAt time.Time    `json:"createdAt"`
	Until     time.Time    `json:"until"`
	EndedAt   *time.Time   `json:"endedAt"` // nil: not ended before its time
}

// Validate reports every broken rule as an *Error of CodeInvalid.
func (s Silence) Validate() error {
	var p sandtrail.Faults
	p.OptionalKey("rule", s.Rule)
	p.Name("reason", s.Reason)
	if !s.Until.After(s.CreatedAt) {
		p.Addf("until", "is not in the future")
	}
	return p.Err("invalid silence")
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
	// EndSilence is CodeNotFound when there is no such silence; the end of one
	// that has ended already stays.
	EndSilence(ctx context.Context, id sandtrail.ID, now time.Time) error
}
