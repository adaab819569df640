package sandtrail_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
)

func TestTimesOfAnyYear(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-11-24T12:00:00.001Z":    time.Date(2026, 11, 24, 12, 0, 0, 1e6, time.UTC),
		"0000-01-01T00:00:00Z":        time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		"9999-12-31T23:59:59.999Z":    time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
		"+010000-01-01T00:00:00Z":     time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"+294276-12-31T23:59:59.999Z": time.Date(294276, 12, 31, 23, 59, 59, 999e6, time.UTC),
		"-000043-03-15T12:00:00Z":     time.Date(-43, 3, 15, 12, 0, 0, 0, time.UTC),
		"-004712-02-29T00:00:00Z":     time.Date(-4712, 2, 29, 0, 0, 0, 0, time.UTC),
	} {
		if got := (sandtrail.Time{Time: want}).String(); got != text {
			t.Errorf("%v is written as %s, want %s", want, got, text)
		}
		raw, err := json.Marshal(sandtrail.Execution{CreatedAt: want})
		if err != nil || !strings.Contains(string(raw), `"createdAt":"`+text+`"`) {
			t.Errorf("%s: %v, %s", text, err, raw)
		}
		var e sandtrail.Execution
		if err := json.Unmarshal(raw, &e); err != nil || !e.CreatedAt.Equal(want) {
			t.Errorf("%s is read as %v, %v", text, e.CreatedAt, err)
		}
	}
	for _, text := range []string{"", "+", "+10000-01-01T00:00:00Z", "+012345-02-29T00:00:00Z", "+0x0001-01-01T00:00:00Z", "-000043-03-15"} {
		var got sandtrail.Time
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
