package sandtrail

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Periods say how long executions are kept. An execution has the period of its type or
// strategy, where one of them has its own, the longer where both have, else Keep. 0 is
// for ever.
type Periods struct {
	Keep       time.Duration
	Types      map[ExecutionType]time.Duration
	Strategies map[string]time.Duration
}

// Cutoff says which executions are old, as of now.
func (p Periods) Cutoff(now time.Time) Cutoff {
	c := Cutoff{
		Before: cutOff(p.Keep, now), Types: make(map[ExecutionType]time.Time, len(p.Types)),
		Strategies: make(map[string]time.Time, len(p.Strategies)),
	}
	for t, keep := range p.Types {
		c.Types[t] = cutOff(keep, now)
	}
	for id, keep := range p.Strategies {
		c.Strategies[id] = cutOff(keep, now)
	}
	return c
}

func cutOff(keep time.Duration, now time.Time) time.Time {
	if keep == 0 {
		return time.Time{}
	}
	return Millisecond(now.Add(-keep))
}

// Admission takes executions that are no older than Keep, of whatever type and
// strategy.
func (p Periods) Admission(now time.Time) Admission {
	a := Admission{Now: now, Retention: p.Keep}
	if p.Keep == 0 {
		a.Retention = -1
	}
	return a
}

// Removes reports whether the periods ever make an execution old: false where all are
// kept for ever.
func (p Periods) Removes() bool { return !p.Cutoff(time.Unix(0, 0)).Latest().IsZero() }

// Cutoff says which executions are old: those created before a time. The time of an
// execution is that of its type or strategy, where one of them has its own, the earlier
// where both have, else Before. The zero time makes no execution old.
type Cutoff struct {
	Before     time.Time
	Types      map[ExecutionType]time.Time
	Strategies map[string]time.Time
}

// Before is the same cutoff for all executions.
func Before(t time.Time) Cutoff { return Cutoff{Before: t} }

// Validate reports types and strategies that cannot be as an *Error of
// CodeInvalid.
func (c Cutoff) Validate() error {
	var p Faults
	for _, t := range slices.Sorted(maps.Keys(c.Types)) {
		if t != Validation && t != Terminal {
			p.Addf("types."+string(t), "must be VALIDATION or TERMINAL")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Strategies)) {
		p.Key("strategies."+id, id)
	}
	return p.Err("invalid retention periods")
}

// Map returns a copy of the cutoff with change applied to each of its times.
func (c Cutoff) Map(change func(time.Time) time.Time) Cutoff {
	c.Before, c.Types, c.Strategies = change(c.Before), maps.Clone(c.Types), maps.Clone(c.Strategies)
	for t, before := range c.Types {
		c.Types[t] = change(before)
	}
	for id, before := range c.Strategies {
		c.Strategies[id] = change(before)
	}
	return c
}

// Spell is the same cutoff with the ids of strategies spelled otherwise. Of two
// that become one the time that keeps more counts.
func (c Cutoff) Spell(spell func(string) string) Cutoff {
	spelled := make(map[string]time.Time, len(c.Strategies))
	for id, before := range c.Strategies {
		if other, ok := spelled[spell(id)]; !ok || before.Before(other) {
			spelled[spell(id)] = before
		}
	}
	c.Strategies = spelled
	return c
}

// Rules are the times that types and strategies have of their own, in order,
// each with what it is of: "type TERMINAL" or "strategy momentum".
func (c Cutoff) Rules() iter.Seq2[string, time.Time] {
	return func(yield func(string, time.Time) bool) {
		for _, t := range slices.Sorted(maps.Keys(c.Types)) {
			if !yield("type "+string(t), c.Types[t]) {
				return
			}
		}
		for _, id := range slices.Sorted(maps.Keys(c.Strategies)) {
			if !yield("strategy "+id, c.Strategies[id]) {
				return
			}
		}
	}
}

// String describes the cutoff for people.
func (c Cutoff) String() string {
	parts := []string{whenOld(c.Before)}
	for of, before := range c.Rules() {
		parts = append(parts, of+" "+whenOld(before))
	}
	return strings.Join(parts, ", ")
}

func whenOld(before time.Time) string {
	if before.IsZero() {
		return "never"
	}
	return "before " + before.Format(time.RFC3339)
}

// Windows are those that a cleanup has to look through: the first is of all strategies;
// each further one is of a strategy whose executions are old at a younger age.
func (c Cutoff) Windows() []Window {
	all := Window{Until: c.Before}
	for _, before := range c.Types {
		all.Until = latest(all.Until, before)
	}
	windows := []Window{all}
	for _, id := range slices.Sorted(maps.Keys(c.Strategies)) {
		if c.Strategies[id].After(all.Until) {
			windows = append(windows, Window{StrategyID: id, Until: c.Strategies[id]})
		}
	}
	return windows
}

// Latest is the latest time of the cutoff: no execution created at it or later is old.
// Zero: no execution is.
func (c Cutoff) Latest() time.Time {
	var last time.Time
	for _, w := range c.Windows() {
		last = latest(last, w.Until)
	}
	return last
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// AllBefore reports whether all executions created before a time are old,
// except perhaps those of the strategies it returns.
func (c Cutoff) AllBefore(t time.Time) (old bool, except []string) {
	if t.After(c.Before) {
		return false, nil
	}
	for _, before := range c.Types {
		if t.After(before) {
			return false, nil
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Strategies)) {
		if t.After(c.Strategies[id]) {
			except = append(except, id)
		}
	}
	return true, except
}
