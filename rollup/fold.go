package rollup

// Delta is what a stretch of the journal changes: to be merged into the
// stored days and totals. Its cells can be negative.
type Delta struct {
	Days   map[Key]*Day
	Totals map[Subject]*Cell // all stored records of a subject
}

// Fold sums up changes. Their order does not matter.
func Fold(changes []Change) Delta {
	d := Delta{Days: map[Key]*Day{}, Totals: map[Subject]*Cell{}}
	for i := range changes {
		c := &changes[i]
		for _, subject := range c.Subjects() {
			d.day(Key{subject, DateOf(c.CreatedAt)}).Apply(*c)
			d.total(subject).apply(c, int64(c.Sign))
		}
	}
	return d
}

func (d Delta) day(key Key) *Day {
	day := d.Days[key]
	if day == nil {
		day = &Day{}
		d.Days[key] = day
	}
	return day
}

func (d Delta) total(subject Subject) *Cell {
	total := d.Totals[subject]
	if total == nil {
		total = &Cell{}
		d.Totals[subject] = total
	}
	return total
}
