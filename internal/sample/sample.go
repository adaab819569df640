// Package sample makes executions that look like a busy service's: a few
// users and strategies do most of the work (Zipf), days have a rhythm, every
// strategy has its own speed and failure rate, and one has been broken since
// a while. The same options give the same records.
package sample

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Options says how much to make. Zero fields take the default beside them.
type Options struct {
	Seed         uint64
	Executions   int // 10,000
	Users        int // 40
	Strategies   int // 24
	Since, Until time.Time
}

// Sample is a reproducible population.
type Sample struct {
	opts     Options
	profiles []profile
}

// New prepares a sample of the time from opts.Since to opts.Until.
func New(opts Options) *Sample {
	opts.Executions = cmp.Or(opts.Executions, 10_000)
	opts.Users = cmp.Or(opts.Users, 40)
	opts.Strategies = cmp.Or(opts.Strategies, 24)
	s := &Sample{opts: opts, profiles: make([]profile, opts.Strategies)}
	rng := rand.New(rand.NewPCG(opts.Seed, 1))
	for i := range s.profiles {
		s.profiles[i] = newProfile(rng)
	}
	return s
}

// Users are the accounts that the executions belong to, busiest first.
func (s *Sample) Users() []sandtrail.User {
	users := make([]sandtrail.User, s.opts.Users)
	for i := range users {
		first, last := firstNames[i%len(firstNames)], lastNames[(i*7+i/len(firstNames))%len(lastNames)]
		name := first + " " + last
		local := strings.ToLower(first + "." + last)
		if i >= len(firstNames) {
			local += fmt.Sprint(i / len(firstNames))
		}
		users[i] = sandtrail.User{ID: fmt.Sprintf("u-%04d", i+1), Email: local + "@example.com", Name: &name}
	}
	return users
}

// Strategies are what is executed, busiest first.
func (s *Sample) Strategies() []sandtrail.Strategy {
	strategies := make([]sandtrail.Strategy, s.opts.Strategies)
	for i := range strategies {
		name := styles[i%len(styles)] + " " + markets[(i*5+i/len(styles))%len(markets)]
		if round := i / (len(styles) * len(markets)); round > 0 {
			name += fmt.Sprintf(" v%d", round+1)
		}
		strategies[i] = sandtrail.Strategy{ID: fmt.Sprintf("s-%04d", i+1), Name: name}
	}
	return strategies
}

// broken is the strategy that fails in the last brokenShare of the time.
const (
	broken      = 2
	brokenShare = 0.03
)

// Drafts are the executions, oldest first, with ids and times.
func (s *Sample) Drafts() iter.Seq[sandtrail.Draft] {
	return func(yield func(sandtrail.Draft) bool) {
		rng := rand.New(rand.NewPCG(s.opts.Seed, 2))
		users := rand.NewZipf(rng, 1.3, 4, uint64(s.opts.Users-1))
		strategies := rand.NewZipf(rng, 1.2, 4, uint64(s.opts.Strategies-1))
		for i := range s.opts.Executions {
			done := (float64(i) + rng.Float64()) / float64(s.opts.Executions)
			strategy := int(strategies.Uint64())
			r := run{
				rng: rng, profile: s.profiles[strategy], at: s.instant(done),
				user: int(users.Uint64()), strategy: strategy,
				broken: strategy == broken && done > 1-brokenShare,
			}
			if !yield(r.draft()) {
				return
			}
		}
	}
}

// instant maps a share of all executions to a time, densest at half past two
// in the afternoon, UTC, and thinner at weekends. It never decreases.
func (s *Sample) instant(done float64) time.Time {
	const peak = 14.5 / 24
	monday := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	offset := s.opts.Since.Sub(monday).Hours() / 24
	sine := func(turns float64) float64 { return math.Sin(2*math.Pi*turns) / (2 * math.Pi) }
	wave := func(days float64) float64 {
		days += offset
		return 0.5*sine(days-peak+0.5) + 0.3*7*sine((days-2)/7+0.5)
	}
	span := s.opts.Until.Sub(s.opts.Since).Hours() / 24
	days := done * span
	// The wave is tied down at both ends, so that the window is filled.
	days += wave(days) - wave(0) - done*(wave(span)-wave(0))
	at := s.opts.Since.Add(time.Duration(days * 24 * float64(time.Hour)))
	if !at.Before(s.opts.Until) {
		at = s.opts.Until.Add(-time.Millisecond)
	}
	return sandtrail.Millisecond(at)
}

// newID is a UUIDv7 whose randomness comes from the sample's seed.
func newID(rng *rand.Rand, at time.Time) sandtrail.ID {
	var id sandtrail.ID
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16|rng.Uint64()&0xffff)
	binary.BigEndian.PutUint64(id[8:], rng.Uint64())
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Admit turns the sample into admitted records in batches of size, ready for
// Appender.Append.
func (s *Sample) Admit(size int) iter.Seq2[[]sandtrail.Admitted, error] {
	admission := sandtrail.Admission{Now: s.opts.Until, Retention: -1}
	return func(yield func([]sandtrail.Admitted, error) bool) {
		drafts := make([]sandtrail.Draft, 0, size)
		flush := func() bool {
			if len(drafts) == 0 {
				return true
			}
			batch, err := admission.Admit(drafts...)
			drafts = drafts[:0]
			return yield(batch, err) && err == nil
		}
		for d := range s.Drafts() {
			if drafts = append(drafts, d); len(drafts) == size && !flush() {
				return
			}
		}
		flush()
	}
}
