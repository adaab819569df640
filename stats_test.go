package sandtrail_test

import (
	"errors"
	"testing"
	"time"
	_ "time/tzdata" // the same zones on every machine

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/database"
)

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := sandtrail.ParseLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// TestEdgesOfDays gives the length of days on which clocks are changed.
func TestEdgesOfDays(t *testing.T) {
	for _, test := range []struct {
		zone, day string
		length    time.Duration
	}{
		{"UTC", "2026-03-29", 24 * time.Hour},
		{"Europe/Paris", "2026-03-29", 23 * time.Hour},
		{"Europe/Paris", "2026-10-25", 25 * time.Hour},
		{"America/New_York", "2026-11-01", 25 * time.Hour},
		{"Asia/Kolkata", "2026-03-29", 24 * time.Hour},
		{"Australia/Lord_Howe", "2026-04-05", 24*time.Hour + 30*time.Minute},
		{"Australia/Lord_Howe", "2026-10-04", 23*time.Hour + 30*time.Minute},
		{"Africa/Cairo", "2026-04-24", 23 * time.Hour},         // begins at 01:00
		{"Asia/Beirut", "2026-03-29", 23 * time.Hour},          // begins at 01:00
		{"Africa/Cairo", "2026-10-29", 25 * time.Hour},         // its last hour comes twice
		{"America/Havana", "2026-03-08", 23 * time.Hour},       // begins at 01:00
		{"America/Havana", "2026-11-01", 25 * time.Hour},       // its first hour comes twice
		{"America/Sao_Paulo", "2018-02-17", 25 * time.Hour},    // its last hour comes twice
		{"America/Sao_Paulo", "2018-02-18", 24 * time.Hour},    // the day after
		{"America/Sao_Paulo", "2018-11-04", 23 * time.Hour},    // begins at 01:00
		{"Pacific/Apia", "2011-12-29", 24 * time.Hour},         // followed by the 31st
		{"Pacific/Apia", "2011-12-31", 24 * time.Hour},         // there was no 30th
		{"Pacific/Kwajalein", "1969-09-30", 47 * time.Hour},    // lived twice, but for an hour
		{"Atlantic/Azores", "2026-10-25", 25 * time.Hour},      // 01:00 to 00:00 of the same day
		{"America/Scoresbysund", "2024-03-31", 24 * time.Hour}, // changed zone and clock at once
	} {
		t.Run(test.zone+" "+test.day, func(t *testing.T) {
			loc := location(t, test.zone)
			noonThere, err := time.ParseInLocation("2006-01-02 15", test.day+" 12", loc)
			if err != nil {
				t.Fatal(err)
			}
			q := sandtrail.TrendQuery{Since: noonThere.Add(-60 * time.Hour), Until: noonThere.Add(60 * time.Hour), Location: loc}
			edges, err := q.Edges()
			if err != nil {
				t.Fatal(err)
			}
			for i := range edges[1:] {
				if q.Label(edges[i]) == test.day {
					if got := edges[i+1].Sub(edges[i]); got != test.length {
						t.Errorf("the day lasts %v, want %v: %v", got, test.length, edges)
					}
					return
				}
			}
			t.Errorf("the day is missing in %v", edges)
		})
	}
}

