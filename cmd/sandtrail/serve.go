package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/tracing"
	"github.com/sandtrail/sandtrail/notify"
	"github.com/sandtrail/sandtrail/outbox"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/remedy"
	"github.com/sandtrail/sandtrail/runner"
	"github.com/sandtrail/sandtrail/server"
	"github.com/sandtrail/sandtrail/sqlite"
	"github.com/sandtrail/sandtrail/worker"
)

type serveCmd struct {
	Listen    hostPort `default:"127.0.0.1:8471" env:"SANDTRAIL_LISTEN" placeholder:"127.0.0.1:8471" help:"Address to serve. Without keys only a loopback address is."`
	TLSCert   inFile   `name:"tls-cert" env:"SANDTRAIL_TLS_CERT" placeholder:"FILE" help:"Certificate chain in PEM; read again when it changes."`
	TLSKey    inFile   `name:"tls-key" env:"SANDTRAIL_TLS_KEY" placeholder:"FILE" help:"Its private key."`
	Retention duration `default:"90d" env:"SANDTRAIL_RETENTION" help:"Delete executions older than this, once a day, and refuse new ones; 0 keeps all and takes any age."`
	periodFlags
	RateLimit float64 `default:"10000" env:"SANDTRAIL_RATE_LIMIT" help:"Requests a second that one key may make."`
	Rules     inFile  `env:"SANDTRAIL_RULES" placeholder:"FILE" help:"Alert rules as a JSON array (default: more than 30 % of the last hour failed)."`
	channelFlags
	ledgerFlags
	outboxFlag
	sessionsFlag
	LogFormat string `default:"text" enum:"text,json" placeholder:"text" help:"Log lines on standard error: text or json."`
	LogLevel  string `default:"info" enum:"debug,info,warn,error" placeholder:"info" help:"debug, info, warn or error."`
}

// Examples shows how it is used.
func (serveCmd) Examples() []string {
	return []string{
		"sandtrail serve",
		"sandtrail serve --db postgres://app@db/app --listen :8471 --tls-cert tls.crt --tls-key tls.key",
	}
}

