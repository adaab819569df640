package server

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// alertMetrics reads which rules fire whenever Prometheus asks.
type alertMetrics struct {
	alerts Alerts
	cfg    Config
}

var alertFiring = prometheus.NewDesc("sandtrail_alert_firing", "Whether an alert rule fires, by rule; the same on every server.", []string{"rule"}, nil)

// Describe implements prometheus.Collector.
func (m alertMetrics) Describe(out chan<- *prometheus.Desc) { out <- alertFiring }

// Collect implements prometheus.Collector. Without an answer of the store the
// other metrics are shown all the same.
func (m alertMetrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), stateTime)
	defer cancel()
	states, err := m.alerts.AlertStates(ctx)
	if err != nil {
		m.cfg.Log.Warn("metrics of the alerts", "error", err)
		return
	}
	fires := map[string]float64{}
	for _, s := range states {
		if s.Firing {
			fires[s.Rule] = 1
		}
	}
	for _, rule := range m.cfg.Rules {
		out <- prometheus.MustNewConstMetric(alertFiring, prometheus.GaugeValue, fires[rule.Name], rule.Name)
	}
}
