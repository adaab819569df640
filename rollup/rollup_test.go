package rollup

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sandtrail/sandtrail"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// randomChange is an addition within some days before noon. spread bounds the
// execution time.
func randomChange(r *rand.Rand, days, spread int) Change {
	c := Change{
		Sign:          1,
		UserID:        fmt.Sprint("u", r.IntN(4)),
		StrategyID:    fmt.Sprint("s", r.IntN(3)),
		CreatedAt:     noon.Add(-time.Duration(r.Int64N(int64(days)*dayMillis)) * time.Millisecond),
		Success:       r.IntN(3) > 0,
		ExecutionTime: r.IntN(spread),
		ErrorCount:    r.IntN(5),
		WarningCount:  r.IntN(5),
	}
	c.TimedOut = !c.Success && r.IntN(2) == 0
	if r.IntN(2) == 0 {
		memory := r.IntN(4096)
		c.MemoryUsed = &memory
	}
	if r.IntN(2) == 0 {
		cpu := r.Float64() * 400
		c.CPUUsage = &cpu
	}
	return c
}

// world is a store in memory: what it holds, and what it has folded.
type world struct {
	live, retired []Change
	journal       []Change
	stored        map[Key]encodedDay
	totals        map[Subject][]byte
}

type encodedDay struct{ summary, slots []byte }

func newWorld() *world {
	return &world{stored: map[Key]encodedDay{}, totals: map[Subject][]byte{}}
}

// step does one random thing.
func (w *world) step(t *testing.T, r *rand.Rand, spread int) {
	switch pick := r.IntN(10); {
	case pick < 6 || len(w.live) == 0:
		c := randomChange(r, 5, spread)
		w.live = append(w.live, c)
		w.journal = append(w.journal, c)
	case pick < 9:
		i := r.IntN(len(w.live))
		c := w.live[i]
		w.live = slices.Delete(w.live, i, i+1)
		c.Sign, c.Retired = -1, pick == 8
		if c.Retired {
			w.retired = append(w.retired, c)
		}
		w.journal = append(w.journal, c)
	default:
		w.fold(t)
	}
}

func (w *world) fold(t *testing.T) {
	t.Helper()
	delta := Fold(w.journal)
	w.journal = nil
	for key, change := range delta.Days {
		day := w.day(t, key)
		day.Merge(change)
		if day.IsEmpty() {
			delete(w.stored, key)
			continue
		}
		w.stored[key] = encodedDay{day.MarshalSummary(), day.MarshalSlots()}
	}
	for subject, change := range delta.Totals {
		var total Cell
		check(t, total.UnmarshalBinary(w.totals[subject]))
		total.Merge(*change)
		w.totals[subject], _ = total.MarshalBinary()
	}
}

