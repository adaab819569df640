package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// jobMetrics tells Prometheus how the background jobs do.
type jobMetrics struct {
	*prometheus.Registry
	rounds *prometheus.HistogramVec // by job and outcome
	last   *prometheus.GaugeVec     // by job
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
	}
	m.MustRegister(m.rounds, m.last)
	return m
}

// done notes the end of a round.
func (m jobMetrics) done(job string, took time.Duration, err error) {
	outcome := "failed"
	if err == nil {
		outcome = "ok"
		m.last.WithLabelValues(job).SetToCurrentTime()
	}
	m.rounds.WithLabelValues(job, outcome).Observe(took.Seconds())
}
