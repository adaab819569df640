// Package server serves a store over HTTP: section 4 of the public contract.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/sandtrail/sandtrail"
)

// Config says what a server serves. Only Store is required.
type Config struct {
	Store     sandtrail.Store
	Keys      sandtrail.Keyring      // nil: there are no keys, so only a loopback address can be served
	AccessLog sandtrail.AccessLog    // nil: no access log
	Follower  sandtrail.Follower     // nil: no live stream
	Ledger    Ledger                 // nil: its calls answer that there is none
	Witness   Witness                // nil: it answers that this server is none
	Keeper    sandtrail.LedgerKeeper // whose state /metrics shows; nil: none
	Alerts    Alerts                 // nil: alerts have no history and cannot be silenced
	Examiner  Examiner               // nil: the database cannot be examined

	// Writers is how many transactions of small appends run at once; 0: one,
	// as suits a database that has one writer.
	Writers int

	Retention sandtrail.Periods // how long executions are kept, and so how old new ones may be
	Rules     []sandtrail.Rule  // nil: the default rule

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
	BodyBytes   int64         // a JSON body once decompressed; 64 MiB. NDJSON has no limit
	LineBytes   int           // a line of NDJSON; 1 MiB
	Requests    int           // at once, beyond them 503; 1024
	Streams     int           // at once, beyond them 503; 1024
	RequestTime time.Duration // for anything but streams, exports and NDJSON; 60 s
	IdleTime    time.Duration // a caller that neither sends nor takes a byte that long is cut off; 30 s
	Rate        float64       // requests a second and key, twice that at a burst; 10000
	PollEvery   time.Duration // how often a live stream looks for records that others wrote; 1 s
	DrainTime   time.Duration // for requests in flight when the server stops; 30 s
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.BodyBytes, 64<<20)
	setDefault(&l.LineBytes, 1<<20)
	setDefault(&l.Requests, 1024)
	setDefault(&l.Streams, 1024)
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
	committer *committer
	gate      *gate
	metrics   *metrics
	api       huma.API
	mux       *http.ServeMux
	handler   http.Handler
	slots     chan struct{} // one for each request being served
	streams   chan struct{} // one for each live stream
	committed *bell         // rung after each local commit

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
		cfg.Rules = []sandtrail.Rule{sandtrail.DefaultRule()}
	}
	if cfg.Ledger == nil {
		cfg.Ledger = noLedger{}
	}
	if cfg.Alerts == nil {
		cfg.Alerts = noAlerts{}
	}
	if cfg.Examiner == nil {
		cfg.Examiner = noExaminer{}
	}
	if cfg.Witness == nil {
		cfg.Witness = noWitness{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{
		cfg: cfg, log: cfg.Log, now: cfg.Now, store: cfg.Store,
		mux:       http.NewServeMux(),
		slots:     make(chan struct{}, cfg.Limits.Requests),
		streams:   make(chan struct{}, cfg.Limits.Streams),
		committed: newBell(),
	}
	s.drain, s.stopDrain = context.WithCancel(context.Background())
	s.metrics = newMetrics(cfg)
	s.committer = newCommitter(cfg, s.metrics, s.committed)
	s.metrics.watch(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sandtrail_group_commit_waiting", Help: "Appends that wait for the next transaction.",
	}, s.committer.waiting))
	s.gate = newGate(cfg)
	if err := s.routes(); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler answers requests while Run is running.
func (s *Server) Handler() http.Handler { return s.handler }

// ballast is memory that is never touched, and so takes none of the machine's. A
// server keeps a few megabytes and goes through hundreds a second: without it
// the collector, which runs when a heap has doubled, runs all the time.
const ballast = 64 << 20

// Run does the work that requests share until the context ends. Requests that
// are not finished by then fail.
func (s *Server) Run(ctx context.Context) error {
	untouched := make([]byte, ballast)
	defer runtime.KeepAlive(untouched)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { s.committer.run(ctx); return nil })
	group.Go(func() error { s.gate.run(ctx); return nil })
	group.Go(func() error { <-ctx.Done(); s.stopDrain(); return nil })
	return group.Wait()
}

// ErrOpenAddress is returned by Serve when anybody on a network could reach a
// server that has no keys.
var ErrOpenAddress = errors.New("without keys only a loopback address is served: make a key first, or listen on 127.0.0.1")

// Serve serves a listener until the context ends, then answers what is in
// flight and returns. It closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	if err := s.checkAddress(ctx, listener.Addr()); err != nil {
		_ = listener.Close()
		return err
	}
	server := &http.Server{
		Handler:           s.handler,
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
	open, err := s.gate.isOpen(ctx)
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
	s.log.Warn("no keys are defined: everybody on this machine may read and write; make one with `sandtrail keys create --role admin`")
	return nil
}

// bell wakes everybody who waits for it.
type bell struct {
	mu   sync.Mutex
	rung chan struct{}
}

func newBell() *bell { return &bell{rung: make(chan struct{})} }

// next is closed at the next ring.
func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rung
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.rung)
	b.rung = make(chan struct{})
}
