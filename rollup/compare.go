package rollup

import (
	"fmt"
	"math"
)

// Comparison counts in what roll-ups differ from the records counted anew.
// Retired shares have no records left to be compared with.
type Comparison struct {
	Compared, Different int
	First               string // what differs first
}

// Day compares one day of a subject; nil is an empty one.
func (c *Comparison) Day(key Key, got, want *Day) {
	if got == nil {
		got = &Day{}
	}
	if want == nil {
		want = &Day{}
	}
	same := alike(got.Summary.Live, want.Summary.Live)
	for i := range SlotsPerDay {
		same = same && alike(got.Slot(i).Live, want.Slot(i).Live)
	}
	c.note(same, fmt.Sprintf("%s of %s", key.Date, key.Subject))
}

// Total compares the total of a subject; nil is an empty one.
func (c *Comparison) Total(subject Subject, got, want *Cell) {
	if got == nil {
		got = &Cell{}
	}
	if want == nil {
		want = &Cell{}
	}
	c.note(alike(*got, *want), fmt.Sprintf("the total of %s", subject))
}

// Delta compares all days and totals of two sums.
func (c *Comparison) Delta(got, want Delta) {
	for key, day := range want.Days {
		c.Day(key, got.Days[key], day)
	}
	for key, day := range got.Days {
		if want.Days[key] == nil {
			c.Day(key, day, nil)
		}
	}
	for subject, total := range want.Totals {
		c.Total(subject, got.Totals[subject], total)
	}
	for subject, total := range got.Totals {
		if want.Totals[subject] == nil {
			c.Total(subject, total, nil)
		}
	}
}

func (c *Comparison) note(same bool, what string) {
	c.Compared++
	if same {
		return
	}
	if c.Different++; c.First == "" {
		c.First = what
	}
}

// String names the subject for a person.
func (s Subject) String() string {
	switch s.Scope {
	case User:
		return fmt.Sprintf("user %q", s.ID)
	case Strategy:
		return fmt.Sprintf("strategy %q", s.ID)
	}
	return "everything"
}

// alike compares counts exactly and percentiles within their accuracy: a
// cell that has seen many times in its life keeps them coarser than one
// counted anew.
func alike(a, b Cell) bool {
	if a.Counts != b.Counts {
		return false
	}
	for _, percent := range []int64{50, 95, 99} {
		x, y := a.Quantile(percent), b.Quantile(percent)
		if (x == nil) != (y == nil) || x != nil && math.Abs(*x-*y) > 2*Accuracy*max(*x, *y) {
			return false
		}
	}
	return true
}
