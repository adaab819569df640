package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/notify"
	"github.com/sandtrail/sandtrail/sqlite"
)

// ear is a channel that remembers what it was told.
type ear struct {
	name    string
	heard   []string
	deaf    bool
	forgets bool
}

func (e *ear) Name() string  { return e.name }
func (e *ear) Forgets() bool { return e.forgets }

func (e *ear) Notify(_ context.Context, n notify.Notice) error {
	if e.deaf {
		return errors.New("deaf \xff\x00")
	}
	e.heard = append(e.heard, fmt.Sprintf("%s %t", n.ID, n.Firing))
	return nil
}

// watch is two servers that evaluate the default rule, each new at every
// round, as after a restart.
type watch struct {
	*testing.T
	store *sqlite.Store
	ears  []*ear
}

func (w watch) minute(n int, wantErr bool) {
	w.Helper()
	var channels []notify.Channel
	for _, e := range w.ears {
		channels = append(channels, e)
	}
	for range 2 {
		var err error
		for _, job := range Alerts(w.store, []alert.Rule{alert.DefaultRule()}, channels...) {
			err = errors.Join(err, job.RunOnce(w.Context(), noon.Add(time.Duration(n)*time.Minute)))
		}
		if wantErr != (err != nil) {
			w.Errorf("minute %d: %v", n, err)
		}
		wantErr = false // the second server finds the work taken
	}
}

// heard checks what an ear was told: minutes, negative for the end.
func (w watch) heard(e *ear, minutes ...int) {
	w.Helper()
	var want []string
	for _, m := range minutes {
		at := noon.Add(time.Duration(max(m, -m)) * time.Minute)
		want = append(want, fmt.Sprintf("high-failure-rate@%s %t", at.Format(time.RFC3339), m > 0))
	}
	if diff := cmp.Diff(want, e.heard); diff != "" {
		w.Errorf("%s heard:\n%s", e.name, diff)
	}
}

func (w watch) fail(minute int) {
	put(w.T, w.store, noon.Add(time.Duration(minute)*time.Minute), false)
}

func (w watch) recover(minute int) {
	for range 9 {
		put(w.T, w.store, noon.Add(time.Duration(minute)*time.Minute), true)
	}
}

