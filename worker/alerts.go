package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/notify"
)

// AlertStore is what alerts need of a store.
type AlertStore interface {
	WindowStats(ctx context.Context, w sandtrail.Window) (sandtrail.WindowStats, error)
	sandtrail.Agenda
	sandtrail.AlertStates
}

// alertPeriod is how often rules are evaluated.
const alertPeriod = time.Minute

// Alerts evaluates rules once a minute, on one of the servers, and tells the
// channel when a rule begins to fire and when it no longer does. What could
// not be delivered is tried again the next minute. State survives restarts.
func Alerts(store AlertStore, rules []sandtrail.Rule, channel notify.Channel) Job {
	a := alerts{store, rules, channel}
	return Job{Name: "alerts", Every: alertPeriod, RunOnce: a.round}
}

type alerts struct {
	store   AlertStore
	rules   []sandtrail.Rule
	channel notify.Channel
}

func (a alerts) round(ctx context.Context, now time.Time) error {
	// A little less than the period, so that the next round is not too early.
	mine, err := a.store.Claim(ctx, "alerts", now, now.Add(alertPeriod*3/4))
	if err != nil || !mine {
		return err
	}
	known, err := a.store.AlertStates(ctx)
	if err != nil {
		return err
	}
	states := map[string]sandtrail.AlertState{}
	for _, s := range known {
		states[s.Rule] = s
	}
	var failed []error
	for _, rule := range a.rules {
		if err := a.evaluate(ctx, rule, states[rule.Name], sandtrail.Millisecond(now)); err != nil {
			failed = append(failed, fmt.Errorf("rule %s: %w", rule.Name, err))
		}
	}
	return errors.Join(failed...)
}

func (a alerts) evaluate(ctx context.Context, rule sandtrail.Rule, was sandtrail.AlertState, now time.Time) error {
	stats, err := a.store.WindowStats(ctx, rule.At(now))
	if err != nil {
		return err
	}
	verdict := rule.Evaluate(stats)
	is, tell := decide(was, verdict, now)
	if is != was {
		if err := a.store.PutAlertState(ctx, is); err != nil {
			return err
		}
	}
	if !tell {
		return nil
	}
	if err := a.channel.Notify(ctx, notify.NewNotice(verdict, is.Since)); err != nil {
		return err
	}
	is.NotifiedAt = &now
	return a.store.PutAlertState(ctx, is)
}

// decide says what follows from a verdict, given what was known about its
// rule, and whether somebody is to be told. The end of something that nobody
// was told of is not told either.
func decide(was sandtrail.AlertState, v sandtrail.Verdict, now time.Time) (is sandtrail.AlertState, tell bool) {
	switch {
	case v.Firing != was.Firing && (v.Firing || was.NotifiedAt != nil):
		return sandtrail.AlertState{Rule: v.Rule.Name, Firing: v.Firing, Since: now}, true
	case v.Firing != was.Firing:
		return sandtrail.AlertState{Rule: v.Rule.Name, Since: now, NotifiedAt: &now}, false
	case was.Rule == "":
		return was, false // never fired
	}
	return was, was.NotifiedAt == nil
}