func (w *world) day(t *testing.T, key Key) *Day {
	t.Helper()
	var day Day
	check(t, day.UnmarshalSummary(w.stored[key].summary))
	check(t, day.UnmarshalSlots(w.stored[key].slots))
	return &day
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (c Change) concerns(s Subject) bool { return slices.Contains(c.subjects(), s) }

func (c Change) subjects() []Subject { all := c.Subjects(); return all[:] }

func subjects() []Subject {
	all := []Subject{{Scope: Global}}
	for i := range 4 {
		all = append(all, Subject{User, fmt.Sprint("u", i)}, Subject{Strategy, fmt.Sprint("s", i)})
	}
	return all
}

// count is the plain answer: a cell over the records that are kept.
func count(records []Change, keep func(Change) bool) (cell Cell, times []int) {
	for _, c := range records {
		if keep(c) {
			cell.Add(c)
			times = append(times, c.ExecutionTime)
		}
	}
	slices.Sort(times)
	return cell, times
}

// sameCell compares a cell with the plain answer, percentiles within the
// stated accuracy.
func sameCell(t *testing.T, what string, got, want Cell, times []int) {
	t.Helper()
	if got.Counts != want.Counts {
		t.Fatalf("%s: counts (-want +got)\n%s", what, cmp.Diff(want.Counts, got.Counts, cellOptions))
	}
	for _, percent := range []int64{1, 50, 95, 99, 100} {
		value := got.Quantile(percent)
		if len(times) == 0 {
			if value != nil {
				t.Fatalf("%s: p%d over nothing = %v, want nil", what, percent, *value)
			}
			continue
		}
		want := float64(times[(int(percent)*len(times)+99)/100-1])
		tolerance := Accuracy*want + 1e-9
		if !got.times.logarithmic {
			tolerance = 0
		}
		if value == nil || math.Abs(*value-want) > tolerance {
			t.Fatalf("%s: p%d = %v, want %v within %v", what, percent, deref(value), want, tolerance)
		}
	}
}

func deref(p *float64) any {
	if p == nil {
		return nil
	}
	return *p
}

// TestEqualsRecords: after any sequence of additions, removals, retention and
// folds, totals, days and answers equal those computed from the records.
func TestEqualsRecords(t *testing.T) {
	for _, spread := range []int{3, 100, 1000, sandtrail.MaxInt} {
		t.Run(fmt.Sprint("spread ", spread), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(spread)))
			w := newWorld()
			for step := range 4000 {
				w.step(t, r, spread)
				if step%40 == 0 {
					w.checkAnswer(t, r)
				}
			}
			w.fold(t)
			w.checkTotals(t)
		})
	}
}

func (w *world) checkTotals(t *testing.T) {
	t.Helper()
	for _, subject := range subjects() {
		want, times := count(w.live, func(c Change) bool { return c.concerns(subject) })
		var got Cell
		check(t, got.UnmarshalBinary(w.totals[subject]))
		sameCell(t, fmt.Sprint("total of ", subject), got, want, times)
	}
}

// checkAnswer compares an answer over random edges, odd ones included.
func (w *world) checkAnswer(t *testing.T, r *rand.Rand) {
	t.Helper()
	subject := subjects()[r.IntN(8)]
	edges := randomEdges(r)
	plan := PlanEdges(edges)
	answer := plan.NewAnswer(Live)
	for date := plan.First; date <= plan.Last; date++ {
		day := w.stored[Key{subject, date}]
		if !plan.NeedsSlots(date) {
			day.slots = []byte("not to be read")
		}
		check(t, answer.AddDay(date, day.summary, day.slots))
	}
	for _, c := range w.journal {
		if c.concerns(subject) {
			answer.AddChange(c)
		}
	}
	for _, c := range w.live {
		if c.concerns(subject) && plan.isRaw(c.CreatedAt) {
			answer.AddRecord(c)
		}
	}
	for i, got := range answer.Cells() {
		want, times := count(w.live, func(c Change) bool {
			return c.concerns(subject) && !c.CreatedAt.Before(edges[i]) && c.CreatedAt.Before(edges[i+1])
		})
		sameCell(t, fmt.Sprintf("%v in [%s, %s)", subject, edges[i], edges[i+1]), got, want, times)
	}
}

func (p Plan) isRaw(at time.Time) bool {
	return slices.ContainsFunc(p.Raw, func(r Range) bool { return !at.Before(r.From) && at.Before(r.To) })
}

func randomEdges(r *rand.Rand) []time.Time {
	grain := []int64{1, 60_000, slotMillis, dayMillis}[r.IntN(4)]
	var edges []time.Time
	for range 2 + r.IntN(8) {
		back := r.Int64N(6*dayMillis) / grain * grain
		edges = append(edges, noon.Add(12*time.Hour-time.Duration(back)*time.Millisecond))
	}
	slices.SortFunc(edges, time.Time.Compare)
	edges = slices.Compact(edges)
	if len(edges) < 2 {
		edges = append(edges, edges[0].Add(time.Hour))
	}
	return edges
}

