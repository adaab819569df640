package sandtrail_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
)

func TestCutoff(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	keep := func(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }
	for name, test := range map[string]struct {
		periods sandtrail.Periods
		says    string
		windows []sandtrail.Window
		old     bool // all before the 10th but that of
		except  []string
	}{
		"nothing": {says: "never", windows: []sandtrail.Window{{}}},
		"all": {
			periods: sandtrail.Periods{Keep: keep(10)}, says: "before 2026-11-20T00:00:00Z",
			windows: []sandtrail.Window{{Until: day(20)}}, old: true,
		},
		"a type for longer": {
			periods: sandtrail.Periods{Keep: keep(10), Types: map[sandtrail.ExecutionType]time.Duration{sandtrail.Terminal: keep(25)}},
			says:    "before 2026-11-20T00:00:00Z, type TERMINAL before 2026-11-05T00:00:00Z", windows: []sandtrail.Window{{Until: day(20)}},
		},
		"strategies for longer and shorter": {
			periods: sandtrail.Periods{Keep: keep(10), Strategies: map[string]time.Duration{"kept": 0, "brief": keep(1), "most": keep(20)}},
			says:    "before 2026-11-20T00:00:00Z, strategy brief before 2026-11-29T00:00:00Z, strategy kept never, strategy most before 2026-11-10T00:00:00Z",
			windows: []sandtrail.Window{{Until: day(20)}, {StrategyID: "brief", Until: day(29)}}, old: true, except: []string{"kept"},
		},
		"a strategy alone": {
			periods: sandtrail.Periods{Strategies: map[string]time.Duration{"brief": keep(1)}}, says: "never, strategy brief before 2026-11-29T00:00:00Z",
			windows: []sandtrail.Window{{}, {StrategyID: "brief", Until: day(29)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := test.periods.Cutoff(day(30))
			if got := c.String(); got != test.says {
				t.Errorf("says %q, want %q", got, test.says)
			}
			if diff := cmp.Diff(test.windows, c.Windows()); diff != "" {
				t.Errorf("windows (-want +got)\n%s", diff)
			}
			if old, except := c.AllBefore(day(10)); old != test.old || cmp.Diff(test.except, except) != "" {
				t.Errorf("old before the 10th: %v except %q", old, except)
			}
			if got, want := test.periods.Removes(), name != "nothing"; got != want {
				t.Errorf("removes: %v", got)
			}
		})
	}
}
