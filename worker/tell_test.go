package worker

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/notify"
	"github.com/sandtrail/sandtrail/postgres"
)

// slow is a channel that tells of each notice that has begun to come, and takes it
// once it is released, unless its sender gives up first.
type slow struct {
	begun, release chan string // the notice's id
	taken          []string
}

func newSlow() *slow { return &slow{begun: make(chan string, 9), release: make(chan string)} }

func (s *slow) Name() string { return "slow" }

func (s *slow) Notify(ctx context.Context, n notify.Notice) error {
	s.begun <- n.ID
	select {
	case <-s.release:
		s.taken = append(s.taken, n.ID)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// always fires as long as nothing is executed.
var always = []alert.Rule{{Name: "idle", Metric: alert.NoExecutions, Window: time.Minute}}

// jobs are those of one server, by their names.
func jobs(store AlertStore, channels ...notify.Channel) map[string]Job {
	named := map[string]Job{}
	for _, j := range Alerts(store, always, channels...) {
		named[j.Name] = j
	}
	return named
}

func once(t *testing.T, ctx context.Context, j Job, at time.Duration) {
	t.Helper()
	if err := j.RunOnce(ctx, noon.Add(at)); err != nil {
		t.Errorf("%s at %s: %v", j.Name, at, err)
	}
}

func TestASlowChannelDelaysNeitherOthersNorTheNextEvaluation(t *testing.T) {
	store, hangs, good := openStore(t), newSlow(), &ear{name: "good"}
	j := jobs(store, hangs, good)
	once(t, t.Context(), j["alerts"], 0)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		once(t, t.Context(), j["alerts to slow"], 0)
	}()
	<-hangs.begun
	once(t, t.Context(), j["alerts to good"], 0)
	if len(good.heard) != 1 {
		t.Errorf("the other channel heard %q while one hung", good.heard)
	}
	put(t, store, noon.Add(time.Minute), true)
	once(t, t.Context(), j["alerts"], time.Minute)
	once(t, t.Context(), j["alerts to good"], time.Minute)
	if len(good.heard) != 2 {
		t.Errorf("the other channel heard %q after the next evaluation", good.heard)
	}
	hangs.release <- ""
	<-ended
	go func() { hangs.release <- "" }()
	once(t, t.Context(), j["alerts to slow"], time.Minute)
	if len(hangs.taken) != 2 {
		t.Errorf("the slow channel was told %q, and not of the beginning and the end", hangs.taken)
	}
}

// between calls functions, once, after an event was read and before a delivery is kept.
type between struct {
	AlertStore
	read, kept func()
}

func (b *between) AlertEvent(ctx context.Context, id sandtrail.ID) (alert.Event, error) {
	defer call(&b.read)
	return b.AlertStore.AlertEvent(ctx, id)
}

func (b *between) PutAlertDelivery(ctx context.Context, id sandtrail.ID, d alert.Delivery) error {
	call(&b.kept)
	return b.AlertStore.PutAlertDelivery(ctx, id, d)
}

func call(f *func()) {
	if once := *f; once != nil {
		*f = nil
		once()
	}
}

func TestAChannelToldWhileTheEndIsDecidedIsToldOfThatToo(t *testing.T) {
	store, channel := openStore(t), &ear{name: "good"}
	j := jobs(store, channel)
	once(t, t.Context(), j["alerts"], 0)
	put(t, store, noon.Add(time.Minute), true)
	b := &between{AlertStore: store, read: func() { once(t, t.Context(), j["alerts to good"], time.Minute) }}
	once(t, t.Context(), jobs(b, channel)["alerts"], time.Minute)
	once(t, t.Context(), j["alerts to good"], 2*time.Minute)
	if len(channel.heard) != 2 {
		t.Errorf("the channel heard %q, and not of the beginning and the end", channel.heard)
	}
}

func TestAChannelIsNotToldOfWhatEndsBeforeItsTurn(t *testing.T) {
	store, channel := openStore(t), &ear{name: "good"}
	j := jobs(store, channel)
	once(t, t.Context(), j["alerts"], 0)
	put(t, store, noon.Add(time.Minute), true)
	b := &between{AlertStore: store, kept: func() { once(t, t.Context(), j["alerts"], time.Minute) }}
	once(t, t.Context(), jobs(b, channel)["alerts to good"], time.Minute)
	once(t, t.Context(), j["alerts to good"], 2*time.Minute)
	if len(channel.heard) != 0 {
		t.Errorf("the channel heard %q of what had ended untold", channel.heard)
	}
}

// The second server looks for work when the evaluation of the first is long over, and
// the first still waits for the channel.
func TestTwoServersTellASlowChannelOnce(t *testing.T) {
	url, channel := pgtest.New(t), newSlow()
	servers := make([]map[string]Job, 2)
	for i := range servers {
		store, err := postgres.Open(t.Context(), url, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		if i == 0 {
			prepare(t, store)
		}
		servers[i] = jobs(store, channel)
	}
	once(t, t.Context(), servers[0]["alerts"], 0)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		once(t, t.Context(), servers[0]["alerts to slow"], 0)
	}()
	<-channel.begun
	for _, at := range []time.Duration{time.Second, 40 * time.Second, 50 * time.Second} {
		once(t, t.Context(), servers[1]["alerts"], at)
		once(t, t.Context(), servers[1]["alerts to slow"], at)
	}
	channel.release <- ""
	<-ended
	for _, at := range []time.Duration{time.Minute, 2 * time.Minute} {
		once(t, t.Context(), servers[1]["alerts"], at)
		once(t, t.Context(), servers[1]["alerts to slow"], at)
	}
	if len(channel.taken) != 1 || len(channel.begun) != 0 {
		t.Errorf("told %q, and %d more times", channel.taken, len(channel.begun))
	}
}

// A server is killed after it has decided, then another while it tells the channel.
func TestWhatWasDecidedIsToldAfterARestart(t *testing.T) {
	store, channel := openStore(t), newSlow()
	once(t, t.Context(), jobs(store, channel)["alerts"], 0)

	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- jobs(store, channel)["alerts to slow"].RunOnce(ctx, noon.Add(time.Second)) }()
	first := <-channel.begun
	kill()
	if err := <-ended; err == nil {
		t.Error("a delivery that was cut off is no error")
	}
	go func() { channel.release <- "" }()
	once(t, t.Context(), jobs(store, channel)["alerts to slow"], time.Second+tellLease)
	if len(channel.taken) != 1 || channel.taken[0] != first {
		t.Errorf("told %q after the restart, want %q again", channel.taken, first)
	}
	once(t, t.Context(), jobs(store, channel)["alerts"], 2*time.Minute)
	states, err := store.AlertStates(t.Context())
	if err != nil || len(states) != 1 || states[0].NotifiedAt == nil {
		t.Errorf("%+v, %v: not known to be told", states, err)
	}
}

