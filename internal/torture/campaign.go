//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sandtrail/sandtrail/client"
)

// options say what a campaign does. The same seed gives the same faults in the
// same rounds.
type options struct {
	Seed    uint64
	Store   string        // sqlite or postgres
	For     time.Duration // 0: as many rounds as Rounds says
	Rounds  int
	First   int           // the round to begin with, from 1
	Epoch   int           // rounds until the store is made anew, which bounds the disk
	Load    time.Duration // of a round, at least
	Faults  []string      // names; empty: all
	Memory  int64         // bytes that a server may have
	Health  time.Duration // in which /healthz must answer while nothing keeps it from that
	Size    int           // of the file system of the store, in MiB
	Out     io.Writer
	Calm    bool     // no stranger sends hostile bodies: to make them takes long under the race detector
	Program programs // zero: they are built
	More    []fault  // beside those of the list
}

// campaign is one on a store of its own. Fields above the mutex are set before
// anything runs.
type campaign struct {
	options
	ctx      context.Context
	dir      string       // all that the campaign writes
	disk     *disk        // below dir, where the store is
	boxes    *disk        // and the outboxes
	plain    sync.RWMutex // held by plain SQL, and alone by who needs its files closed
	temp     string       // of commands
	programs programs
	commit   string // that they were built from
	database databaseUnderTest
	servers  [2]*server
	oracle   *oracle
	outbox   string // of the recorders
	spool    string // of the spooling client
	readers  []*reader
	recorder victim
	client   victim
	runs     atomic.Int64
	spoiled  bool // something was written past the guards
	poisoned int  // files that a fault has put into outboxes

	mu       sync.Mutex
	findings []string       // of this round
	messages map[string]int // that clients were told, without figures
	took     time.Duration  // without the building
	rounds   int
	acked    int
	longest  time.Duration
	memory   int64
	counted  map[string]*tally
	skipped  map[string]string // why a fault was not tried
}

// tally is what is counted of a fault.
type tally struct{ tried, losses int }

// found notes something that must not be.
func (c *campaign) found(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.findings = append(c.findings, fmt.Sprintf(format, args...))
}

