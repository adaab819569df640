package postgres

import (
	"slices"
	"sync"
	"time"
)

// span is a half-open stretch of time; zero ends are open.
type span struct{ since, until time.Time }

// spans are disjoint, the oldest first.
type spans []span

// gap returns where around a time, which lies in none of them, one of a size
// has room. For a time in one of them it returns that one, and false.
func (s spans) gap(t time.Time, size partitionSize) (w span, lacking bool) {
	next, _ := slices.BinarySearchFunc(s, t, func(w span, t time.Time) int {
		if w.until.After(t) {
			return 1
		}
		return -1
	})
	if next < len(s) && !s[next].since.After(t) {
		return s[next], false
	}
	w = size.around(t)
	if next > 0 && s[next-1].until.After(w.since) {
		w.since = s[next-1].until
	}
	if next < len(s) && s[next].since.Before(w.until) {
		w.until = s[next].since
	}
	return w, true
}

// hasRoom reports whether one more may be made for a time: not for outlandish
// times and those far ahead of all others, and not when there are many.
func (s spans) hasRoom(t time.Time) bool {
	if len(s) == 0 {
		return !isOutlandish(t)
	}
	return len(s) < maxPartitions && !isOutlandish(t) && t.Before(s[len(s)-1].until.Add(farAhead-ahead))
}

// with returns them and one more, unless it is among them.
func (s spans) with(w span) spans {
	at, found := slices.BinarySearchFunc(s, w, func(a, b span) int { return a.since.Compare(b.since) })
	if found {
		return s
	}
	return slices.Insert(slices.Clone(s), at, w)
}

// settled leaves out the newest, which are in use or will be.
func (s spans) settled() spans {
	if len(s) == 0 {
		return nil
	}
	inUse := s[len(s)-1].until.Add(-ahead - week)
	return slices.DeleteFunc(slices.Clone(s), func(w span) bool { return w.until.After(inUse) })
}

// partitionSet remembers which partitions are known. That one of them is gone
// meanwhile does no harm: rows then go to the default partition.
type partitionSet struct {
	mu    sync.Mutex
	known spans
}

// gaps returns the weeks of the times in which no partition is known, without
// the days of which one is.
func (p *partitionSet) gaps(times []time.Time) (missing spans) {
	p.mu.Lock()
	known := p.known
	p.mu.Unlock()
	for _, t := range times {
		if w, lacking := known.gap(t, byWeek); lacking && known.hasRoom(t) {
			missing, known = append(missing, w), known.with(w)
		}
	}
	return missing
}

func (p *partitionSet) replace(known spans) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = known
}

func (p *partitionSet) add(w span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = p.known.with(w)
}

// bounds are the starts of the oldest and the newest partition known, zero
// times for none.
func (p *partitionSet) bounds() (oldest, newest time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) == 0 {
		return oldest, newest
	}
	return p.known[0].since, p.known[len(p.known)-1].since
}