func TestRetention(t *testing.T) {
	c := Change{Sign: 1, UserID: "ada", StrategyID: "s", CreatedAt: noon, ExecutionTime: 7}
	gone := c
	gone.Sign, gone.Retired = -1, true
	delta := Fold([]Change{c, gone})
	day := delta.Days[Key{Subject{User, "ada"}, DateOf(noon)}]
	if total := delta.Totals[Subject{User, "ada"}]; !total.IsEmpty() {
		t.Errorf("a retired record still counts in the total: %+v", total.Counts)
	}

	plan := PlanWindow(sandtrail.Window{Since: noon.Add(-time.Minute), Until: noon.Add(time.Hour), UserID: "ada"})
	for share, want := range map[Share]int64{Live: 0, Kept: 1} {
		folded, unfolded := plan.NewAnswer(share), plan.NewAnswer(share)
		check(t, folded.AddDay(DateOf(noon), day.MarshalSummary(), day.MarshalSlots()))
		unfolded.AddChange(c)
		unfolded.AddChange(gone)
		for how, answer := range map[string]*Answer{"folded": folded, "unfolded": unfolded} {
			if got := answer.WindowStats().Total; got != want {
				t.Errorf("share %d, %s: total = %d, want %d", share, how, got, want)
			}
		}
	}
}

// TestRetiredUnderCut: the retired records of a slot that an edge cuts count
// where the slot begins, folded or not.
func TestRetiredUnderCut(t *testing.T) {
	gone := Change{Sign: -1, Retired: true, CreatedAt: noon.Add(10 * time.Minute)}
	plan := PlanEdges([]time.Time{noon, noon.Add(5 * time.Minute), noon.Add(time.Hour)})
	var day Day
	day.Apply(Change{Sign: 1, CreatedAt: gone.CreatedAt})
	day.Apply(gone)
	folded, unfolded := plan.NewAnswer(Kept), plan.NewAnswer(Kept)
	check(t, folded.AddDay(DateOf(noon), day.MarshalSummary(), day.MarshalSlots()))
	unfolded.AddChange(Change{Sign: 1, CreatedAt: gone.CreatedAt})
	unfolded.AddChange(gone)
	for how, answer := range map[string]*Answer{"folded": folded, "unfolded": unfolded} {
		if got := []int64{answer.Cells()[0].Total, answer.Cells()[1].Total}; !slices.Equal(got, []int64{1, 0}) {
			t.Errorf("%s: %v, want [1 0]", how, got)
		}
	}
}

func TestTrend(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	check(t, err)
	since, until := sandtrail.LastDays(noon.Add(7*time.Minute), 2)
	q := sandtrail.TrendQuery{Since: since, Until: until, Location: paris}
	plan, err := PlanTrend(q)
	check(t, err)
	wantRaw := []Range{
		{since, noon.Add(-48*time.Hour + 15*time.Minute)},
		{noon, until},
	}
	if diff := cmp.Diff(wantRaw, plan.Raw); diff != "" {
		t.Errorf("raw ranges (-want +got)\n%s", diff)
	}
	answer := plan.NewAnswer(Live)
	answer.AddChange(Change{Sign: 1, CreatedAt: noon.Add(-13 * time.Hour), Success: true, ExecutionTime: 40})
	answer.AddRecord(Change{Sign: 1, CreatedAt: noon.Add(time.Minute), TimedOut: true, ExecutionTime: 60})
	want := []sandtrail.TrendBucket{
		{Date: "2026-11-24", Total: 2, Successful: 1, Failed: 1, TimedOut: 1, AvgTime: ptr(50.0), P95Time: ptr(60.0)},
		{Date: "2026-11-23"},
		{Date: "2026-11-22"},
	}
	if diff := cmp.Diff(want, answer.Trend(q)); diff != "" {
		t.Errorf("trend (-want +got)\n%s", diff)
	}
}

