package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
)

// trendsAcrossClockChanges counts a record each half hour, so that a day has
// twice as many as it has hours.
func trendsAcrossClockChanges(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	recorded := map[time.Time]bool{}
	for _, test := range []struct {
		zone, day string
		records   int64
	}{
		{"Europe/Paris", "2026-03-29", 46},
		{"Europe/Paris", "2026-10-25", 50},
		{"America/New_York", "2026-03-08", 46},
		{"America/New_York", "2026-11-01", 50},
		{"Asia/Kolkata", "2026-03-29", 48},
		{"Asia/Kathmandu", "2026-03-29", 48},
		{"Australia/Lord_Howe", "2026-04-05", 49},
		{"Australia/Lord_Howe", "2026-10-04", 47},
		{"Africa/Cairo", "2026-04-24", 46}, // midnight does not exist
		{"Asia/Beirut", "2026-03-29", 46},  // nor does it there
		{"Asia/Amman", "2021-10-29", 50},   // it comes twice
		{"Antarctica/Casey", "2023-03-09", 54},
		{"America/Havana", "2025-11-02", 50},
		{"Pacific/Apia", "2011-12-29", 48}, // the 30th was skipped
		{"Pacific/Apia", "2011-12-31", 48},
		{"UTC", "2026-03-29", 48},
	} {
		k.Run(test.zone+" "+test.day, func(t *testing.T) {
			inner := *k
			inner.T = t
			loc, err := sandtrail.ParseLocation(test.zone)
			if err != nil {
				t.Fatal(err)
			}
			noonThere, err := time.ParseInLocation("2006-01-02 15", test.day+" 12", loc)
			if err != nil {
				t.Fatal(err)
			}
			since, until := noonThere.Add(-40*time.Hour).Truncate(time.Hour), noonThere.Add(40*time.Hour).Truncate(time.Hour)
			var drafts []sandtrail.Draft
			for at := since.UTC(); at.Before(until); at = at.Add(30 * time.Minute) {
				if !recorded[at] {
					recorded[at] = true
					drafts = append(drafts, draft("u", "s", at))
				}
			}
			inner.append(drafts...)
			q := sandtrail.TrendQuery{Since: since, Until: until, Location: loc}
			inner.expectBucket(q, test.day, test.records)
			q.Bucket, q.UserID = sandtrail.Hour, "u"
			must(&inner, "hours", func(s sandtrail.Store) (any, error) { return s.Trends(k.ctx, q) })
		})
	}
	k.sound()
}

func (k *kit) expectBucket(q sandtrail.TrendQuery, date string, total int64) {
	k.Helper()
	trend := must(k, fmt.Sprintf("trend %+v", q), func(s sandtrail.Store) ([]sandtrail.TrendBucket, error) {
		return s.Trends(k.ctx, q)
	})
	for _, b := range trend {
		if b.Date == date {
			if b.Total != total {
				k.Errorf("%s has %d executions, want %d", date, b.Total, total)
			}
			return
		}
	}
	k.Errorf("%s is missing", date)
}

// trendsWithEmptyBuckets has a bucket for each day and hour, whatever was
// run.
func trendsWithEmptyBuckets(k *kit) {
	k.seed()
	k.putUsers("idle")
	for _, days := range []int{1, 7, 30, 365} {
		since, until := sandtrail.LastDays(k.now, days)
		for _, q := range []sandtrail.TrendQuery{
			{}, {UserID: "u0"}, {StrategyID: "s1"}, {UserID: "u0", StrategyID: "s0"}, {UserID: "idle"},
		} {
			q.Since, q.Until = since, until
			trend := must(k, fmt.Sprintf("%+v", q), func(s sandtrail.Store) ([]sandtrail.TrendBucket, error) {
				return s.Trends(k.ctx, q)
			})
			if len(trend) != days+1 { // the oldest day begins at noon
				k.Errorf("%d days: %d buckets, want %d", days, len(trend), days+1)
			}
			if days <= 7 {
				q.Bucket = sandtrail.Hour
				must(k, fmt.Sprintf("%+v", q), func(s sandtrail.Store) (any, error) { return s.Trends(k.ctx, q) })
			}
		}
	}
}

