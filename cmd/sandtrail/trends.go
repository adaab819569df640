package main

import (
	"context"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
)

type trendsCmd struct {
	scope
	Days   int    `default:"7" help:"How many days of 24 hours to look back."`
	TZ     string `name:"tz" default:"UTC" placeholder:"UTC" help:"Time zone of the days, such as Europe/Paris."`
	Bucket string `default:"day" enum:"day,hour" placeholder:"day" help:"Count by day or hour."`
	output
}

// Examples shows what can be asked.
func (trendsCmd) Examples() []string {
	return []string{
		"sandtrail trends",
		"sandtrail trends --days 30 --strategy momentum --tz Europe/Paris",
		"sandtrail trends --days 1 --bucket hour -o csv",
	}
}

// maxDays is more than ten years.
const maxDays = 4000

// Run prints the buckets, newest first.
func (c *trendsCmd) Run(ctx context.Context, d *deps) error {
	if c.Days < 1 || c.Days > maxDays {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--days: must be 1 to %d, got %d", maxDays, c.Days)
	}
	location, err := sandtrail.ParseLocation(c.TZ)
	if err != nil {
		return err
	}
	store, err := d.analyst(ctx)
	if err != nil {
		return err
	}
	q := sandtrail.TrendQuery{
		Location: location, Bucket: sandtrail.Bucket(c.Bucket), UserID: c.User, StrategyID: c.Strategy,
	}
	q.Since, q.Until = sandtrail.LastDays(d.now(), c.Days)
	buckets, err := store.Trends(ctx, q)
	if err != nil {
		return err
	}
	return print(d, c.Output, finding[sandtrail.TrendBucket]{
		whole: buckets, rows: buckets, columns: trendColumns(d, buckets), empty: "No buckets.",
	})
}

func trendColumns(d *deps, buckets []sandtrail.TrendBucket) []table.Column[sandtrail.TrendBucket] {
	type row = sandtrail.TrendBucket
	most := int64(1)
	for _, b := range buckets {
		most = max(most, b.Total)
	}
	columns := []table.Column[row]{
		label("date", "DATE", func(b row) string { return b.Date }),
		count("total", "TOTAL", func(b row) int64 { return b.Total }),
		count("successful", "SUCCESSFUL", func(b row) int64 { return b.Successful }),
		count("failed", "FAILED", func(b row) int64 { return b.Failed }),
		count("timedOut", "TIMED OUT", func(b row) int64 { return b.TimedOut }),
		measure("avgTime", "MEAN TIME", human.Millis, func(b row) *float64 { return b.AvgTime }),
		measure("p95Time", "p95 TIME", human.Millis, func(b row) *float64 { return b.P95Time }),
		measure("avgMemory", "MEAN MEMORY", human.MiB, func(b row) *float64 { return b.AvgMemory }),
	}
	columns = append(columns, costs("CPU TIME", "MEMORY × TIME", func(b row) (sandtrail.Costs, sandtrail.Measured, int64) {
		return b.Sum, b.Measured, b.Total
	})...)
	return append(columns, table.Column[row]{
		Shown: true,
		Value: func(b row) string { return bar(b.Successful, most) + bar(b.Failed, most) },
		Paint: func(b row, _ string) string {
			return d.paint(text.FgGreen, bar(b.Successful, most)) + d.paint(text.FgRed, bar(b.Failed, most))
		},
	})
}

// bar draws a share of the widest bar; what is not nothing is seen.
func bar(n, most int64) string {
	const width = 24
	if n == 0 {
		return ""
	}
	return strings.Repeat("▇", int(max(1, n*width/most)))
}
