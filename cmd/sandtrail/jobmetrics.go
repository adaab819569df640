package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/notify"
	"github.com/sandtrail/sandtrail/worker"
)

// jobMetrics tells Prometheus how the background jobs do.
type jobMetrics struct {
	*prometheus.Registry
	rounds  *prometheus.HistogramVec // by job and outcome
	last    *prometheus.GaugeVec     // by job
	removed prometheus.Counter
	told    *prometheus.CounterVec // by channel and outcome
}

func newJobMetrics() jobMetrics {
	m := jobMetrics{
		Registry: prometheus.NewRegistry(),
		rounds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sandtrail_job_duration_seconds", Help: "Rounds of the background jobs, by job and outcome.",
			Buckets: []float64{.001, .01, .1, 1, 10, 60, 600},
		}, []string{"job_name", "outcome"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sandtrail_job_last_success_timestamp_seconds", Help: "When a background job last ended well on this server.",
		}, []string{"job_name"}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sandtrail_retention_removed_total", Help: "Executions that retention removed, by this server.",
		}),
		told: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sandtrail_alert_notifications_total", Help: "Attempts to tell a channel that an alert begins, goes on or ends, by channel and outcome.",
		}, []string{"channel", "outcome"}),
	}
	m.MustRegister(m.rounds, m.last, m.removed, m.told)
	return m
}

// outcome is the label of how something ended.
func outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}

// done notes the end of a round.
func (m jobMetrics) done(job string, took time.Duration, err error) {
	if err == nil {
		m.last.WithLabelValues(job).SetToCurrentTime()
	}
	m.rounds.WithLabelValues(job, outcome(err)).Observe(took.Seconds())
}

// retained counts what retention removes from a store.
func (m jobMetrics) retained(store worker.RetentionStore) worker.RetentionStore {
	return countedRemovals{store, m.removed}
}

type countedRemovals struct {
	worker.RetentionStore
	removed prometheus.Counter
}

func (s countedRemovals) Cleanup(ctx context.Context, old sandtrail.Cutoff) (int64, error) {
	n, err := s.RetentionStore.Cleanup(ctx, old)
	s.removed.Add(float64(n))
	return n, err
}

// channels counts what is told to channels.
func (m jobMetrics) channels(channels []notify.Channel) []notify.Channel {
	counted := make([]notify.Channel, len(channels))
	for i, c := range channels {
		counted[i] = countedChannel{c, m.told}
	}
	return counted
}

type countedChannel struct {
	notify.Channel
	told *prometheus.CounterVec
}

func (c countedChannel) Notify(ctx context.Context, n notify.Notice) error {
	err := c.Channel.Notify(ctx, n)
	c.told.WithLabelValues(c.Name(), outcome(err)).Inc()
	return err
}

// Forgets implements notify.Forgetful.
func (c countedChannel) Forgets() bool {
	f, ok := c.Channel.(notify.Forgetful)
	return ok && f.Forgets()
}
