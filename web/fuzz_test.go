package web

// This file uses no other test file: scripts/fuzz compiles it alone, without
// the stores that the other tests start.

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
)

// FuzzAddress reads filters and windows from any address.
func FuzzAddress(f *testing.F) {
	f.Add("outcome=failed&within=24h&since=2026-11-24T09:30&minTime=2s", "Europe/Paris")
	f.Add("window=custom&since=0001-01-01&until=9999-12-31T23:59", "UTC")
	now := time.Date(2026, 11, 26, 9, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, query, zone string) {
		loc, err := sandtrail.ParseLocation(zone)
		if err != nil {
			loc = time.UTC
		}
		u := &url.URL{Path: "/executions", RawQuery: query}
		form := readForm(u.Query())
		filter, err := form.filter(loc)
		if err == nil {
			if _, err := (sandtrail.Query{Filter: filter}).Plan(now); err != nil && !strings.Contains(err.Error(), "within") && utf8Text(form) {
				t.Errorf("the form takes what the store refuses: %v", err)
			}
			if _, err := readForm(exportQuery(filter, now)).filter(loc); err != nil {
				t.Errorf("the API's form of the filter is refused: %v", err)
			}
		}
		w := readWindow(u, "24h", now, loc)
		q := sandtrail.TrendQuery{Since: w.Since, Until: w.Until, Location: loc, Bucket: w.bucket()}
		if _, err := q.Edges(); err != nil {
			t.Errorf("window %s to %s: %v", w.Since, w.Until, err)
		}
	})
}

// utf8Text reports whether the store takes the texts of the form.
func utf8Text(f filterForm) bool {
	for _, s := range []string{f.User, f.Strategy, f.Text} {
		if strings.ContainsRune(s, 0) || !json.Valid(mustJSON(s)) || strings.ToValidUTF8(s, "") != s || len(s) > sandtrail.MaxNameBytes {
			return false
		}
	}
	return true
}

func mustJSON(s string) []byte { b, _ := json.Marshal(s); return b }

func FuzzTree(f *testing.F) {
	f.Add([]byte(`{"run":{"status":"exited","cpuTime":12,"limits":{"timeout":30000}}}`))
	f.Add([]byte(strings.Repeat("[", 200) + strings.Repeat("]", 200)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tree := parseTree(raw)
		if (tree != nil) != json.Valid(raw) {
			t.Fatal("a tree is made of exactly what is valid JSON")
		}
		runFacts(tree)
	})
}
