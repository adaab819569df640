package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/notify"
	"github.com/sandtrail/sandtrail/outbox"
	"github.com/sandtrail/sandtrail/worker"
)

func fetch(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, response.Status, err)
	}
	return string(body)
}

func TestMetricsTellOfTheOutboxOnceThereIsOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "outbox")
	s := startServe(t, "sqlite:"+filepath.Join(t.TempDir(), "served.db"), "--outbox", dir)
	before := fetch(t, s.url+"/metrics")
	if strings.Contains(before, "sandtrail_outbox_") || !strings.Contains(before, "\nsandtrail_alert_firing{rule=\"high-failure-rate\"} 0\n") ||
		!strings.Contains(before, "\nsandtrail_group_commit_waiting 0\n") || !strings.Contains(before, "\nsandtrail_retention_removed_total 0\n") {
		t.Errorf("without an outbox:\n%s", before)
	}
	box, err := outbox.Open(dir, outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	draft := sandtrail.Draft{UserID: "u", StrategyID: "s", Type: sandtrail.Validation}
	if _, err := box.Put(draft, draft); err != nil {
		t.Fatal(err)
	}
	if err := box.Drop(outbox.Full, draft); err != nil {
		t.Fatal(err)
	}
	after := fetch(t, s.url+"/metrics")
	both := "waiting_records 2"
	if strings.Contains(after, "\nsandtrail_outbox_waiting_records 0\n") { // the server has tried them meanwhile
		both = "refused_records 2"
	}
	for _, want := range []string{both, "dropped_records 1", "damaged_files 0", "lost_runs 0", "waiting_bytes ", "oldest_age_seconds "} {
		if !strings.Contains(after, "\nsandtrail_outbox_"+want) {
			t.Errorf("no sandtrail_outbox_%s in\n%s", want, after)
		}
	}
}

// figures are the values of counters by their labels.
func figures(t *testing.T, m jobMetrics, name string) map[string]float64 {
	t.Helper()
	families, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			found[strings.Join(labels, " ")] = metric.GetCounter().GetValue()
		}
	}
	return found
}

type moody struct{ forgets bool }

func (moody) Name() string    { return "moody" }
func (m moody) Forgets() bool { return m.forgets }
func (m moody) Notify(_ context.Context, n notify.Notice) (err error) {
	if !n.Firing {
		err = errors.New("no")
	}
	return err
}

func TestNotificationsAreCounted(t *testing.T) {
	m := newJobMetrics()
	channels := m.channels([]notify.Channel{moody{forgets: true}, moody{}})
	for _, firing := range []bool{true, true, false} {
		if err := channels[0].Notify(t.Context(), notify.Notice{Firing: firing}); (err == nil) != firing {
			t.Error(err)
		}
	}
	if got := figures(t, m, "sandtrail_alert_notifications_total"); got["moody ok"] != 2 || got["moody failed"] != 1 {
		t.Errorf("got %v", got)
	}
	for i, want := range []bool{true, false} {
		if f, ok := channels[i].(notify.Forgetful); !ok || f.Forgets() != want {
			t.Errorf("channel %d: forgets is not %t", i, want)
		}
	}
}

type removing struct{ worker.RetentionStore }

func (removing) Cleanup(context.Context, sandtrail.Cutoff) (int64, error) {
	return 7, errors.New("stopped")
}

func TestRemovalsAreCounted(t *testing.T) {
	m := newJobMetrics()
	n, err := m.retained(removing{}).Cleanup(t.Context(), sandtrail.Before(time.Time{}))
	if n != 7 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := figures(t, m, "sandtrail_retention_removed_total"); got[""] != 7 {
		t.Errorf("got %v", got)
	}
}

func TestUnreadableOutboxIsNoFaultOfTheMetrics(t *testing.T) {
	var said strings.Builder
	log := slog.New(slog.NewTextHandler(&said, nil))
	collected := make(chan prometheus.Metric, 10)
	outboxMetrics{func() (*outbox.Outbox, error) { return nil, errors.New("no") }, time.Now, log}.Collect(collected)
	if len(collected) != 0 || !strings.Contains(said.String(), "metrics of the outbox") {
		t.Errorf("%d metrics; the log says %q", len(collected), &said)
	}
}
