package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics is what Prometheus is told.
type metrics struct {
	handler  http.Handler
	registry *prometheus.Registry

	requests     *prometheus.HistogramVec // by route, status
	inFlight     prometheus.Gauge
	streams      prometheus.Gauge
	streamed     prometheus.Counter
	accepted     prometheus.Counter
	duplicates   prometheus.Counter
	appendErrors *prometheus.CounterVec // by code
	rejectedLogs prometheus.Counter
	groupSize    prometheus.Histogram
	denied       prometheus.Counter
	panics       prometheus.Counter
}

// newMetrics has its own registry, so that several servers of one process do
// not collide, and shows another one beside it if given.
func newMetrics(cfg Config, kept services) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "sandtrail_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "sandtrail_" + name, Help: help})
	}
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sandtrail_http_request_duration_seconds", Help: "Requests by route and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route", "status"}),
		inFlight:   gauge("http_requests_in_flight", "Requests that are being served."),
		streams:    gauge("live_streams", "Live streams that are open."),
		streamed:   counter("live_records_total", "Executions sent over live streams."),
		accepted:   counter("executions_accepted_total", "Executions stored by this server."),
		duplicates: counter("executions_duplicate_total", "Executions that were stored already."),
		appendErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sandtrail_append_errors_total", Help: "Batches that were not stored, by code.",
		}, []string{"code"}),
		rejectedLogs: counter("otlp_rejected_total", "OpenTelemetry log records that were no executions, or not valid ones."),
		groupSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sandtrail_group_commit_records", Help: "Executions that shared a transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		denied: counter("denied_total", "Requests without a valid key, or with one that may not do that."),
		panics: counter("panics_total", "Requests that met a fault of the program."),
	}
	registry := prometheus.NewRegistry()
	all := []prometheus.Collector{
		m.requests, m.inFlight, m.streams, m.streamed, m.accepted, m.duplicates, m.appendErrors, m.rejectedLogs,
		m.groupSize, m.denied, m.panics,
	}
	all = append(all, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(all...)
	if kept.alerts != nil {
		registry.MustRegister(alertMetrics{kept.alerts, cfg})
	}
	gatherer := prometheus.Gatherers{registry}
	if cfg.Metrics != nil {
		gatherer = append(gatherer, cfg.Metrics)
	}
	if kept.ledger != nil {
		registry.MustRegister(ledgerMetrics{kept.ledger, cfg.Now, cfg.Log})
	}
	m.registry, m.handler = registry, promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{})
	return m
}

// watch shows one more.
func (m *metrics) watch(c prometheus.Collector) { m.registry.MustRegister(c) }

// observe notes how long a request takes and how it ends.
func (s *Server) observe(route string, w http.ResponseWriter, r *http.Request, handle http.HandlerFunc) {
	s.metrics.inFlight.Inc()
	start := time.Now()
	noted := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		s.metrics.inFlight.Dec()
		s.metrics.requests.WithLabelValues(route, strconv.Itoa(noted.status)).Observe(time.Since(start).Seconds())
	}()
	if s.cfg.Tracer == nil || routeTable[route].grants&byAnybody != 0 {
		handle(noted, r)
		return
	}
	s.traced(route, noted, r, handle)
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController through.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
