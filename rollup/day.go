package rollup

import "slices"

// Part counts the records of a stretch of time.
type Part struct {
	Live    Cell // stored
	Retired Cell // removed by retention
}

func (p *Part) apply(c *Change) {
	if c.Sign > 0 {
		p.Live.apply(c, 1)
		return
	}
	p.Live.apply(c, -1)
	if c.Retired {
		p.Retired.apply(c, 1)
	}
}

func (p *Part) merge(other *Part) {
	p.Live.Merge(other.Live)
	p.Retired.Merge(other.Retired)
}

func (p *Part) retire() {
	p.Retired.Merge(p.Live)
	p.Live = Cell{}
}

func (p *Part) isEmpty() bool { return p.Live.IsEmpty() && p.Retired.IsEmpty() }

// Day counts the records of one UTC day of one subject. The zero day is
// empty.
type Day struct {
	Summary Part   // the whole day
	slots   []slot // ordered by index, none empty
}

type slot struct {
	index int // 0 to SlotsPerDay−1
	Part
}

// Slot returns what a slot of 15 minutes counts; 0 is the first of the day.
func (d *Day) Slot(index int) Part {
	if i, found := d.find(index); found {
		return d.slots[i].Part
	}
	return Part{}
}

// Apply counts a change. Its time must lie in the day.
func (d *Day) Apply(c Change) {
	d.Summary.apply(&c)
	i := d.at(int(floorDiv(c.CreatedAt.UnixMilli(), slotMillis) - int64(DateOf(c.CreatedAt))*SlotsPerDay))
	d.slots[i].apply(&c)
	if d.slots[i].isEmpty() {
		d.slots = slices.Delete(d.slots, i, i+1)
	}
}

// Merge adds what other, the same day of the same subject, counts.
func (d *Day) Merge(other *Day) {
	d.Summary.merge(&other.Summary)
	for i := range other.slots {
		d.slots[d.at(other.slots[i].index)].merge(&other.slots[i].Part)
	}
	d.slots = slices.DeleteFunc(d.slots, func(s slot) bool { return s.isEmpty() })
}

// Retire moves all live records to the retired ones, and returns what moved.
func (d *Day) Retire() Cell {
	live := d.Summary.Live
	d.Summary.retire()
	for i := range d.slots {
		d.slots[i].retire()
	}
	return live
}

// Clear drops the counts of stored records. Those of retired ones stay.
func (d *Day) Clear() {
	d.Summary.Live = Cell{}
	for i := range d.slots {
		d.slots[i].Live = Cell{}
	}
	d.slots = slices.DeleteFunc(d.slots, func(s slot) bool { return s.isEmpty() })
}

// IsEmpty reports whether the day counts nothing and need not be stored.
func (d *Day) IsEmpty() bool { return d.Summary.isEmpty() && len(d.slots) == 0 }

// at returns the place of a slot, which it makes when there is none.
func (d *Day) at(index int) int {
	i, found := d.find(index)
	if !found {
		d.slots = slices.Insert(d.slots, i, slot{index: index})
	}
	return i
}

func (d *Day) find(index int) (int, bool) {
	return slices.BinarySearchFunc(d.slots, index, func(s slot, index int) int { return s.index - index })
}