// Run serves until it is interrupted, then answers what is in flight.
func (c *serveCmd) Run(ctx context.Context, d *deps) error {
	if err := errors.Join(c.outboxFlag.Check(), c.sessionsFlag.Check()); err != nil {
		return err
	}
	log := c.logger(d)
	if d.collector != nil {
		d.collector(800, serveMemory)
	}
	store, err := c.store(ctx, d)
	if err != nil {
		return err
	}
	rules, err := c.rules()
	if err != nil {
		return err
	}
	channels, err := c.channels(d, log)
	if err != nil {
		return err
	}
	periods, err := c.periods(time.Duration(c.Retention))
	if err != nil {
		return err
	}
	traces, err := tracing.Open(ctx, d.getenv, runner.BuildVersion(), log)
	if err != nil {
		return err
	}
	defer closeTraces(traces, log)
	metrics := newJobMetrics()
	metrics.MustRegister(outboxMetrics{func() (*outbox.Outbox, error) { return c.existing(d) }, d.now, log})
	config := c.config(store, rules, periods, d, log)
	config.Tracer = traces.Tracer()
	config.Metrics = metrics
	service, err := c.service(ctx, store, d, log)
	if err != nil {
		return err
	}
	if service != nil {
		config.Ledger = *service
	}
	if config.Witness, err = c.witness(store, service); err != nil {
		return err
	}
	retained, err := c.retained(store, service, d)
	if err != nil {
		return err
	}
	loop := c.jobs(store, rules, metrics.channels(channels), d, log)
	if periods.Removes() {
		loop.Jobs = append(loop.Jobs, worker.Retention(metrics.retained(retained), periods,
			func(ctx context.Context) error { return database.AgreeOnTime(ctx, store, d.now()) }, log))
	}
	loop.Jobs = append(loop.Jobs, c.delivery(store, periods, d, log))
	loop.Done = metrics.done
	hook := notify.Webhook{Secret: c.WebhookSecret, Now: d.now}
	loop.Jobs = append(loop.Jobs, c.ledgerFlags.jobs(store, service, hook, d, log)...)
	config.Page = c.page(store, rules, periods, service, d, log)
	api, err := server.New(config)
	if err != nil {
		return err
	}
	listener, err := c.listen()
	if err != nil {
		return err
	}

	jobs, stopJobs := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		loop.Run(jobs)
	}()
	err = api.Serve(ctx, listener)
	stopJobs()
	<-ended
	if errors.Is(err, server.ErrOpenAddress) {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--listen %s: %w", c.Listen, err).
			With(sandtrail.Remedy{Act: remedy.AddKey, Value: string(auth.RoleAdmin)})
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// serveMemory is the memory from which on the collector runs more often: a server's
// own, what bodies may take (server.Limits.BodyMemory), and as much again.
const serveMemory = 144 << 20

// closeTraces delivers the spans that wait.
func closeTraces(traces *tracing.Tracing, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := traces.Close(ctx); err != nil {
		log.Warn("the last traces were not delivered", "error", err)
	}
}

// store opens the database: an embedded one is migrated, another must have
// been.
func (c *serveCmd) store(ctx context.Context, d *deps) (serviceStore, error) {
	database, err := d.database(ctx, postgres.Options{})
	if err != nil {
		return nil, err
	}
	if _, embedded := database.(*sqlite.Store); embedded {
		if _, err := database.Migrate(ctx, d.now()); err != nil {
			return nil, err
		}
	}
	store, ok := database.(serviceStore)
	if !ok {
		return nil, errors.New("this store cannot be served")
	}
	return store, store.Ping(ctx)
}

func (c *serveCmd) config(store serviceStore, rules []alert.Rule, periods sandtrail.Periods, d *deps, log *slog.Logger) server.Config {
	writers := 1
	if _, ok := store.(*postgres.Store); ok {
		writers = 2 // one works while the other waits for the disk
	}
	return server.Config{
		Writers: writers, Store: store,
		Rules: rules, Retention: periods, Limits: server.Limits{Rate: c.RateLimit},
		Log: log, Now: d.now, Version: runner.BuildVersion(),
	}
}

// rules reads the file of alert rules.
func (c *serveCmd) rules() ([]alert.Rule, error) {
	if c.Rules == "" {
		return []alert.Rule{alert.DefaultRule()}, nil
	}
	raw, err := durable.ReadNamed(string(c.Rules), maxRules)
	if err != nil {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "--rules: %w", err)
	}
	rules, err := alert.ParseRules(raw)
	if err != nil {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "--rules %s: %w", c.Rules, err)
	}
	return rules, nil
}

func (c *serveCmd) jobs(store serviceStore, rules []alert.Rule, channels []notify.Channel, d *deps, log *slog.Logger) worker.Loop {
	return worker.Loop{
		Now: func(ctx context.Context) (time.Time, error) { return database.TimeOf(ctx, store, d.now()) },
		Log: log, Jobs: append(worker.Upkeep(store), worker.Alerts(store, rules, channels...)...),
	}
}

func (c *serveCmd) listen() (net.Listener, error) {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "--tls-cert and --tls-key belong together: give both")
	}
	listener, err := net.Listen("tcp", string(c.Listen))
	if err != nil {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "--listen: %w", err)
	}
	if c.TLSCert == "" {
		return listener, nil
	}
	files := &certificateFiles{certificate: string(c.TLSCert), key: string(c.TLSKey)}
	if _, err := files.get(nil); err != nil {
		_ = listener.Close()
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "--tls-cert, --tls-key: %w", err)
	}
	return tls.NewListener(listener, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: files.get,
	}), nil
}

func (c *serveCmd) logger(d *deps) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // the flag takes no other
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(d.err, options))
	}
	return slog.New(slog.NewTextHandler(d.err, options))
}