func ptr[T any](v T) *T { return &v }

func TestPlanYearReadsSummaries(t *testing.T) {
	since, until := sandtrail.LastDays(noon, 365)
	plan, err := PlanTrend(sandtrail.TrendQuery{Since: since, Until: until})
	check(t, err)
	if len(plan.SlotDays) != 2 || plan.Last-plan.First != 365 {
		t.Errorf("days %s to %s with slots of %v, want 366 days and the slots of the first and the last",
			plan.First, plan.Last, plan.SlotDays)
	}
}

func TestPlanOfBothOwnersReadsRecords(t *testing.T) {
	w := sandtrail.Window{Since: noon, Until: noon.Add(48 * time.Hour), UserID: "u", StrategyID: "s"}
	plan := PlanWindow(w)
	answer := plan.NewAnswer(Live)
	answer.AddChange(Change{Sign: 1, CreatedAt: noon.Add(time.Hour)})
	answer.AddRecord(Change{Sign: 1, CreatedAt: noon.Add(time.Hour)})
	if diff := cmp.Diff([]Range{{w.Since, w.Until}}, plan.Raw); diff != "" || plan.First <= plan.Last {
		t.Errorf("plan reads days %s to %s, raw (-want +got)\n%s", plan.First, plan.Last, diff)
	}
	if got := answer.WindowStats().Total; got != 1 {
		t.Errorf("total = %d, want 1", got)
	}
}

func TestEmptyWindow(t *testing.T) {
	plan := PlanWindow(sandtrail.Window{Since: noon, Until: noon})
	if len(plan.Raw) > 0 || plan.First <= plan.Last {
		t.Errorf("an empty window reads %v and days %s to %s", plan.Raw, plan.First, plan.Last)
	}
	if got := plan.NewAnswer(Live).WindowStats(); got != (sandtrail.WindowStats{}) {
		t.Errorf("got %+v", got)
	}
}

func TestRanking(t *testing.T) {
	q := sandtrail.RankQuery{Subject: sandtrail.Users, Since: noon.Add(-24 * time.Hour), Until: noon, Order: sandtrail.MostFailures, Limit: 2}
	r := NewRanking(q)
	add := func(user string, success bool) {
		r.AddChange(Change{Sign: 1, UserID: user, CreatedAt: noon.Add(-time.Hour), Success: success})
	}
	add("b", false)
	add("a", false)
	add("c", true)
	add("a", true)
	want := []sandtrail.Rank{{ID: "a", Total: 2, Failed: 1}, {ID: "b", Total: 1, Failed: 1}}
	if diff := cmp.Diff(want, r.Top()); diff != "" || r.Scope() != User {
		t.Errorf("scope %d, ranking (-want +got)\n%s", r.Scope(), diff)
	}
}

