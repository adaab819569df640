package sandtrail_test

import (
	"archive/zip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
)

// everyZone lists the zones of Go's own database, which the binary carries.
func everyZone(t *testing.T) (zones []*time.Location) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib/time/zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	for _, f := range archive.File {
		if zone, err := sandtrail.ParseLocation(f.Name); err == nil && !strings.HasSuffix(f.Name, "/") {
			zones = append(zones, zone)
		}
	}
	if len(zones) < 400 {
		t.Fatalf("only %d zones", len(zones))
	}
	return zones
}

// TestTrendsEndWithToday asks for trends around the midnights of every zone.
func TestTrendsEndWithToday(t *testing.T) {
	for _, zone := range everyZone(t) {
		for month := range time.Month(12) {
			midnight := time.Date(2026, month+1, 15, 0, 0, 0, 0, zone)
			for _, before := range []time.Duration{5 * time.Minute, time.Minute, time.Millisecond, 0, -time.Millisecond, -5 * time.Minute} {
				now := midnight.Add(-before)
				for _, bucket := range []sandtrail.Bucket{sandtrail.Day, sandtrail.Hour} {
					q := sandtrail.TrendQuery{Location: zone, Bucket: bucket}
					q.Since, q.Until = sandtrail.LastDays(now, 1)
					edges, err := q.Edges()
					if err != nil {
						t.Fatal(err)
					}
					if got, want := q.Label(edges[len(edges)-2]), q.Label(now); got != want {
						t.Errorf("%s, at %s: the newest %s is %s, want %s", zone, now, bucket, got, want)
					}
				}
			}
		}
	}
}