// trendsAroundMidnight asks before and after a midnight for records of which
// some came from a clock that runs ahead: they count when their time has come.
func trendsAroundMidnight(k *kit) {
	k.putUsers("u")
	k.putStrategies("s")
	for i, zone := range []string{"UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"} {
		location, err := sandtrail.ParseLocation(zone)
		if err != nil {
			k.Fatal(err)
		}
		midnight := time.Date(2026, 11, 10+3*i, 0, 0, 0, 0, location)
		now := midnight.Add(-2 * time.Minute)
		k.append(draft("u", "s", now), draft("u", "s", now.Add(time.Minute)), draft("u", "s", midnight.Add(time.Minute)))
		for _, test := range []struct {
			at         time.Duration
			day        string
			today, all int64
		}{
			{0, now.Format(time.DateOnly), 1, 1},
			{2*time.Minute - 1, now.Format(time.DateOnly), 2, 2},
			{2 * time.Minute, midnight.Format(time.DateOnly), 0, 2},
			{3 * time.Minute, midnight.Format(time.DateOnly), 1, 3},
		} {
			q := sandtrail.TrendQuery{Location: location}
			q.Since, q.Until = sandtrail.LastDays(now.Add(test.at), 1)
			trend := must(k, fmt.Sprintf("%s after %s", zone, test.at), func(s sandtrail.Store) ([]sandtrail.TrendBucket, error) {
				return s.Trends(k.ctx, q)
			})
			var all int64
			for _, b := range trend {
				all += b.Total
			}
			if trend[0].Date != test.day || trend[0].Total != test.today || all != test.all {
				k.Errorf("%s, %s after: got %+v", zone, test.at, trend)
			}
		}
	}
	k.sound()
}

// trendWindowIsExact puts edges between records of one quarter of an hour.
func trendWindowIsExact(k *kit) {
	k.putUsers("u", "v")
	k.putStrategies("s")
	var drafts []sandtrail.Draft
	for i := range 200 {
		at := noon.Add(-time.Duration(i) * 97 * time.Second)
		user := []string{"u", "v"}[i%2]
		drafts = append(drafts, draft(user, "s", at, func(d *sandtrail.Draft) { d.ExecutionTime, d.MemoryUsed = new(i%50), new(i) }))
	}
	k.append(drafts...)
	for _, maintained := range []bool{false, true} {
		if maintained {
			if err := k.db.Maintain(k.ctx, k.now); err != nil {
				k.Fatal(err)
			}
		}
		for _, offset := range []time.Duration{0, 1, time.Millisecond, 97 * time.Second, 97*time.Second + 1, 15 * time.Minute, 5 * time.Hour} {
			for _, q := range []sandtrail.TrendQuery{
				{Since: noon.Add(-3 * time.Hour).Add(-offset), Until: noon.Add(-offset), Bucket: sandtrail.Hour},
				{Since: noon.Add(-3 * time.Hour).Add(-offset), Until: noon.Add(time.Minute)},
				{Since: noon.Add(-time.Minute), Until: noon.Add(offset).Add(1), UserID: "u"},
				{Since: noon.Add(-offset - 1), Until: noon, StrategyID: "s"},
			} {
				must(k, fmt.Sprintf("%+v", q), func(s sandtrail.Store) (any, error) { return s.Trends(k.ctx, q) })
			}
		}
	}
	for _, q := range []sandtrail.TrendQuery{
		{},
		{Since: noon, Until: noon},
		{Since: noon, Until: noon.Add(-1)},
		{Since: noon.Add(-time.Hour), Until: noon, Bucket: "week"},
		{Since: noon.Add(-2 * 365 * 24 * time.Hour), Until: noon, Bucket: sandtrail.Hour},
	} {
		if _, err := both(k, fmt.Sprintf("%+v", q), func(s sandtrail.Store) (any, error) { return s.Trends(k.ctx, q) }); err == nil {
			k.Errorf("%+v was answered", q)
		}
	}
	for _, q := range []sandtrail.TrendQuery{{UserID: "none"}, {StrategyID: "none"}, {UserID: "u", StrategyID: "none"}, {UserID: "none", StrategyID: "s"}} {
		q.Since, q.Until = noon.Add(-time.Hour), noon
		if _, err := both(k, fmt.Sprintf("%+v", q), func(s sandtrail.Store) (any, error) { return s.Trends(k.ctx, q) }); !errors.Is(err, sandtrail.CodeNotFound) {
			k.Errorf("%+v: got %v, want that there is no such user or strategy", q, err)
		}
	}
	// Of one that exists without executions there are empty buckets.
	k.putStrategies("new")
	must(k, "of a new strategy", func(s sandtrail.Store) (any, error) {
		return s.Trends(k.ctx, sandtrail.TrendQuery{Since: noon.Add(-time.Hour), Until: noon, StrategyID: "new"})
	})
	k.sound()
}
