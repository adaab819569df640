package main

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sandtrail/sandtrail/outbox"
)

// outboxMetrics reads what waits on the server's machine whenever Prometheus
// asks. Where nothing ever waited there are none of these metrics.
type outboxMetrics struct {
	open func() (*outbox.Outbox, error) // nil without error: there is none
	now  func() time.Time
	log  *slog.Logger
}

// outboxFigure is one of these metrics.
type outboxFigure struct {
	desc  *prometheus.Desc
	value func(outbox.State) float64
}

func newOutboxFigure(name, help string, value func(outbox.State) float64) outboxFigure {
	return outboxFigure{prometheus.NewDesc("sandtrail_outbox_"+name, help, nil, nil), value}
}

var (
	outboxFigures = []outboxFigure{
		newOutboxFigure("waiting_records", "Executions that wait on this machine for delivery.", func(s outbox.State) float64 { return float64(s.Waiting) }),
		newOutboxFigure("waiting_bytes", "What they take up.", func(s outbox.State) float64 { return float64(s.Bytes) }),
		newOutboxFigure("refused_records", "Executions that the store refused for good, set aside.", func(s outbox.State) float64 { return float64(s.Refused) }),
		newOutboxFigure("damaged_files", "Files that cannot be read, set aside.", func(s outbox.State) float64 { return float64(s.Damaged) }),
		newOutboxFigure("dropped_records", "Runs that were given up, of which no execution tells yet.", func(s outbox.State) float64 { return float64(s.Dropped) }),
		newOutboxFigure("lost_runs", "Runs whose recorder has died, of which no execution tells yet.", func(s outbox.State) float64 { return float64(s.Lost) }),
	}
	outboxOldest = prometheus.NewDesc("sandtrail_outbox_oldest_age_seconds", "How long the oldest of them has waited; 0 if none waits.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m outboxMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, f := range outboxFigures {
		out <- f.desc
	}
	out <- outboxOldest
}

// Collect implements prometheus.Collector. An outbox that cannot be read does
// not keep the other metrics from being shown.
func (m outboxMetrics) Collect(out chan<- prometheus.Metric) {
	box, err := m.open()
	if box == nil && err == nil {
		return
	}
	var state outbox.State
	if err == nil {
		state, err = box.State()
	}
	if err != nil {
		m.log.Warn("metrics of the outbox", "error", err)
		return
	}
	for _, f := range outboxFigures {
		out <- prometheus.MustNewConstMetric(f.desc, prometheus.GaugeValue, f.value(state))
	}
	age := 0.0
	if state.Oldest != nil {
		age = m.now().Sub(*state.Oldest).Seconds()
	}
	out <- prometheus.MustNewConstMetric(outboxOldest, prometheus.GaugeValue, age)
}
