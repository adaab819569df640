package storetest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
)

// AlertLog holds an empty log of alerts to its contract.
func AlertLog(t *testing.T, log alert.Log) {
	t.Run("states", func(t *testing.T) { alertStates(t, log) })
	t.Run("events", func(t *testing.T) { alertEvents(t, log) })
}

func alertStates(t *testing.T, log alert.Log) {
	ctx, told, event := t.Context(), serviceStart.Add(time.Minute), sandtrail.NewID(serviceStart)
	for _, want := range [][]alert.State{
		{{Rule: "a", Firing: true, Since: serviceStart, Event: &event}},
		{{Rule: "a", Firing: true, Since: serviceStart, Event: &event, NotifiedAt: &told}, {Rule: "b", Since: told, HoldsSince: &told}},
		{{Rule: "a", Since: told}, {Rule: "b", Since: told}},
	} {
		for _, s := range want {
			if err := log.PutAlertState(ctx, s, nil); err != nil {
				t.Fatalf("put: %v", err)
			}
		}
		got, err := log.AlertStates(ctx)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("states: %v\n%s", err, diff)
		}
	}
}

func alertEvents(t *testing.T, log alert.Log) {
	ctx := t.Context()
	if got, err := log.AlertEvents(ctx, sandtrail.ID{}, 10); err != nil || len(got) != 0 {
		t.Errorf("at first: %v, %v", got, err)
	}
	value := 42.5
	var newestFirst []alert.Event
	for i := range 5 {
		at := serviceStart.Add(time.Duration(i) * time.Minute)
		event := alert.Event{
			ID: sandtrail.NewID(at), At: at, Rule: "a", Firing: i%2 == 0, Message: "häufig", Silenced: i == 3,
			Deliveries: []alert.Delivery{},
		}
		if i > 0 {
			event.Value = &value
		}
		if err := log.PutAlertState(ctx, alert.State{Rule: "a", Firing: event.Firing, Since: at, Event: &event.ID}, &event); err != nil {
			t.Fatalf("put state with event: %v", err)
		}
		newestFirst = append([]alert.Event{event}, newestFirst...)
	}
	told := &newestFirst[2]
	for _, d := range []alert.Delivery{
		{Channel: "webhook b", Attempts: 1, At: serviceStart, Error: "answered 500"},
		{Channel: "log", Delivered: true, Attempts: 1, At: serviceStart},
		{Channel: "webhook b", Delivered: true, Attempts: 2, At: serviceStart.Add(time.Minute)},
	} {
		if err := log.PutAlertDelivery(ctx, told.ID, d); err != nil {
			t.Fatalf("put delivery: %v", err)
		}
		told.Deliveries = slices.DeleteFunc(told.Deliveries, func(was alert.Delivery) bool { return was.Channel == d.Channel })
		told.Deliveries = append(told.Deliveries, d)
	}
	checkDeliveries(t, log, told)
	for _, size := range []int{1, 2, 5, 100} {
		var got []alert.Event
		for before := (sandtrail.ID{}); ; before = got[len(got)-1].ID {
			page, err := log.AlertEvents(ctx, before, size)
			if err != nil {
				t.Fatalf("read: %v", err)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
		}
		if diff := cmp.Diff(newestFirst, got); diff != "" {
			t.Errorf("pages of %d:\n%s", size, diff)
		}
	}
	if got, err := log.AlertEvent(ctx, told.ID); err != nil || !cmp.Equal(*told, got) {
		t.Errorf("one event: %v\n%s", err, cmp.Diff(*told, got))
	}
	nobody := sandtrail.NewID(serviceStart)
	if _, err := log.AlertEvent(ctx, nobody); !errors.Is(err, sandtrail.CodeNotFound) {
		t.Errorf("an event that is not there: %v", err)
	}
	if err := log.PutAlertDelivery(ctx, nobody, alert.Delivery{Channel: "log"}); !errors.Is(err, sandtrail.CodeNotFound) {
		t.Errorf("a delivery of an event that is not there: %v", err)
	}
	// What is too old is forgotten, with its deliveries.
	late := alert.Event{ID: nobody, At: serviceStart.Add(alert.History + 3*time.Minute), Rule: "a", Deliveries: []alert.Delivery{}}
	if err := log.PutAlertState(ctx, alert.State{Rule: "a", Since: late.At}, &late); err != nil {
		t.Fatal(err)
	}
	got, err := log.AlertEvents(ctx, sandtrail.ID{}, 100)
	if err != nil || len(got) != 3 {
		t.Errorf("a year later: %d events, want 3, %v", len(got), err)
	}
}

// checkDeliveries expects doctor to name a channel of which the latest delivery failed.
func checkDeliveries(t *testing.T, log alert.Log, told *alert.Event) {
	t.Helper()
	failed := alert.Delivery{Channel: "webhook c", Attempts: 3, At: serviceStart, Error: "answered 500"}
	for _, step := range []struct {
		delivery alert.Delivery
		now      time.Time
		ok       bool
		names    string
	}{
		{failed, serviceStart, false, "webhook c since 2026-"},
		{failed, serviceStart.Add(8 * 24 * time.Hour), true, "no alert"},
		{alert.Delivery{Channel: "webhook c", Delivered: true, Attempts: 4, At: serviceStart}, serviceStart, true, "each of 3"},
	} {
		if err := log.PutAlertDelivery(t.Context(), told.ID, step.delivery); err != nil {
			t.Fatal(err)
		}
		c, err := alert.CheckDeliveries(t.Context(), log, step.now)
		if err != nil || c.OK != step.ok || !strings.Contains(c.Detail, step.names) || c.OK != (c.Fix == "") {
			t.Errorf("doctor says %+v (%v), want ok %v and %q", c, err, step.ok, step.names)
		}
	}
	told.Deliveries = append(told.Deliveries, alert.Delivery{Channel: "webhook c", Delivered: true, Attempts: 4, At: serviceStart})
}

// Silences holds an empty list of silences to its contract.
func Silences(t *testing.T, silences alert.Silences) {
	ctx, hour := t.Context(), time.Hour
	all := alert.Silence{ID: sandtrail.NewID(serviceStart), Reason: "Umzug", CreatedBy: "cli", CreatedAt: serviceStart, Until: serviceStart.Add(hour)}
	one := alert.Silence{ID: sandtrail.NewID(serviceStart.Add(1e6)), Rule: "a", CreatedBy: "me", CreatedAt: serviceStart, Until: serviceStart.Add(3 * hour)}
	for _, s := range []alert.Silence{one, all} {
		if err := silences.CreateSilence(ctx, s); err != nil {
			t.Fatalf("create: %v", err)
		}
	}
	if err := silences.CreateSilence(ctx, alert.Silence{ID: sandtrail.NewID(serviceStart), CreatedAt: serviceStart, Until: serviceStart}); !errors.Is(err, sandtrail.CodeInvalid) {
		t.Errorf("a silence that never is: %v", err)
	}
	want := func(since time.Time, want ...alert.Silence) {
		t.Helper()
		got, err := silences.Silences(ctx, since)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("silences after %s: %v\n%s", since, err, diff)
		}
	}
	want(serviceStart, all, one)
	want(serviceStart.Add(hour), one)
	ended := serviceStart.Add(2 * hour)
	for _, at := range []time.Time{ended, ended.Add(hour)} {
		if err := silences.EndSilence(ctx, one.ID, at); err != nil {
			t.Fatalf("end: %v", err)
		}
	}
	one.EndedAt = &ended
	want(serviceStart.Add(hour), one)
	want(ended)
	if err := silences.EndSilence(ctx, sandtrail.NewID(serviceStart), ended); !errors.Is(err, sandtrail.CodeNotFound) {
		t.Errorf("end a silence that is not there: %v", err)
	}
}