func TestStats(t *testing.T) {
	memory, cpu := 64, 12.5
	var cell Cell
	cell.Add(Change{Success: true, ExecutionTime: 10, MemoryUsed: &memory, CPUUsage: &cpu, ErrorCount: 0, WarningCount: 2})
	cell.Add(Change{TimedOut: true, ExecutionTime: 30, ErrorCount: 1})
	costs := sandtrail.Costs{CPUSeconds: ptr(0.00125), MemoryMiBSeconds: ptr(0.64)}
	measured := sandtrail.Measured{CPUUsage: 1, MemoryUsed: 1}
	strategy := sandtrail.StrategyStats{
		StrategyID: "s", Count: 2, SuccessCount: 1, SuccessRate: ptr(50.0), TimedOutCount: 1,
		Avg:         sandtrail.Averages{ExecutionTime: ptr(20.0), MemoryUsed: ptr(64.0), CPUUsage: ptr(12.5)},
		Sum:         sandtrail.Sums{ErrorCount: 1, WarningCount: 2, Costs: costs},
		Measured:    measured,
		Percentiles: sandtrail.Percentiles{ExecutionTime: sandtrail.Quantiles{P50: ptr(10.0), P95: ptr(30.0), P99: ptr(30.0)}},
	}
	if diff := cmp.Diff(strategy, cell.StrategyStats("s")); diff != "" {
		t.Errorf("strategy (-want +got)\n%s", diff)
	}
	user := sandtrail.UserStats{UserID: "u", TotalExecutions: 2, SuccessRate: ptr(50.0), AvgExecutionTime: ptr(20.0), Sum: costs, Measured: measured}
	if diff := cmp.Diff(user, cell.UserStats("u")); diff != "" {
		t.Errorf("user (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(sandtrail.StrategyStats{StrategyID: "s"}, Cell{}.StrategyStats("s")); diff != "" {
		t.Errorf("over nothing (-want +got)\n%s", diff)
	}
}

// TestExtremes: values no sandbox has, which plain SQL can hold all the same,
// neither panic nor spoil a cell for good.
func TestExtremes(t *testing.T) {
	for _, cpu := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e300, -1} {
		for _, time := range []int{-5, 0, math.MaxInt32, math.MaxInt64} {
			var cell Cell
			for i := range 2 * ExactTimes {
				cell.Add(Change{ExecutionTime: i})
			}
			before, _ := cell.MarshalBinary()
			c := Change{ExecutionTime: time, CPUUsage: &cpu}
			cell.Add(c)
			cell.Sub(c)
			after, _ := cell.MarshalBinary()
			if !slices.Equal(before, after) {
				t.Errorf("cpu %v, time %d: adding and removing left a trace", cpu, time)
			}
		}
	}
}

func TestDates(t *testing.T) {
	tests := map[string]Date{
		"1969-12-31T23:59:59.999Z": -1,
		"1970-01-01T00:00:00Z":     0,
		"2026-11-24T23:59:59.999Z": 20781,
	}
	for text, want := range tests {
		at, err := time.Parse(time.RFC3339, text)
		check(t, err)
		if got := DateOf(at); got != want || got.String() != text[:10] {
			t.Errorf("DateOf(%s) = %d (%s), want %d", text, got, got, want)
		}
	}
}

func TestMergeKeepsNothingOfOther(t *testing.T) {
	var a, b Cell
	b.Add(Change{ExecutionTime: 1})
	a.Merge(b)
	a.Add(Change{ExecutionTime: 1})
	if b.times.bins[0].count != 1 {
		t.Error("a merge shares bins with the cell it took from")
	}
	a.Subtract(b)
	a.Subtract(b)
	if !a.IsEmpty() {
		t.Errorf("%+v left after subtracting all", a)
	}
}

var cellOptions = cmp.Options{cmp.AllowUnexported(Cell{}, sketch{}, bin{}, Day{}, slot{}, wide{}), cmpopts.EquateEmpty()}

func TestEdgesWithinAMillisecond(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	plan := PlanEdges([]time.Time{at.Add(-1), at, at.Add(time.Hour)})
	var day Day
	day.Apply(Change{Sign: 1, CreatedAt: at})
	a := plan.NewAnswer(Live)
	check(t, a.AddDay(DateOf(at), day.MarshalSummary(), day.MarshalSlots()))
	if cells := a.Cells(); cells[0].Total != 0 || cells[1].Total != 1 {
		t.Errorf("the buckets count %d and %d, want 0 and 1", cells[0].Total, cells[1].Total)
	}
}

func TestRetire(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	var day Day
	day.Apply(Change{Sign: 1, CreatedAt: at, ExecutionTime: 7})
	moved := day.Retire()
	if moved.Total != 1 || day.Summary.Live.Total != 0 || day.Summary.Retired.Total != 1 || day.Slot(36).Retired.Total != 1 {
		t.Errorf("moved %d, left %+v", moved.Total, day)
	}
}
