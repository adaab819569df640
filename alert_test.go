package sandtrail_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
)

func TestParseRules(t *testing.T) {
	got, err := sandtrail.ParseRules([]byte(`[
		{"name":"slow","metric":"p95Time","window":"1d","threshold":5000,"minSample":20,"strategyId":"s1"},
		{"name":"silent","metric":"noExecutions","window":"6h"}]`))
	want := []sandtrail.Rule{
		{Name: "slow", Metric: sandtrail.P95Time, Window: 24 * time.Hour, Threshold: 5000, MinSample: 20, StrategyID: "s1"},
		{Name: "silent", Metric: sandtrail.NoExecutions, Window: 6 * time.Hour},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestParseRulesNamesEveryFault(t *testing.T) {
	for raw, want := range map[string][]string{
		``:            nil,
		`{}`:          nil,
		`[{"nam":1}]`: nil,
		`[{"name":"a","metric":"failureRate","window":"1h"},{"name":"a","metric":"x","window":"soon","threshold":-1,"minSample":-1}]`: {
			"[1].name", "[1].metric", "[1].window", "[1].threshold", "[1].minSample",
		},
		`[{"metric":"failureRate","window":"1h"}]`: {"[0].name"},
	} {
		_, err := sandtrail.ParseRules([]byte(raw))
		if sandtrail.CodeOf(err) != sandtrail.CodeInvalid {
			t.Errorf("%s: got %v, want CodeInvalid", raw, err)
		}
		if diff := cmp.Diff(want, paths(err)); diff != "" {
			t.Errorf("%s:\n%s", raw, diff)
		}
	}
}
