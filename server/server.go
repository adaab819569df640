// Package server serves a store over HTTP.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
)

// Config says what a server serves. Only Store is required.
type Config struct {
	Store sandtrail.Store
	// Services keeps what a Store may keep besides: it is any of auth.Keyring,
	// auth.AccessLog, follow.Follower, database.LedgerKeeper, Alerts and Examiner.
	// Both databases are all of them; nil: Store. Without a Keyring the server
	// serves a loopback address only, and calls without their service are CodeNotFound.
	Services any
	Ledger   Ledger  // nil: its calls are CodeNotFound
	Witness  Witness // nil: there is no such call

	// Writers is how many transactions of small appends run at once; 0: one,
	// as suits a database that has one writer.
	Writers int

	Retention sandtrail.Periods // how long executions are kept, and so how old new ones may be
	Rules     []alert.Rule      // nil: the default rule

	// Page makes what answers the paths that are not the API's, given the
	// server to ask in a reader's name; nil: nothing does. It identifies its
	// readers itself.
	Page func(api http.Handler) http.Handler

	Limits  Limits
	Log     *slog.Logger        // nil: silent
	Tracer  trace.Tracer        // records a span of each request and commit; nil: none
	Now     func() time.Time    // nil: time.Now
	Metrics prometheus.Gatherer // shown at /metrics besides the server's own; nil: none
	Version string
}

// Limits keep one caller from hurting the others. Zero fields take the value
// named beside them.
type Limits struct {
	BodyBytes   int64         // a JSON body or one of OTLP once decompressed; 64 MiB. NDJSON has no limit
	LineBytes   int           // an execution as JSON, a line of NDJSON too; 1 MiB
	BodyMemory  int64         // of bodies that are being decoded, at once; 64 MiB
	Bodies      int           // that are coming at once; 512
	Requests    int           // that are being answered at once, a half of them for one key or address; 1024
	Streams     int           // at once, an eighth of them for one key or address; 1024
	Connections int           // at once; beyond them one that waits for its caller gives way; 4096
	RequestTime time.Duration // for a body to come, and then for its answer, but for streams, exports and NDJSON; 60 s
	WaitTime    time.Duration // for memory to decode a body, then 503; 10 s
	IdleTime    time.Duration // a caller that neither sends nor takes a byte that long is cut off; 30 s
	Rate        float64       // requests a second and key, twice that at a burst; 10000
	PollEvery   time.Duration // how often a live stream looks for executions that others wrote; 1 s
	DrainTime   time.Duration // for requests in flight when the server stops; 30 s
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.BodyBytes, 64<<20)
	setDefault(&l.LineBytes, 1<<20)
	setDefault(&l.BodyMemory, 64<<20)
	setDefault(&l.Bodies, 512)
	setDefault(&l.Requests, 1024)
	setDefault(&l.Streams, 1024)
	setDefault(&l.Connections, 4096)
	setDefault(&l.WaitTime, 10*time.Second)
	setDefault(&l.RequestTime, time.Minute)
	setDefault(&l.IdleTime, 30*time.Second)
	setDefault(&l.Rate, 10000)
	setDefault(&l.PollEvery, time.Second)
	setDefault(&l.DrainTime, 30*time.Second)
	return l
}

func setDefault[T comparable](value *T, to T) {
	var zero T
	if *value == zero {
		*value = to
	}
}

// Server answers requests. Its Run must be running while it does.
type Server struct {
	cfg       Config
	log       *slog.Logger
	now       func() time.Time
	store     sandtrail.Store
	services  services
	committer *committer
	auth      *authenticator
	metrics   *metrics
	api       huma.API
	mux       *http.ServeMux
	handler   http.Handler
	shares
	committed *broadcast // after each local commit

	drain     context.Context // ends when the server begins to stop
	stopDrain context.CancelFunc
}

// New makes a server. It does no I/O.
func New(cfg Config) (*Server, error) {
	if cfg.Store == nil {
		return nil, errors.New("server: a store is required")
	}
	cfg.Limits = cfg.Limits.withDefaults()
	setDefault(&cfg.Writers, 1)
	if cfg.Rules == nil {
		cfg.Rules = []alert.Rule{alert.DefaultRule()}
	}
	if cfg.Ledger == nil {
		cfg.Ledger = noLedger{}
	}
	if cfg.Services == nil {
		cfg.Services = cfg.Store
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{
		cfg: cfg, log: cfg.Log, now: cfg.Now, store: cfg.Store, services: servicesOf(cfg.Services),
		mux:       http.NewServeMux(),
		shares:    newShares(cfg.Limits),
		committed: newBroadcast(),
	}
	s.drain, s.stopDrain = context.WithCancel(context.Background())
	s.metrics = newMetrics(cfg, s.services)
	s.committer = newCommitter(cfg, s.metrics, s.committed)
	s.metrics.watch(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sandtrail_group_commit_waiting", Help: "Appends that wait for the next transaction.",
	}, s.committer.waiting))
	s.auth = newAuthenticator(cfg, s.services)
	if err := s.routes(); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler answers requests while Run is running.
func (s *Server) Handler() http.Handler { return s.handler }

// Run does the work that requests share until the context ends. Requests that
// are not finished by then fail.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { s.committer.run(ctx); return nil })
	group.Go(func() error { s.auth.run(ctx); return nil })
	group.Go(func() error { <-ctx.Done(); s.stopDrain(); return nil })
	return group.Wait()
}

// ErrOpenAddress is returned by Serve when any host on a network could reach a
// server that has no keys.
var ErrOpenAddress = errors.New("without keys only a loopback address is served: make a key first, or listen on 127.0.0.1")

// Serve serves a listener until the context ends, then answers what is in
// flight and returns. It closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	if err := s.checkAddress(ctx, listener.Addr()); err != nil {
		_ = listener.Close()
		return err
	}
	conns := newConnections(s.cfg.Limits.Connections)
	server := &http.Server{
		Handler:           s.handler,
		ConnState:         conns.watch,
		ConnContext:       conns.attach,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.log.Info("serving", "address", listener.Addr().String(), "version", s.cfg.Version)
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(work) })

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		err = s.shutDown(server)
		<-served
	}
	stopWork()
	running.Wait()
	return err
}

func (s *Server) shutDown(server *http.Server) error {
	s.log.Info("stopping: answering what is in flight", "for", s.cfg.Limits.DrainTime)
	s.stopDrain()
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Limits.DrainTime)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		_ = server.Close()
		return fmt.Errorf("stop: requests were still unanswered after %s: %w", s.cfg.Limits.DrainTime, err)
	}
	return nil
}

func (s *Server) checkAddress(ctx context.Context, addr net.Addr) error {
	open, err := s.auth.isOpen(ctx)
	if err != nil {
		return fmt.Errorf("look for keys: %w", err)
	}
	if !open {
		return nil
	}
	tcp, ok := addr.(*net.TCPAddr)
	if ok && !tcp.IP.IsLoopback() {
		return ErrOpenAddress
	}
	s.log.Warn("no keys are defined: every program on this machine may read and write; make one with `sandtrail keys create --role admin`")
	return nil
}

// broadcast wakes all goroutines that wait for its next signal.
type broadcast struct {
	mu   sync.Mutex
	sent chan struct{}
}

func newBroadcast() *broadcast { return &broadcast{sent: make(chan struct{})} }

// next is closed at the next signal.
func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent
}

func (b *broadcast) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.sent)
	b.sent = make(chan struct{})
}