var figures = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|\.[0-9A-Z]{20,}\.tmp|\d+`)

// told notes the error that a client was told, each line and the begin of each.
func (c *campaign) told(by string, err error) {
	text := figures.ReplaceAllString(err.Error(), "N")
	c.mu.Lock()
	defer c.mu.Unlock()
	for line := range strings.Lines(text) {
		c.messages[fmt.Sprintf("%s: %.240s", by, strings.TrimSpace(line))]++
	}
}

// torture runs a campaign and reports whether all promises were kept.
func torture(ctx context.Context, o options) (_ *campaign, err error) {
	c := &campaign{options: o, ctx: ctx, messages: map[string]int{}, counted: map[string]*tally{}, skipped: map[string]string{}}
	if c.dir, err = os.MkdirTemp("", "torture"); err != nil {
		return nil, err
	}
	if err := os.Chmod(c.dir, 0o755); err != nil { // PostgreSQL's account passes
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	if c.programs = o.Program; c.programs.large == "" {
		if c.programs, err = build(ctx, c.dir); err != nil {
			return nil, err
		}
	}
	c.commit = commit()
	deck, err := c.deck()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	defer func() { c.took = time.Since(began) }()
	for round := max(1, o.First); c.goesOn(round, began); {
		last := round + o.Epoch
		err := c.epoch(func() bool {
			if round >= last || !c.goesOn(round, began) {
				return false
			}
			c.round(round, deck.faults(round))
			round++
			return len(c.findings) == 0 && !c.spoiled
		})
		if err != nil {
			return c, err
		}
	}
	if left := c.leftProcesses(); len(left) > 0 {
		return c, fmt.Errorf("processes are left: %s", strings.Join(left, ", "))
	}
	return c, ctx.Err()
}

func (c *campaign) goesOn(round int, began time.Time) bool {
	if c.ctx.Err() != nil {
		return false
	}
	if c.For > 0 {
		return time.Since(began) < c.For
	}
	return round < max(1, c.First)+c.Rounds
}

// epoch runs rounds on a store that is made for them and removed afterwards.
func (c *campaign) epoch(next func() bool) (err error) {
	if c.disk, err = newDisk(filepath.Join(c.dir, "disk"), c.Size); err != nil {
		return err
	}
	if c.boxes, err = newDisk(filepath.Join(c.dir, "boxes"), boxesSize); err != nil {
		return errors.Join(err, c.disk.remove())
	}
	defer func() { err = errors.Join(err, c.clear()) }()
	if err := c.setUp(); err != nil {
		return err
	}
	inner, stop := context.WithCancel(c.ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	for _, s := range c.servers {
		background.Go(func() { s.watch(inner) })
	}
	for _, r := range c.readers {
		background.Go(func() { r.follow(inner) })
	}
	if err := c.beginStreams(); err != nil {
		return err
	}
	for next() {
	}
	return nil
}

// setUp makes the store, the servers and the clients of an epoch.
func (c *campaign) setUp() (err error) {
	for name, dir := range map[string]*string{"boxes/outbox": &c.outbox, "boxes/spool": &c.spool, "temp": &c.temp} {
		*dir = filepath.Join(c.dir, name)
		if err := os.MkdirAll(*dir, 0o700); err != nil {
			return err
		}
	}
	if c.oracle, err = newOracle(filepath.Join(c.dir, "oracle")); err != nil {
		return err
	}
	if c.Store == "postgres" {
		c.database, err = newPostgres(c.ctx, c.disk.dir)
	} else {
		c.database, err = newSQLite(c.disk.dir)
	}
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"migrate"}, {"users", "add", user, "--email", "ada@example.com"}, {"strategies", "add", strategy, "--name", "Momentum"},
	} {
		said, status, err := call(c.ctx, c.sandtrail(c.database.direct(), args...))
		if err != nil || status != 0 {
			return fmt.Errorf("sandtrail %s: status %d: %s%w", strings.Join(args, " "), status, said, err)
		}
	}
	for i := range c.servers {
		if c.servers[i], err = c.newServer(i); err != nil {
			return err
		}
		if err := c.servers[i].ready(c.ctx); err != nil {
			return err
		}
	}
	c.readers = nil
	for _, s := range c.servers {
		follower, err := client.New(client.Options{URL: s.url(), Attempts: 1})
		if err != nil {
			return err
		}
		c.readers = append(c.readers, &reader{campaign: c, client: follower, seen: map[string]int{}})
	}
	return nil
}

// beginStreams stores records until every reader has been told one: from then on
// none may be missing.
func (c *campaign) beginStreams() error {
	w := &writer{campaign: c, kind: "api", rng: rand.New(rand.NewPCG(c.Seed, 0))}
	api, err := client.Open(c.servers[0].url(), "")
	if err != nil {
		return err
	}
	defer api.Close()
	send := w.api(api)
	for range 300 {
		if !slices.ContainsFunc(c.readers, func(r *reader) bool { return r.last() == "" }) {
			for _, r := range c.readers {
				r.begin(c.oracle)
			}
			return nil
		}
		w.n = 0
		if err := send(c.ctx); err != nil {
			return err
		}
		pause(c.ctx, 100*time.Millisecond)
	}
	return errors.New("a stream's reader was told nothing for half a minute")
}

// clear ends all that an epoch has started, and removes what it has written.
func (c *campaign) clear() (err error) {
	for _, r := range c.readers {
		err = errors.Join(err, r.client.Close())
	}
	for i, s := range c.servers {
		if s == nil {
			continue
		}
		if !s.current().end(30 * time.Second) {
			c.found("a server has not ended 30 seconds after SIGTERM")
		}
		s.network.close()
		err = errors.Join(err, s.clock.Close())
		c.servers[i] = nil
	}
	if c.database != nil {
		err = errors.Join(err, c.database.stop())
	}
	if c.oracle != nil {
		err = errors.Join(err, c.oracle.close())
	}
	err = errors.Join(err, c.disk.remove(), c.boxes.remove())
	for _, name := range []string{"temp", "temp0", "temp1", "state", "server-outbox", "ledger-key"} {
		err = errors.Join(err, os.RemoveAll(filepath.Join(c.dir, name)))
	}
	c.database, c.oracle, c.readers, c.poisoned = nil, nil, nil, 0
	return err
}

// drawn is a fault of a round with its own chance.
type drawn struct {
	fault
	rng *rand.Rand
}

// round loads the store, does the faults one after another, mends everything and
// compares.
func (c *campaign) round(n int, faults []drawn) {
	c.mu.Lock()
	c.findings, c.spoiled = nil, false
	c.mu.Unlock()
	began := time.Now()
	before := c.oracle.acknowledged()
	load, stop := context.WithTimeout(c.ctx, 10*time.Minute)
	var clients sync.WaitGroup
	c.load(load, n, &clients)
	names := c.do(load, faults)
	pause(load, c.Load-time.Since(began))
	c.mend()
	stop()
	clients.Wait()
	if c.ctx.Err() != nil {
		return
	}
	c.compare()
	for _, f := range faults {
		t := c.counted[f.name]
		t.tried++
		t.losses += min(1, len(c.findings))
	}
	acked := c.oracle.acknowledged() - before
	c.rounds, c.acked = c.rounds+1, c.acked+acked
	memory, slowest := c.measure()
	fmt.Fprintf(c.Out, "round %d: %s: %d acknowledged, %d MiB, healthz %s, %s\n", n, strings.Join(names, ", "),
		acked, memory>>20, slowest.Round(time.Millisecond), time.Since(began).Round(100*time.Millisecond))
	for i, f := range c.findings {
		if i == 20 {
			fmt.Fprintf(c.Out, "  and %d more\n", len(c.findings)-i)
			break
		}
		fmt.Fprintf(c.Out, "  FOUND %s\n", f)
	}
}

// do does the faults of a round, one after another or both at once where chance
// says so and neither keeps the other from being done.
func (c *campaign) do(load context.Context, faults []drawn) (names []string) {
	alone := 0
	for _, f := range faults {
		names = append(names, f.name)
		c.spoiled = c.spoiled || f.spoils
		if f.alone {
			alone++
		}
	}
	together := alone < 2 && faults[0].rng.IntN(2) == 0
	var done sync.WaitGroup
	defer done.Wait()
	for _, f := range faults {
		pause(load, 100*time.Millisecond+upTo(f.rng, 300*time.Millisecond))
		if load.Err() != nil {
			return names
		}
		act := func() {
			if f.alone { // what was before may have ended the database
				if err := c.database.ready(load); err != nil && c.ctx.Err() == nil {
					c.found("%v", err)
				}
			}
			if err := f.do(load, c, f.rng); err != nil && c.ctx.Err() == nil {
				c.found("%s: %v", f.name, err)
			}
		}
		if together {
			done.Go(act)
		} else {
			act()
		}
	}
	return names
}

// load starts the clients of every kind.
func (c *campaign) load(load context.Context, round int, clients *sync.WaitGroup) {
	new := func(kind string) *writer {
		return &writer{campaign: c, kind: kind, rng: rand.New(rand.NewPCG(c.Seed+uint64(round), uint64(len(kind))))}
	}
	for i, s := range c.servers {
		clients.Go(func() {
			api, err := client.New(client.Options{URL: s.url(), Attempts: 2 + i})
			if err != nil {
				c.found("%v", err)
				return
			}
			defer api.Close()
			w := new("api")
			w.write(load, w.api(api))
		})
	}
	raw := func(kind string, send func(*writer, *http.Client) func(context.Context) error) {
		clients.Go(func() {
			transport := http.DefaultTransport.(*http.Transport).Clone()
			defer transport.CloseIdleConnections()
			w := new(kind)
			w.write(load, send(w, &http.Client{Transport: transport}))
		})
	}
	raw("ndjson", func(w *writer, h *http.Client) func(context.Context) error { return w.ndjson(h, c.servers[0].url()) })
	raw("otlp", func(w *writer, h *http.Client) func(context.Context) error { return w.otlp(h, c.servers[1].url()) })
	clients.Go(func() { w := new("sql"); w.write(load, w.plainSQL) })
	if c.Store == "postgres" {
		clients.Go(func() { w := new("copy"); w.write(load, w.copied) })
	}
	clients.Go(func() { new("exec").run(load, c.servers[0]) })
	if !c.Calm {
		clients.Go(func() { c.annoy(load, rand.New(rand.NewPCG(c.Seed, uint64(round)))) })
	}
	clients.Go(func() { c.spoolAway(load, c.servers[1], &c.client) })
}

// mend takes every fault away and waits until all is well again.
func (c *campaign) mend() {
	for _, n := range c.networks() {
		n.set(whole)
	}
	for _, s := range c.servers {
		if err := s.setClock(0); err != nil {
			c.found("%v", err)
		}
	}
	if err := c.database.ready(c.ctx); err != nil && c.ctx.Err() == nil {
		c.found("%v", err)
	}
	for _, s := range c.servers {
		if err := s.ready(c.ctx); err != nil && c.ctx.Err() == nil {
			c.found("%v", err)
		}
	}
}

// measure is the most memory that a server has had in this round and the slowest
// answer of /healthz.
func (c *campaign) measure() (memory int64, slowest time.Duration) {
	for _, s := range c.servers {
		m, d := s.measured()
		memory, slowest = max(memory, m), max(slowest, d)
	}
	c.memory, c.longest = max(c.memory, memory), max(c.longest, slowest)
	return memory, slowest
}