func TestLabels(t *testing.T) {
	at := time.Date(2026, 10, 25, 0, 40, 30, 5, time.UTC) // 02:40 in Paris, before 03:00 becomes 02:00
	for name, test := range map[string]struct {
		query sandtrail.TrendQuery
		at    time.Time
		want  string
	}{
		"day":                 {sandtrail.TrendQuery{}, at, "2026-10-25"},
		"hour":                {sandtrail.TrendQuery{Bucket: sandtrail.Hour}, at, "2026-10-25T00:00:00Z"},
		"first of twin hours": {sandtrail.TrendQuery{Bucket: sandtrail.Hour, Location: location(t, "Europe/Paris")}, at, "2026-10-25T02:00:00+02:00"},
		"second":              {sandtrail.TrendQuery{Bucket: sandtrail.Hour, Location: location(t, "Europe/Paris")}, at.Add(time.Hour), "2026-10-25T02:00:00+01:00"},
		"half-hour zone":      {sandtrail.TrendQuery{Bucket: sandtrail.Hour, Location: location(t, "Asia/Kolkata")}, at, "2026-10-25T06:00:00+05:30"},
		"day elsewhere":       {sandtrail.TrendQuery{Location: location(t, "America/New_York")}, at, "2026-10-24"},
	} {
		if got := test.query.Label(test.at); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestEdgesRefuse(t *testing.T) {
	for name, q := range map[string]sandtrail.TrendQuery{
		"nothing":     {},
		"empty":       {Since: noon, Until: noon},
		"backwards":   {Since: noon, Until: noon.Add(-1)},
		"bucket":      {Since: noon, Until: noon.Add(1), Bucket: "week"},
		"hours":       {Since: noon, Until: noon.Add(10001 * time.Hour), Bucket: sandtrail.Hour},
		"ages in day": {Since: time.Time{}, Until: noon},
	} {
		if edges, err := q.Edges(); !errors.Is(err, sandtrail.CodeInvalid) {
			t.Errorf("%s: %d edges, %v", name, len(edges), err)
		}
	}
	q := sandtrail.TrendQuery{Since: noon, Until: noon.Add(sandtrail.MaxTrendBuckets * time.Hour), Bucket: sandtrail.Hour}
	if edges, err := q.Edges(); err != nil || len(edges) != sandtrail.MaxTrendBuckets+1 {
		t.Errorf("the most buckets: %d edges, %v", len(edges), err)
	}
}

// FuzzEdges holds every trend to what its buckets mean: they follow each
// other, and all instants of one have its date.
func FuzzEdges(f *testing.F) {
	zones := []string{
		"UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Cairo",
		"Asia/Beirut", "America/Havana", "America/Sao_Paulo", "America/Asuncion", "Pacific/Apia", "Pacific/Chatham",
		"America/Caracas", "Asia/Pyongyang", "Africa/Monrovia", "Atlantic/Azores", "America/St_Johns", "Antarctica/Troll",
		"Africa/Casablanca", "America/Nuuk", "Asia/Tehran", "Asia/Gaza", "Pacific/Norfolk", "America/Scoresbysund",
	}
	f.Add(uint8(1), int64(1761350000000), uint32(400000), false)
	f.Add(uint8(9), int64(1518800000000), uint32(400000), false)
	f.Add(uint8(5), int64(1775300000000), uint32(100000), true)
	f.Fuzz(func(t *testing.T, zone uint8, sinceMilli int64, seconds uint32, hours bool) {
		since := time.UnixMilli(sinceMilli % 4102444800000).UTC()
		q := sandtrail.TrendQuery{
			Since: since, Until: since.Add(time.Duration(seconds%(400*86400)+1) * time.Second),
			Location: location(t, zones[int(zone)%len(zones)]),
		}
		if hours {
			q.Bucket, q.Until = sandtrail.Hour, since.Add(time.Duration(seconds%(20*86400)+1)*time.Second)
		}
		edges, err := q.Edges()
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		if !edges[0].Equal(q.Since) || !edges[len(edges)-1].Equal(q.Until) {
			t.Fatalf("%+v: from %v to %v", q, edges[0], edges[len(edges)-1])
		}
		for i := range edges[1:] {
			from, to := edges[i], edges[i+1]
			if !from.Before(to) {
				t.Fatalf("%+v: edge %v is not before %v", q, from, to)
			}
			label := q.Label(from)
			for _, at := range []time.Time{from.Add(1), from.Add(to.Sub(from) / 3), from.Add(to.Sub(from) / 2), to.Add(-1)} {
				if at.Before(to) && q.Label(at) != label {
					t.Fatalf("%+v: %v is of %s, in the bucket of %s from %v to %v", q, at, q.Label(at), label, from, to)
				}
			}
			if i > 0 && q.Label(edges[i-1]) == label {
				t.Fatalf("%+v: two buckets of %s, at %v and %v", q, label, edges[i-1], from)
			}
		}
	})
}

func TestHealthAndRates(t *testing.T) {
	if got := database.Health("s", nil); got.SuccessRate != nil || got.AvgErrors != nil || got.LastValidated != nil {
		t.Errorf("over nothing: %+v", got)
	}
	got := database.Health("s", []sandtrail.Execution{
		{Success: true, ErrorCount: 1, CreatedAt: noon}, {WarningCount: 4}, {Success: true}, {Success: true},
	})
	want := sandtrail.StrategyHealth{
		StrategyID: "s", SuccessRate: new(75.0), AvgErrors: new(0.25), AvgWarnings: new(1.0), LastValidated: &noon, TotalValidations: 4,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if sandtrail.Rate(0, 0) != nil || database.Mean(0, 0) != nil || *sandtrail.Rate(1, 3) != 100.0/3 {
		t.Error("a rate over nothing is a number, or one over three is not a third")
	}
}

func TestLastDays(t *testing.T) {
	since, until := sandtrail.LastDays(noon.Add(999), 7)
	if !since.Equal(noon.AddDate(0, 0, -7)) || !until.Equal(noon.Add(time.Millisecond)) {
		t.Errorf("got %v to %v", since, until)
	}
}

func TestParseLocation(t *testing.T) {
	for name, ok := range map[string]bool{"": true, "UTC": true, "Asia/Tokyo": true, "Local": false, "Nowhere/City": false, "../etc/passwd": false} {
		if _, err := sandtrail.ParseLocation(name); (err == nil) != ok || err != nil && !errors.Is(err, sandtrail.CodeInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestRules(t *testing.T) {
	stats := func(total, failed, timedOut int64, p95 float64) sandtrail.WindowStats {
		return sandtrail.WindowStats{Total: total, Successful: total - failed, Failed: failed, TimedOut: timedOut, P95Time: &p95}
	}
	for name, test := range map[string]struct {
		rule   alert.Rule
		stats  sandtrail.WindowStats
		firing bool
	}{
		"default, none":       {alert.DefaultRule(), sandtrail.WindowStats{}, false},
		"default, at 30 %":    {alert.DefaultRule(), stats(10, 3, 0, 1), false},
		"default, above":      {alert.DefaultRule(), stats(100, 31, 0, 1), true},
		"default, one failed": {alert.DefaultRule(), stats(1, 1, 0, 1), true},
		"few":                 {alert.Rule{Metric: alert.FailureRate, Threshold: 30}, stats(9, 9, 0, 1), false},
		"enough":              {alert.Rule{Metric: alert.FailureRate, Threshold: 30}, stats(10, 10, 0, 1), true},
		"time-outs":           {alert.Rule{Metric: alert.TimeoutRate, Threshold: 5, MinSample: 1}, stats(10, 5, 1, 1), true},
		"slow":                {alert.Rule{Metric: alert.P95Time, Threshold: 500, MinSample: 1}, stats(10, 0, 0, 501), true},
		"not slow":            {alert.Rule{Metric: alert.P95Time, Threshold: 500, MinSample: 1}, stats(10, 0, 0, 500), false},
		"silence":             {alert.Rule{Metric: alert.NoExecutions, Window: time.Hour}, sandtrail.WindowStats{}, true},
		"no silence":          {alert.Rule{Metric: alert.NoExecutions, Window: time.Hour}, stats(1, 0, 0, 1), false},
	} {
		v := test.rule.Evaluate(test.stats)
		if v.Firing != test.firing || v.Message == "" {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
