package rollup

import (
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Plan says what has to be read to count the records between instants
// exactly: stored days, changes not folded yet, and, where an instant
// cuts through a slot, the records of the cut piece themselves.
type Plan struct {
	// Raw are the stretches of createdAt whose records must be read:
	// disjoint, ascending, most often none to two of them, each under 15
	// minutes long.
	Raw []Range
	// First and Last are the range of stored days to read, both inclusive.
	// First is after Last when none are needed.
	First, Last Date
	// SlotDays are the days of that range whose slots are needed; of the
	// others the summary is enough. Ascending.
	SlotDays []Date

	edges []time.Time
	at    []int64 // the edges in Unix milliseconds, rounded up
}

// Range is a stretch of time: From is in it, To is not.
type Range struct{ From, To time.Time }

// PlanEdges plans the buckets between ascending instants.
func PlanEdges(edges []time.Time) Plan {
	p := newPlan(edges)
	for i := 1; i < len(p.at); i++ {
		p.bucket(p.at[i-1], p.at[i])
	}
	return p
}

// PlanTrend plans a trend. Records of one user and one strategy together are
// not rolled up; such a trend is read from the records alone.
func PlanTrend(q sandtrail.TrendQuery) (Plan, error) {
	edges, err := q.Edges()
	if err != nil {
		return Plan{}, err
	}
	return planFor(edges, q.UserID, q.StrategyID), nil
}

// PlanWindow plans a window as one bucket; see PlanTrend.
func PlanWindow(w sandtrail.Window) Plan {
	return planFor([]time.Time{w.Since, w.Until}, w.UserID, w.StrategyID)
}

func planFor(edges []time.Time, userID, strategyID string) Plan {
	if userID != "" && strategyID != "" {
		p := newPlan(edges)
		p.raw(p.at[0], p.at[len(p.at)-1])
		return p
	}
	return PlanEdges(edges)
}

// SubjectOf returns the subject of a question that names at most one of a user
// and a strategy.
func SubjectOf(userID, strategyID string) Subject {
	switch {
	case userID != "":
		return Subject{User, userID}
	case strategyID != "":
		return Subject{Strategy, strategyID}
	}
	return Subject{Scope: Global}
}

// NeedsSlots reports whether the slots of a stored day are needed.
func (p Plan) NeedsSlots(d Date) bool {
	_, found := slices.BinarySearch(p.SlotDays, d)
	return found
}

// Buckets is the number of buckets.
func (p Plan) Buckets() int { return len(p.at) - 1 }

func newPlan(edges []time.Time) Plan {
	p := Plan{First: 0, Last: -1, edges: edges}
	for _, edge := range edges {
		ms := edge.UnixMilli()
		if time.UnixMilli(ms).Before(edge) {
			ms++ // records are in whole milliseconds
		}
		p.at = append(p.at, ms)
	}
	return p
}

func (p *Plan) bucket(from, to int64) {
	if from >= to {
		return
	}
	head := -floorDiv(-from, slotMillis) * slotMillis // the first whole slot
	tail := floorDiv(to, slotMillis) * slotMillis     // after the last one
	if head > tail {
		p.raw(from, to)
		return
	}
	p.raw(from, head)
	p.raw(tail, to)
	p.days(floorDiv(head, dayMillis), floorDiv(to-1, dayMillis), from, to)
}

func (p *Plan) raw(from, to int64) {
	if from >= to {
		return
	}
	r := Range{time.UnixMilli(from).UTC(), time.UnixMilli(to).UTC()}
	if last := len(p.Raw) - 1; last >= 0 && p.Raw[last].To.Equal(r.From) {
		p.Raw[last].To = r.To
		return
	}
	p.Raw = append(p.Raw, r)
}

// days adds the days of the bucket [from, to), of which only the first and the
// last can be there in part.
func (p *Plan) days(first, last, from, to int64) {
	if first > last {
		return
	}
	if p.First > p.Last {
		p.First = Date(first)
	}
	p.Last = Date(last)
	for _, day := range []int64{first, last} {
		if day*dayMillis < from || (day+1)*dayMillis > to {
			p.slotDay(Date(day))
		}
	}
}

func (p *Plan) slotDay(d Date) {
	if last := len(p.SlotDays) - 1; last < 0 || p.SlotDays[last] != d {
		p.SlotDays = append(p.SlotDays, d)
	}
}

// place returns the bucket that an instant lies in, −1 for none. Where edges
// less than a millisecond apart make an empty bucket, it is the next one.
func (p *Plan) place(ms int64) int {
	i, _ := slices.BinarySearch(p.at, ms+1)
	i--
	if i >= len(p.at)-1 {
		return -1
	}
	return i
}

// holds reports whether bucket i reaches until an instant, or further.
func (p *Plan) holds(i int, until int64) bool { return until <= p.at[i+1] }
