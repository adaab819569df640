package sandtrail_test

import (
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
)

func TestDaysOfChangedClocks(t *testing.T) {
	for _, test := range []struct{ zone, day, begins, ends string }{
		{"Asia/Amman", "2021-10-29", "2021-10-28T21:00:00Z", "2021-10-29T22:00:00Z"},       // midnight comes twice
		{"Antarctica/Casey", "2023-03-09", "2023-03-08T13:00:00Z", "2023-03-09T16:00:00Z"}, // and there, by three hours
		{"America/Havana", "2026-11-01", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},   // every year
		{"Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},     // it has no midnight
		{"Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},     // before a day that was skipped
		{"Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z"},     // that day
		{"Europe/Paris", "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},     // 25 hours
		{"Asia/Beirut", "2026-10-24", "2026-10-23T21:00:00Z", "2026-10-24T22:00:00Z"},      // set back at midnight, before it
	} {
		zone, err := sandtrail.ParseLocation(test.zone)
		if err != nil {
			t.Fatal(err)
		}
		begins, err := sandtrail.ParseDate(test.day, zone)
		if err != nil {
			t.Fatal(err)
		}
		next, err := sandtrail.ParseDate(mustDate(t, test.day).AddDate(0, 0, 1).Format(time.DateOnly), zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := begins.UTC().Format(time.RFC3339); got != test.begins {
			t.Errorf("%s of %s begins at %s, want %s", test.day, test.zone, got, test.begins)
		}
		if got := next.UTC().Format(time.RFC3339); got != test.ends {
			t.Errorf("%s of %s ends at %s, want %s", test.day, test.zone, got, test.ends)
		}
		q := sandtrail.TrendQuery{Since: begins.Add(-time.Hour), Until: next.Add(time.Hour), Location: zone}
		edges, err := q.Edges()
		if err != nil {
			t.Fatal(err)
		}
		for _, edge := range edges[1 : len(edges)-1] {
			if before, after := q.Label(edge.Add(-time.Millisecond)), q.Label(edge); before >= after {
				t.Errorf("%s: %s is an edge between %s and %s", test.zone, edge, before, after)
			}
		}
	}
}

func mustDate(t *testing.T, text string) time.Time {
	t.Helper()
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t.Fatal(err)
	}
	return day
}