func TestAChannelIsGivenUpAfterADay(t *testing.T) {
	store, deaf := openStore(t), &ear{name: "deaf", deaf: true}
	j := jobs(store, deaf)
	attempts := 0
	for at := time.Duration(0); at < 30*time.Hour; at += 10 * time.Minute {
		once(t, t.Context(), j["alerts"], at)
		if err := j["alerts to deaf"].RunOnce(t.Context(), noon.Add(at)); err != nil {
			attempts++
		}
	}
	events, err := store.AlertEvents(t.Context(), sandtrail.ID{}, 10)
	if err != nil || len(events) != 1 || len(events[0].Deliveries) != 1 {
		t.Fatalf("%+v, %v", events, err)
	}
	d := events[0].Deliveries[0]
	if d.Attempts != attempts || attempts < 100 || attempts > 150 || d.At.Sub(noon) < tellFor || !strings.HasPrefix(d.Error, "given up after ") {
		t.Errorf("%d attempts, %+v", attempts, d)
	}
	states, err := store.AlertStates(t.Context())
	if err != nil || len(states) != 1 || states[0].NotifiedAt == nil {
		t.Errorf("%+v, %v: still to be told", states, err)
	}
}

func TestALeaseIsRenewedOrLost(t *testing.T) {
	store, now := openStore(t), noon
	l, err := claim(t.Context(), store, "work", now, time.Minute, time.Minute)
	if err != nil || l == nil {
		t.Fatal(l, err)
	}
	l.now = func() time.Time { return now }
	taken := func(at time.Duration) bool {
		other, err := claim(t.Context(), store, "work", noon.Add(at), time.Minute, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return other != nil
	}
	now = noon.Add(50 * time.Second)
	if mine, err := l.renew(t.Context()); !mine || err != nil || taken(70*time.Second) {
		t.Errorf("renewed in time: %t, %v; or another server has it", mine, err)
	}
	if !taken(111 * time.Second) {
		t.Error("nobody can have it after its end")
	}
	now = noon.Add(112 * time.Second)
	if mine, err := l.renew(t.Context()); mine || err != nil {
		t.Errorf("renewed when another server had it: %t, %v", mine, err)
	}
	if err := l.release(t.Context()); err != nil || taken(113*time.Second) {
		t.Errorf("released what another server has: %v", err)
	}
}
