package rollup

// Delta is what a stretch of changes comes to: to be merged into the stored days
// and totals. Its cells can be negative.
type Delta struct {
	Days   map[Key]*Day
	Totals map[Subject]*Cell // all stored records of a subject
}

// NewDelta is one of no changes.
func NewDelta() Delta { return Delta{Days: map[Key]*Day{}, Totals: map[Subject]*Cell{}} }

// Fold sums up changes. Their order does not matter.
func Fold(changes []Change) Delta {
	d := NewDelta()
	for i := range changes {
		d.add(&changes[i])
	}
	return d
}

// Add counts one change more.
func (d Delta) Add(c Change) { d.add(&c) }

func (d Delta) add(c *Change) {
	for _, subject := range c.Subjects() {
		d.Day(Key{subject, DateOf(c.CreatedAt)}).Apply(*c)
		d.Total(subject).apply(c, int64(c.Sign))
	}
}

// Day returns a day to change, which it makes when there is none.
func (d Delta) Day(key Key) *Day {
	day := d.Days[key]
	if day == nil {
		day = &Day{}
		d.Days[key] = day
	}
	return day
}

// Total returns a total to change, which it makes when there is none.
func (d Delta) Total(subject Subject) *Cell {
	total := d.Totals[subject]
	if total == nil {
		total = &Cell{}
		d.Totals[subject] = total
	}
	return total
}
