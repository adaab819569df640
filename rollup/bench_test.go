package rollup

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
)

// BenchmarkYear answers a trend of 365 days of 5,000 records each.
func BenchmarkYear(b *testing.B) {
	since, until := sandtrail.LastDays(noon, 365)
	plan, err := PlanTrend(sandtrail.TrendQuery{Since: since, Until: until})
	if err != nil {
		b.Fatal(err)
	}
	var summaries, slots [8][]byte
	for i := range summaries {
		day := sampleDay(uint64(i), 5000, 60_000)
		summaries[i], slots[i] = day.MarshalSummary(), day.MarshalSlots()
	}
	b.ReportMetric(float64(len(summaries[0])), "B/summary")
	b.ReportMetric(float64(len(slots[0])), "B/slots")
	for b.Loop() {
		answer := plan.NewAnswer(Kept)
		for date := plan.First; date <= plan.Last; date++ {
			if err := answer.AddDay(date, summaries[date%8], slots[date%8]); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkYearAsOneWindow merges the same days into one cell.
func BenchmarkYearAsOneWindow(b *testing.B) {
	plan := PlanWindow(sandtrail.Window{Since: noon.Add(-365 * 24 * time.Hour), Until: noon})
	day := sampleDay(1, 5000, 60_000)
	summary, slots := day.MarshalSummary(), day.MarshalSlots()
	for b.Loop() {
		answer := plan.NewAnswer(Live)
		for date := plan.First; date <= plan.Last; date++ {
			if err := answer.AddDay(date, summary, slots); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkFold folds 10,000 changes of one day.
func BenchmarkFold(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	changes := make([]Change, 10_000)
	for i := range changes {
		changes[i] = randomChange(r, 1, 60_000)
	}
	for b.Loop() {
		Fold(changes)
	}
}
