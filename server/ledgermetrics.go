package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sandtrail/sandtrail/database"
)

// ledgerMetrics reads the state of a ledger whenever Prometheus asks.
type ledgerMetrics struct {
	store database.LedgerKeeper
	now   func() time.Time
	log   *slog.Logger
}

// stateTime bounds how long a scrape waits for the store.
const stateTime = 5 * time.Second

var (
	ledgerSize       = ledgerMetric("size", "Entries of the ledger.")
	ledgerUnsealed   = ledgerMetric("unsealed", "Changes of executions that are not in the ledger yet.")
	ledgerCheckpoint = ledgerMetric("checkpoint_age_seconds", "Time since the newest checkpoint was signed; absent before the first.")
	ledgerVerified   = ledgerMetric("verification_age_seconds", "Time since the last verification; absent before the first.")
	ledgerFindings   = ledgerMetric("verification_findings", "What the last verification found; absent before the first.")
)

func ledgerMetric(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("sandtrail_ledger_"+name, help, nil, nil)
}

// Describe implements prometheus.Collector.
func (m ledgerMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{ledgerSize, ledgerUnsealed, ledgerCheckpoint, ledgerVerified, ledgerFindings} {
		out <- desc
	}
}

// Collect implements prometheus.Collector. Without an answer of the store the
// other metrics are shown all the same.
func (m ledgerMetrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), stateTime)
	defer cancel()
	state, err := m.store.LedgerState(ctx)
	if err != nil {
		m.log.Warn("metrics of the ledger", "error", err)
		return
	}
	show := func(desc *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	show(ledgerSize, float64(state.Size))
	show(ledgerUnsealed, float64(state.Unsealed))
	if state.Checkpoint != nil {
		show(ledgerCheckpoint, m.now().Sub(state.Checkpoint.At).Seconds())
	}
	if state.Verified != nil {
		show(ledgerVerified, m.now().Sub(state.Verified.At).Seconds())
		show(ledgerFindings, float64(state.Verified.Findings))
	}
}
