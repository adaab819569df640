package server

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail"
)

// budget shares an amount of something, such as bytes of memory or requests at
// once, among callers. One caller has at most its share of it, and of those that
// wait the one that has least is next.
type budget struct {
	what  string // in messages: "requests at once"
	total int64
	share int64 // of one caller

	mu      sync.Mutex
	used    int64
	held    map[string]int64 // by caller
	waiting []*claim         // in the order in which they came
}

// claim is a caller that waits.
type claim struct {
	who    string
	amount int64
	given  chan struct{} // closed when it has the amount
}

func newBudget(what string, total, share int64) *budget {
	return &budget{what: what, total: total, share: share, held: map[string]int64{}}
}

// halved is a budget of which one caller has a half.
func halved(what string, total int64) *budget { return newBudget(what, total, max(1, total/2)) }

// try takes an amount if it is there.
func (b *budget) try(who string, amount int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.used+amount > b.total || len(b.waiting) > 0:
		return b.exhausted()
	case b.held[who]+amount > b.share:
		return sandtrail.Errorf(sandtrail.CodeRateLimited, "this caller may have %d %s, and has %d; try again in a second", b.share, b.what, b.held[who])
	}
	b.take(who, amount)
	return nil
}

func (b *budget) exhausted() error {
	return sandtrail.Errorf(sandtrail.CodeUnavailable, "the server has %d %s, as many as it serves; try again in a second", b.total, b.what)
}

// has reports whether wait would not have to.
func (b *budget) has(who string, amount int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting) == 0 && b.fits(who, min(amount, b.share))
}

// wait takes an amount, what is more than a share as a share, once it is there. It
// returns what to give back. The error is of CodeUnavailable when that takes too long.
func (b *budget) wait(ctx context.Context, who string, amount int64, atMost time.Duration) (int64, error) {
	amount = min(amount, b.share)
	b.mu.Lock()
	if len(b.waiting) == 0 && b.fits(who, amount) {
		b.take(who, amount)
		b.mu.Unlock()
		return amount, nil
	}
	c := &claim{who, amount, make(chan struct{})}
	b.waiting = append(b.waiting, c)
	b.serve()
	b.mu.Unlock()
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-c.given:
		return amount, nil
	case <-ctx.Done():
		return 0, b.leave(c, ctx.Err())
	case <-timer.C:
		return 0, b.leave(c, b.exhausted())
	}
}

// leave takes a claim out of the queue.
func (b *budget) leave(c *claim, why error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, c); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
		b.serve() // those behind it may fit
		return why
	}
	b.put(c.who, c.amount) // it was given meanwhile
	return why
}

// give gives an amount back.
func (b *budget) give(who string, amount int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(who, amount)
}

func (b *budget) fits(who string, amount int64) bool {
	return b.used+amount <= b.total && b.held[who]+amount <= b.share
}

func (b *budget) take(who string, amount int64) {
	b.used += amount
	b.held[who] += amount
}

func (b *budget) put(who string, amount int64) {
	b.used -= amount
	if b.held[who] -= amount; b.held[who] == 0 {
		delete(b.held, who)
	}
	b.serve()
}

// serve gives what is free to those that wait. Who is next keeps its place until
// there is enough, so that small claims do not pass a large one for ever.
func (b *budget) serve() {
	for {
		next := b.next()
		if next < 0 || b.used+b.waiting[next].amount > b.total {
			return
		}
		c := b.waiting[next]
		b.waiting = slices.Delete(b.waiting, next, next+1)
		b.take(c.who, c.amount)
		close(c.given)
	}
}

// next is the claim of the caller that has least, the oldest of several, and -1
// when all that wait have their share.
func (b *budget) next() int {
	next := -1
	for i, c := range b.waiting {
		if b.held[c.who]+c.amount <= b.share && (next < 0 || b.held[c.who] < b.held[b.waiting[next].who]) {
			next = i
		}
	}
	return next
}
