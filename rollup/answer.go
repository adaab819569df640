package rollup

import "fmt"

// Share says which records an answer counts.
type Share int

// The shares.
const (
	// Live counts the records that are stored.
	Live Share = iota
	// Kept counts those that retention removed as well. They are known by
	// slot: where an edge cuts through one, its retired records count as if
	// all had come when it began.
	Kept
)

// Answer gathers what a plan asked for into one cell per bucket. All of it
// must come from one snapshot, and be of the subject that is asked about.
type Answer struct {
	plan  Plan
	share Share
	cells []Cell

	day  Day // the last one decoded, whose room is used again
	slot slot
}

// NewAnswer starts an answer.
func (p Plan) NewAnswer(share Share) *Answer {
	return &Answer{plan: p, share: share, cells: make([]Cell, max(p.Buckets(), 0))}
}

// AddDay adds a stored day, each once. The slots are only read where the plan
// needs them. Days outside the plan are ignored.
func (a *Answer) AddDay(date Date, summary, slots []byte) error {
	if date < a.plan.First || date > a.plan.Last {
		return nil
	}
	start := int64(date) * dayMillis
	var err error
	if a.plan.NeedsSlots(date) {
		err = eachSlot(slots, &a.slot, func() {
			from := start + int64(a.slot.index)*slotMillis
			a.addPart(&a.slot.Part, from, from+slotMillis)
		})
	} else if err = a.day.UnmarshalSummary(summary); err == nil {
		a.addPart(&a.day.Summary, start, start+dayMillis)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", date, err)
	}
	return nil
}

// addPart adds the counts of [from, to) to the bucket they lie in. The live
// records of a slot that an edge cuts come one by one through AddRecord.
func (a *Answer) addPart(p *Part, from, to int64) {
	i := a.plan.place(from)
	if i < 0 {
		return
	}
	if a.plan.holds(i, to) {
		a.cells[i].Merge(p.Live)
	}
	if a.share == Kept {
		a.cells[i].Merge(p.Retired)
	}
}

// AddChange adds a change that is not folded yet. Changes outside the
// plan are ignored.
func (a *Answer) AddChange(c Change) {
	if date := DateOf(c.CreatedAt); date < a.plan.First || date > a.plan.Last {
		return
	}
	from := floorDiv(c.CreatedAt.UnixMilli(), slotMillis) * slotMillis
	i := a.plan.place(from)
	if i < 0 {
		return
	}
	if a.plan.holds(i, from+slotMillis) {
		a.cells[i].apply(&c, int64(c.Sign))
	}
	if a.share == Kept && c.Retired && c.Sign < 0 {
		a.cells[i].apply(&c, 1)
	}
}

// AddRecord adds a stored record of one of the plan's raw ranges.
func (a *Answer) AddRecord(c Change) {
	if i := a.plan.place(c.CreatedAt.UnixMilli()); i >= 0 {
		a.cells[i].Add(c)
	}
}

// Cells returns the cells of the buckets, oldest first.
func (a *Answer) Cells() []Cell { return a.cells }