func TestAlertsTellEachChannelOnce(t *testing.T) {
	good, bad := &ear{name: "good"}, &ear{name: "bad", deaf: true}
	w := watch{t, openStore(t), []*ear{good, bad}}
	w.minute(0, false) // nothing yet
	w.fail(0)
	w.minute(1, true)
	w.minute(2, true)
	bad.deaf = false
	w.minute(3, false)
	w.minute(4, false)
	w.recover(4) // 10 % failed
	good.deaf = true
	w.minute(5, true)
	good.deaf = false
	w.minute(6, false)
	w.minute(7, false)
	w.heard(good, 1, -5)
	w.heard(bad, 1, -5)

	events, err := w.store.AlertEvents(t.Context(), sandtrail.ID{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }
	for i := range events {
		events[i].ID, events[i].Message, events[i].Value = sandtrail.ID{}, "", nil
	}
	want := []alert.Event{
		{At: at(5), Rule: "high-failure-rate", Deliveries: []alert.Delivery{
			{Channel: "bad", Delivered: true, Attempts: 1, At: at(5)}, {Channel: "good", Delivered: true, Attempts: 2, At: at(6)},
		}},
		{At: at(1), Rule: "high-failure-rate", Firing: true, Deliveries: []alert.Delivery{
			{Channel: "bad", Delivered: true, Attempts: 3, At: at(3)}, {Channel: "good", Delivered: true, Attempts: 1, At: at(1)},
		}},
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("history:\n%s", diff)
	}
}

func TestAFailedDeliverySaysWhy(t *testing.T) {
	w := watch{t, openStore(t), []*ear{{name: "bad", deaf: true}}}
	w.fail(0)
	w.minute(1, true)
	events, err := w.store.AlertEvents(t.Context(), sandtrail.ID{}, 1)
	if err != nil || len(events) != 1 || len(events[0].Deliveries) != 1 || events[0].Deliveries[0].Error != "deaf �" {
		t.Errorf("%+v, %v", events, err)
	}
}

// The end is told to a channel that heard the beginning although another did
// not.
func TestTheEndIsToldWhenAnybodyHeardTheBeginning(t *testing.T) {
	good, bad := &ear{name: "good"}, &ear{name: "bad", deaf: true}
	w := watch{t, openStore(t), []*ear{good, bad}}
	w.fail(0)
	w.minute(1, true)
	w.recover(1)
	w.minute(2, true)
	w.heard(good, 1, -2)

	good.heard, good.deaf = nil, true
	w.fail(70) // an hour later
	w.minute(71, true)
	w.recover(71)
	w.minute(72, false) // nobody heard of it
	w.heard(good)
}

func TestChannelsThatForgetAreReminded(t *testing.T) {
	forgets := &ear{name: "forgets", forgets: true}
	w := watch{t, openStore(t), []*ear{forgets, {name: "other"}}}
	w.fail(0)
	w.minute(1, false)
	w.minute(2, false)
	w.minute(3, false)
	w.recover(3)
	w.minute(4, false)
	w.minute(5, false)
	w.heard(forgets, 1, 1, 1, -4)
	w.heard(w.ears[1], 1, -4)
}

func TestSilence(t *testing.T) {
	e := &ear{name: "ear"}
	w := watch{t, openStore(t), []*ear{e}}
	silence := alert.Silence{
		ID: sandtrail.NewID(noon), Rule: "high-failure-rate", CreatedAt: noon, Until: noon.Add(3 * time.Minute),
	}
	if err := w.store.CreateSilence(t.Context(), silence); err != nil {
		t.Fatal(err)
	}
	w.fail(0)
	w.minute(1, false)
	w.heard(e)
	w.minute(3, false) // the silence has ended and it still fires
	w.heard(e, 1)
	events, err := w.store.AlertEvents(t.Context(), sandtrail.ID{}, 10)
	if err != nil || len(events) != 1 || !events[0].Silenced {
		t.Errorf("history: %+v, %v", events, err)
	}
}

func TestDecide(t *testing.T) {
	before, now := noon.Add(-time.Hour), noon
	patient := alert.Rule{Name: "r", For: time.Hour}
	state := func(firing bool, since time.Time, notified *time.Time) alert.State {
		return alert.State{Rule: "r", Firing: firing, Since: since, NotifiedAt: notified}
	}
	pending := func(since, holds time.Time) alert.State {
		return alert.State{Rule: "r", Since: since, NotifiedAt: &since, HoldsSince: &holds}
	}
	half := noon.Add(-time.Hour / 2)
	for _, test := range []struct {
		name    string
		rule    alert.Rule
		was     alert.State
		firing  bool
		heard   bool
		is      alert.State
		changed bool
	}{
		{"quiet from the start", alert.Rule{}, alert.State{}, false, false, alert.State{}, false},
		{"begins", alert.Rule{}, alert.State{}, true, false, state(true, now, nil), true},
		{"goes on", alert.Rule{}, state(true, before, &before), true, true, state(true, before, &before), false},
		{"goes on unheard", alert.Rule{}, state(true, before, nil), true, false, state(true, before, nil), false},
		{"ends", alert.Rule{}, state(true, before, &before), false, true, state(false, now, nil), true},
		{"ends half heard", alert.Rule{}, state(true, before, nil), false, true, state(false, now, nil), true},
		{"ends unheard", alert.Rule{}, state(true, before, nil), false, false, state(false, now, &now), true},
		{"has ended", alert.Rule{}, state(false, before, &before), false, true, state(false, before, &before), false},
		{"begins again", alert.Rule{}, state(false, before, &before), true, true, state(true, now, nil), true},
		{"begins to hold", patient, alert.State{}, true, false, pending(now, now), false},
		{"holds", patient, pending(before, half), true, true, pending(before, half), false},
		{"has held long enough", patient, pending(before, before), true, true, state(true, now, nil), true},
		{"held not long enough", patient, pending(before, half), false, true, state(false, before, &before), false},
	} {
		rule := test.rule
		rule.Name = "r"
		is, changed := decide(test.was, alert.Verdict{Rule: rule, Firing: test.firing}, test.heard, now)
		if diff := cmp.Diff(test.is, is); diff != "" || changed != test.changed {
			t.Errorf("%s: changed %t, want %t\n%s", test.name, changed, test.changed, diff)
		}
	}
}
