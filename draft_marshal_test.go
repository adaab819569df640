package sandtrail_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
)

func TestDraftSurvivesItsJSON(t *testing.T) {
	yes, ms, mib, cpu := true, 12, 34, 56.5
	now := time.Date(2026, 11, 24, 9, 30, 0, 123e6, time.UTC)
	tests := map[string]sandtrail.Draft{
		"nothing given": {UserID: "u", StrategyID: "s", Type: sandtrail.Validation},
		"everything given": {
			ID: sandtrail.NewID(now), UserID: "ü", StrategyID: "s,\"", Type: sandtrail.Terminal,
			Success: &yes, ExecutionTime: &ms, MemoryUsed: &mib, CPUUsage: &cpu, TimedOut: true,
			ErrorCount: &ms, WarningCount: &mib, Classes: []string{"A", "B"},
			Metadata: json.RawMessage(`{"run":{"exitCode":0}}`), CreatedAt: now,
		},
		"no classes": {UserID: "u", StrategyID: "s", Type: sandtrail.Validation, Classes: []string{}},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			raw, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			var got sandtrail.Draft
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", raw, diff)
			}
		})
	}
}
