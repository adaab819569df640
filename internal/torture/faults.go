//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"
)

// fault is something that goes wrong, and what is promised all the same.
type fault struct {
	name, promise string
	store         string // the only store it is tried on; "": both
	// cannot says why it cannot be had on this machine; nil or "": it can.
	cannot func(c *campaign) string
	alone  bool // not at the same time as others that are
	// spoils says that what is written meanwhile is past the guards: doctor and
	// verify must find it, and the store is made anew.
	spoils bool
	// do breaks something, waits a while and mends it. It returns when it is done.
	do func(ctx context.Context, c *campaign, rng *rand.Rand) error
}

const nothingLost = "nothing acknowledged is lost or doubled"

// faults are all that can be tried, on any store.
func faults() []fault {
	ofStore := slices.Concat(diskFaults(), databaseFaults())
	for i := range ofStore {
		ofStore[i].alone = true
	}
	return slices.Concat(processFaults(), networkFaults(), ofStore, outboxFaults(), hostileFaults())
}

func processFaults() []fault {
	return []fault{
		{name: "server killed", promise: nothingLost + "; it comes back by itself", do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			s := c.servers[rng.IntN(2)]
			return s.away(func() error {
				s.current().kill()
				pause(ctx, upTo(rng, time.Second))
				return s.ready(ctx)
			})
		}},
		{name: "both servers killed", promise: nothingLost, do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			return c.servers[0].away(func() error {
				return c.servers[1].away(func() error {
					for _, s := range c.servers {
						s.current().kill()
					}
					pause(ctx, upTo(rng, 2*time.Second))
					if err := c.servers[0].ready(ctx); err != nil {
						return err
					}
					return c.servers[1].ready(ctx)
				})
			})
		}},
		{name: "server told to end", promise: nothingLost + "; it answers what is in flight", do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			s := c.servers[rng.IntN(2)]
			return s.away(func() error {
				if !s.current().end(30 * time.Second) {
					return fmt.Errorf("it has not ended 30 seconds after SIGTERM")
				}
				return s.ready(ctx)
			})
		}},
		{name: "server stopped", promise: nothingLost + "; it goes on", do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			s := c.servers[rng.IntN(2)]
			return s.away(func() error {
				stopFor(ctx, s.current(), upTo(rng, 3*time.Second))
				return nil
			})
		}},
		{name: "recorder killed", promise: "each is recorded once, as lost if need be", do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			for range 5 {
				pause(ctx, upTo(rng, 300*time.Millisecond))
				c.recorder.current().signalIf(syscall.SIGKILL)
			}
			return nil
		}},
		{name: "recorder stopped", promise: "each is recorded once", do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			pause(ctx, upTo(rng, 300*time.Millisecond))
			stopFor(ctx, c.recorder.current(), upTo(rng, 2*time.Second))
			return nil
		}},
		{name: "spooling client killed", promise: "what it had recorded is delivered by the next one", do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			for range 3 {
				pause(ctx, upTo(rng, 700*time.Millisecond))
				c.client.current().signalIf(syscall.SIGKILL)
			}
			return nil
		}},
		{name: "spooling client stopped", promise: "what it had recorded is delivered", do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			stopFor(ctx, c.client.current(), upTo(rng, 3*time.Second))
			return nil
		}},
	}
}

// away does something because of which the server need not answer.
func (s *server) away(do func() error) error {
	s.disturbed(1)
	defer s.disturbed(-1)
	return do()
}

// stopFor has a process stand still for a time.
func stopFor(ctx context.Context, p *process, d time.Duration) {
	p.signalIf(syscall.SIGSTOP)
	pause(ctx, d)
	p.signalIf(syscall.SIGCONT)
}

// signalIf sends a signal to a process that there may not be.
func (p *process) signalIf(s syscall.Signal) {
	if p != nil {
		p.signal(s)
	}
}

func networkFaults() []fault {
	harm := func(l link) func(context.Context, *campaign, *rand.Rand) error {
		return func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			network := c.networks()[rng.IntN(len(c.networks()))]
			network.set(l)
			defer network.set(whole)
			pause(ctx, 500*time.Millisecond+upTo(rng, 3*time.Second))
			return nil
		}
	}
	return []fault{
		{name: "network cut", promise: nothingLost, do: harm(cut)},
		{name: "network slow", promise: nothingLost, do: harm(slow)},
		{name: "network half-open", promise: nothingLost + "; no caller waits for ever", do: harm(halfOpen)},
		{name: "connections reset", promise: nothingLost, do: func(ctx context.Context, c *campaign, rng *rand.Rand) error {
			for range 5 {
				pause(ctx, upTo(rng, 300*time.Millisecond))
				c.networks()[rng.IntN(len(c.networks()))].reset()
			}
			return nil
		}},
	}
}

// networks are those between clients and servers, and to PostgreSQL.
func (c *campaign) networks() []*proxy {
	all := []*proxy{c.servers[0].network, c.servers[1].network}
	if p, ok := c.database.(*postgresServers); ok {
		all = append(all, p.nodes[p.primary].network)
	}
	return all
}

// deck deals faults: each once before any comes again.
type deck struct {
	seed uint64
	all  []fault
}

// perRound is how many faults a round has.
const perRound = 2

// deck gathers the faults that can be tried here.
func (c *campaign) deck() (*deck, error) {
	d := &deck{seed: c.Seed}
	for _, f := range slices.Concat(faults(), c.More) {
		if f.store != "" && f.store != c.Store || len(c.Faults) > 0 && !slices.Contains(c.Faults, f.name) {
			continue
		}
		if f.cannot != nil {
			if why := f.cannot(c); why != "" {
				fmt.Fprintf(c.Out, "not tried: %s: %s\n", f.name, why)
				c.skipped[f.name] = why
				continue
			}
		}
		d.all = append(d.all, f)
		c.counted[f.name] = &tally{}
	}
	if len(d.all) == 0 {
		return nil, fmt.Errorf("no fault is named %s; -list prints the names", strings.Join(c.Faults, ", "))
	}
	return d, nil
}

// faults are those of a round, the same whatever rounds were before it.
func (d *deck) faults(round int) (dealt []drawn) {
	for i := (round - 1) * perRound; i < round*perRound; i++ {
		n := len(d.all)
		order := rand.New(rand.NewPCG(d.seed, uint64(i/n))).Perm(n)
		dealt = append(dealt, drawn{d.all[order[i%n]], rand.New(rand.NewPCG(d.seed, uint64(i)))})
	}
	return dealt
}
