package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/notify"
)

// AlertStore is what alerts need of a store.
type AlertStore interface {
	WindowStats(ctx context.Context, w sandtrail.Window) (sandtrail.WindowStats, error)
	sandtrail.Agenda
	sandtrail.AlertLog
	sandtrail.Silences
}

// alertPeriod is how often rules are evaluated.
const alertPeriod = time.Minute

// Alerts evaluates rules once a minute, on one of the servers, and tells every
// channel when a rule begins to fire and when it no longer does. A channel
// that failed is tried again the next minute, those that were told are not.
// Changes, and who was told of them, are kept; state survives restarts.
func Alerts(store AlertStore, rules []sandtrail.Rule, channels ...notify.Channel) Job {
	a := alerts{store, rules, channels}
	return Job{Name: "alerts", Every: alertPeriod, RunOnce: a.round}
}

type alerts struct {
	store    AlertStore
	rules    []sandtrail.Rule
	channels []notify.Channel
}

func (a alerts) round(ctx context.Context, now time.Time) error {
	// A little less than the period, so that the next round is not too early.
	mine, err := a.store.Claim(ctx, "alerts", now, alertPeriod*3/4, alertPeriod)
	if err != nil || !mine {
		return err
	}
	now = sandtrail.Millisecond(now)
	known, err := a.store.AlertStates(ctx)
	if err != nil {
		return err
	}
	states := map[string]sandtrail.AlertState{}
	for _, s := range known {
		states[s.Rule] = s
	}
	silences, err := a.store.Silences(ctx, now)
	if err != nil {
		return err
	}
	var failed []error
	for _, rule := range a.rules {
		silenced := slices.ContainsFunc(silences, func(s sandtrail.Silence) bool { return s.Covers(rule.Name, now) })
		if err := a.evaluate(ctx, rule, states[rule.Name], silenced, now); err != nil {
			failed = append(failed, fmt.Errorf("rule %s: %w", rule.Name, err))
		}
	}
	return errors.Join(failed...)
}

func (a alerts) evaluate(ctx context.Context, rule sandtrail.Rule, was sandtrail.AlertState, silenced bool, now time.Time) error {
	stats, err := a.store.WindowStats(ctx, rule.At(now))
	if err != nil {
		return err
	}
	heard, err := a.heard(ctx, was)
	if err != nil {
		return err
	}
	verdict := rule.Evaluate(stats)
	is, changed := decide(was, verdict, heard, now)
	var event *sandtrail.AlertEvent
	if changed {
		event = &sandtrail.AlertEvent{
			ID: sandtrail.NewID(now), At: now, Rule: rule.Name, Firing: is.Firing,
			Value: verdict.Value, Message: verdict.Message, Silenced: silenced,
		}
		is.Event = &event.ID
	}
	if is != was {
		if err := a.store.PutAlertState(ctx, is, event); err != nil {
			return err
		}
	}
	if silenced {
		return nil
	}
	return a.tell(ctx, notify.NewNotice(is.Firing, is.Since, verdict), is, now)
}

// heard reports whether any channel was told of what a rule was.
func (a alerts) heard(ctx context.Context, was sandtrail.AlertState) (bool, error) {
	if was.NotifiedAt != nil || was.Event == nil {
		return was.NotifiedAt != nil, nil
	}
	event, err := a.store.AlertEvent(ctx, *was.Event)
	return slices.ContainsFunc(event.Deliveries, func(d sandtrail.AlertDelivery) bool { return d.Delivered }), err
}

// decide says what follows from a verdict, given what was known about its
// rule and whether somebody was told of that, and whether it is a change. The
// end of something that nobody was told of is not told either.
func decide(was sandtrail.AlertState, v sandtrail.Verdict, heard bool, now time.Time) (is sandtrail.AlertState, changed bool) {
	name, holds := v.Rule.Name, v.Holds(was.Firing)
	switch {
	case holds == was.Firing:
		is = was
		is.HoldsSince = nil
		return is, false
	case !holds && heard:
		return sandtrail.AlertState{Rule: name, Since: now}, true
	case !holds:
		return sandtrail.AlertState{Rule: name, Since: now, NotifiedAt: &now}, true
	}
	if was.HoldsSince == nil {
		was.HoldsSince = &now
	}
	if now.Sub(*was.HoldsSince) >= v.Rule.For {
		return sandtrail.AlertState{Rule: name, Firing: true, Since: now}, true
	}
	if was.Rule == "" {
		was.Rule, was.Since, was.NotifiedAt = name, now, &now
	}
	return was, false
}

// tell tells the channels that have not heard of a rule's state, and those
// that forget what goes on.
func (a alerts) tell(ctx context.Context, n notify.Notice, is sandtrail.AlertState, now time.Time) error {
	if is.NotifiedAt != nil || is.Event == nil {
		return a.remind(ctx, n)
	}
	event, err := a.store.AlertEvent(ctx, *is.Event)
	if err != nil {
		return err
	}
	var failed []error
	for _, c := range a.channels {
		failed = append(failed, a.deliver(ctx, c, n, event, now))
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	is.NotifiedAt = &now
	return a.store.PutAlertState(ctx, is, nil)
}

// deliver tells one channel, unless it has been told, and keeps what became
// of it.
func (a alerts) deliver(ctx context.Context, c notify.Channel, n notify.Notice, event sandtrail.AlertEvent, now time.Time) error {
	d := sandtrail.AlertDelivery{Channel: c.Name()}
	if i := slices.IndexFunc(event.Deliveries, func(d sandtrail.AlertDelivery) bool { return d.Channel == c.Name() }); i >= 0 {
		d = event.Deliveries[i]
	}
	if d.Delivered {
		return nil
	}
	err := c.Notify(ctx, n)
	d.Delivered, d.Attempts, d.At, d.Error = err == nil, d.Attempts+1, now, ""
	if err != nil {
		d.Error = presentable(err.Error())
	}
	return errors.Join(err, a.store.PutAlertDelivery(ctx, event.ID, d))
}

// remind repeats what fires to channels that forget it.
func (a alerts) remind(ctx context.Context, n notify.Notice) error {
	if !n.Firing {
		return nil
	}
	var failed []error
	for _, c := range a.channels {
		if f, ok := c.(notify.Forgetful); ok && f.Forgets() {
			failed = append(failed, c.Notify(ctx, n))
		}
	}
	return errors.Join(failed...)
}

// presentable is a text from elsewhere in the form that a store can keep.
func presentable(text string) string {
	const limit = 500
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "�")
}
