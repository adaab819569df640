package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/notify"
)

const (
	// tellPeriod is how often a channel is looked after.
	tellPeriod = 5 * time.Second
	// tellTime bounds an attempt, whatever the channel does. A lease lasts longer
	// than one, so that no other server begins another meanwhile.
	tellTime  = 20 * time.Second
	tellLease = 3 * tellTime

	// A channel that failed is told again after a pause that doubles up to the
	// longest one, and given up with the first attempt after tellFor.
	firstTellPause   = 30 * time.Second
	longestTellPause = 10 * time.Minute
	tellFor          = 24 * time.Hour
)

// teller tells one channel what was decided.
type teller struct {
	store   AlertStore
	rules   []alert.Rule
	channel notify.Channel
}

// round tells the channel what it has not heard, each change until it has taken it.
func (t teller) round(ctx context.Context, now time.Time) error {
	now = sandtrail.Millisecond(now)
	due, err := t.due(ctx, now)
	if err != nil || len(due) == 0 {
		return err
	}
	l, err := claim(ctx, t.store, "tell "+t.channel.Name(), now, tellLease, tellLease)
	if err != nil || l == nil {
		return err
	}
	if due, err = t.due(ctx, now); err != nil { // another server may have told some
		return errors.Join(err, l.release(ctx))
	}
	var failed []error
	for _, n := range due {
		if mine, err := l.renew(ctx); err != nil || !mine {
			return errors.Join(append(failed, err)...)
		}
		if err := t.tell(ctx, n, now); err != nil {
			failed = append(failed, fmt.Errorf("rule %s: %w", n.rule.Name, err))
		}
	}
	return errors.Join(append(failed, l.release(ctx))...)
}

// untold is a change that a channel is to be told of, or reminded of.
type untold struct {
	rule  alert.Rule
	state alert.State
	was   alert.Delivery
}

func (t teller) due(ctx context.Context, now time.Time) (due []untold, err error) {
	states, err := statesOf(ctx, t.store)
	if err != nil {
		return nil, err
	}
	silences, err := t.store.Silences(ctx, now)
	if err != nil {
		return nil, err
	}
	f, ok := t.channel.(notify.Forgetful)
	forgets := ok && f.Forgets()
	for _, rule := range t.rules {
		s := states[rule.Name]
		if s.Event == nil || s.NotifiedAt != nil && !(forgets && s.Firing) || silenced(silences, rule.Name, now) {
			continue
		}
		event, err := t.store.AlertEvent(ctx, *s.Event)
		if err != nil {
			return nil, err
		}
		d := deliveryOf(event, t.channel)
		remind := d.Delivered && forgets && s.Firing && now.Sub(d.At) >= alertPeriod*3/4
		if remind || !d.Delivered && !givenUp(event, d) && !now.Before(d.At.Add(tellPause(d.Attempts))) {
			due = append(due, untold{rule, s, d})
		}
	}
	return due, nil
}

// tell tells the channel once, and keeps the result. That it is being told is kept
// first: an evaluation that follows takes it for told. One that came before has
// replaced the state, of which the channel then is not told.
func (t teller) tell(ctx context.Context, n untold, now time.Time) error {
	stats, err := t.store.WindowStats(ctx, n.rule.At(now))
	if err != nil {
		return err
	}
	d := n.was
	d.At = now
	if !d.Delivered {
		d.Attempts, d.Error = d.Attempts+1, ""
		if err := t.store.PutAlertDelivery(ctx, *n.state.Event, d); err != nil {
			return err
		}
		states, err := statesOf(ctx, t.store)
		if is := states[n.rule.Name].Event; err != nil || is == nil || *is != *n.state.Event {
			return err
		}
	}
	attempt, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	err = t.channel.Notify(attempt, notify.NewNotice(n.state.Firing, n.state.Since, n.rule.Evaluate(stats)))
	if d.Delivered = d.Delivered || err == nil; !d.Delivered {
		d.Error = presentable(err.Error())
		if now.Sub(n.state.Since) >= tellFor {
			d.Error = presentable(fmt.Sprintf("given up after %d attempts: %v", d.Attempts, err))
		}
	}
	return errors.Join(err, t.store.PutAlertDelivery(ctx, *n.state.Event, d))
}

// deliveryOf is what became of telling a channel of an event.
func deliveryOf(e alert.Event, c notify.Channel) alert.Delivery {
	i := slices.IndexFunc(e.Deliveries, func(d alert.Delivery) bool { return d.Channel == c.Name() })
	if i < 0 {
		return alert.Delivery{Channel: c.Name()}
	}
	return e.Deliveries[i]
}

// givenUp reports whether the last attempt was after the time for which a channel is
// tried.
func givenUp(e alert.Event, d alert.Delivery) bool {
	return d.Attempts > 0 && !d.Delivered && d.At.Sub(e.At) >= tellFor
}

// tellPause is how long after so many attempts the next one is.
func tellPause(attempts int) time.Duration {
	if attempts == 0 {
		return 0
	}
	return min(firstTellPause<<min(attempts-1, 10), longestTellPause)
}

func silenced(silences []alert.Silence, rule string, now time.Time) bool {
	return slices.ContainsFunc(silences, func(s alert.Silence) bool { return s.Covers(rule, now) })
}

func statesOf(ctx context.Context, store alert.Log) (map[string]alert.State, error) {
	known, err := store.AlertStates(ctx)
	states := map[string]alert.State{}
	for _, s := range known {
		states[s.Rule] = s
	}
	return states, err
}

// presentable is a text from elsewhere in the form that a store can keep.
func presentable(text string) string {
	const limit = 500
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "�")
}
