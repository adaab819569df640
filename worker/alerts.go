package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/notify"
)

// AlertStore is what alerts need of a store.
type AlertStore interface {
	WindowStats(ctx context.Context, w sandtrail.Window) (sandtrail.WindowStats, error)
	database.Leases
	alert.Log
	alert.Silences
}

// alertPeriod is how often rules are evaluated.
const alertPeriod = time.Minute

// Alerts are the jobs that evaluate rules and tell channels when one begins to fire
// and when it no longer does. One of the servers evaluates once a minute, and keeps
// what it decides. Each channel has a job of its own, so that one that is slow delays
// neither the others nor the evaluation, and one of the servers tells it. Changes, and
// who was told of them, survive restarts.
func Alerts(store AlertStore, rules []alert.Rule, channels ...notify.Channel) []Job {
	a := alerts{store, rules, channels}
	jobs := []Job{{Name: "alerts", Every: alertPeriod, RunOnce: a.round}}
	for _, c := range channels {
		jobs = append(jobs, Job{Name: "alerts to " + c.Name(), Every: tellPeriod, RunOnce: teller{store, rules, c}.round})
	}
	return jobs
}

type alerts struct {
	store    AlertStore
	rules    []alert.Rule
	channels []notify.Channel
}

func (a alerts) round(ctx context.Context, now time.Time) error {
	// A little less than the period, so that the next round is not too early.
	l, err := claim(ctx, a.store, "alerts", now, alertPeriod*3/4, alertPeriod)
	if err != nil || l == nil {
		return err
	}
	now = sandtrail.Millisecond(now)
	states, err := statesOf(ctx, a.store)
	if err != nil {
		return err
	}
	silences, err := a.store.Silences(ctx, now)
	if err != nil {
		return err
	}
	var failed []error
	for _, rule := range a.rules {
		if mine, err := l.renew(ctx); err != nil || !mine {
			return errors.Join(append(failed, err)...)
		}
		if err := a.evaluate(ctx, rule, states[rule.Name], silenced(silences, rule.Name, now), now); err != nil {
			failed = append(failed, fmt.Errorf("rule %s: %w", rule.Name, err))
		}
	}
	return errors.Join(failed...)
}

func (a alerts) evaluate(ctx context.Context, rule alert.Rule, was alert.State, silenced bool, now time.Time) error {
	stats, err := a.store.WindowStats(ctx, rule.At(now))
	if err != nil {
		return err
	}
	heard, all, err := a.heard(ctx, was)
	if err != nil {
		return err
	}
	verdict := rule.Evaluate(stats)
	is, changed := decide(was, verdict, heard, now)
	var event *alert.Event
	if changed {
		event = &alert.Event{
			ID: sandtrail.NewID(now), At: now, Rule: rule.Name, Firing: is.Firing,
			Value: verdict.Value, Message: verdict.Message, Silenced: silenced,
		}
		is.Event = &event.ID
	} else if all && is.NotifiedAt == nil {
		is.NotifiedAt = &now
	}
	if is == was {
		return nil
	}
	if err := a.store.PutAlertState(ctx, is, event); err != nil || !changed || is.NotifiedAt == nil {
		return err
	}
	// A channel may have begun to be told, since it was asked, of what now ends untold.
	if heard, _, err = a.heard(ctx, was); err != nil || !heard {
		return err
	}
	is.NotifiedAt = nil
	return a.store.PutAlertState(ctx, is, nil)
}

// heard reports whether any channel was told of what a rule was, or is being told,
// and whether all were, those that were given up left out.
func (a alerts) heard(ctx context.Context, was alert.State) (some, all bool, err error) {
	if was.NotifiedAt != nil || was.Event == nil {
		return was.NotifiedAt != nil, false, nil
	}
	event, err := a.store.AlertEvent(ctx, *was.Event)
	if err != nil {
		return false, false, err
	}
	some = slices.ContainsFunc(event.Deliveries, func(d alert.Delivery) bool { return d.Delivered || d.Attempts > 0 && d.Error == "" })
	all = !slices.ContainsFunc(a.channels, func(c notify.Channel) bool {
		d := deliveryOf(event, c)
		return !d.Delivered && !givenUp(event, d)
	})
	return some, all, nil
}

// decide says what follows from a verdict, given what was known about its
// rule and whether channels were told of that, and whether it is a change. They are not
// told of the end of an alert whose beginning they were not told of.
func decide(was alert.State, v alert.Verdict, heard bool, now time.Time) (is alert.State, changed bool) {
	name, holds := v.Rule.Name, v.Holds(was.Firing)
	switch {
	case holds == was.Firing:
		is = was
		is.HoldsSince = nil
		return is, false
	case !holds && heard:
		return alert.State{Rule: name, Since: now}, true
	case !holds:
		return alert.State{Rule: name, Since: now, NotifiedAt: &now}, true
	}
	if was.HoldsSince == nil {
		was.HoldsSince = &now
	}
	if now.Sub(*was.HoldsSince) >= v.Rule.For {
		return alert.State{Rule: name, Firing: true, Since: now}, true
	}
	if was.Rule == "" {
		was.Rule, was.Since, was.NotifiedAt = name, now, &now
	}
	return was, false
}
