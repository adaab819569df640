package alert_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
)

func TestParseRules(t *testing.T) {
	got, err := alert.ParseRules([]byte(`[
		{"name":"slow","metric":"p95Time","window":"1d","threshold":5000,"minSample":20,"strategyId":"s1"},
		{"name":"silent","metric":"noExecutions","window":"6h"}]`))
	want := []alert.Rule{
		{Name: "slow", Metric: alert.P95Time, Window: 24 * time.Hour, Threshold: 5000, MinSample: 20, StrategyID: "s1"},
		{Name: "silent", Metric: alert.NoExecutions, Window: 6 * time.Hour},
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
		_, err := alert.ParseRules([]byte(raw))
		if sandtrail.CodeOf(err) != sandtrail.CodeInvalid {
			t.Errorf("%s: got %v, want CodeInvalid", raw, err)
		}
		if diff := cmp.Diff(want, paths(err)); diff != "" {
			t.Errorf("%s:\n%s", raw, diff)
		}
	}
}

func TestVerdictsAreWorded(t *testing.T) {
	stats := sandtrail.WindowStats{Total: 40, Successful: 39, Failed: 1, P95Time: new(3262.4)}
	for want, rule := range map[string]alert.Rule{
		"r: 2.5 % of the executions of the last 1h failed (1 of 40, threshold 30 %)": {Metric: alert.FailureRate, Threshold: 30},
		"r: 0 % of the executions of the last 1h timed out (0 of 40, threshold 5 %)": {Metric: alert.TimeoutRate, Threshold: 5},
		"r: p95 execution time of the last 1h: 3.26s (threshold 2s)":                 {Metric: alert.P95Time, Threshold: 2000},
		"r: 40 executions in the last 1h":                                            {Metric: alert.NoExecutions},
	} {
		rule.Name, rule.Window = "r", time.Hour
		if got := rule.Evaluate(stats).Message; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := rule.Evaluate(sandtrail.WindowStats{}).Message; got != "r: no executions in the last 1h" {
			t.Errorf("of nothing: %q", got)
		}
	}
}

func TestVerdictHolds(t *testing.T) {
	patient := alert.Rule{Metric: alert.FailureRate, Window: time.Hour, Threshold: 30, ResolveAt: new(20.0)}
	for _, test := range []struct {
		name   string
		rule   alert.Rule
		failed int64 // of 100
		fires  bool  // before
		want   bool
	}{
		{"above the threshold", patient, 31, false, true},
		{"between, quiet", patient, 25, false, false},
		{"between, firing", patient, 25, true, true},
		{"at the end", patient, 20, true, false},
		{"without hysteresis", alert.Rule{Metric: alert.FailureRate, Threshold: 30}, 25, true, false},
		{"of nothing at all", alert.Rule{Metric: alert.NoExecutions, ResolveAt: new(0.0)}, 0, true, false},
	} {
		v := test.rule.Evaluate(sandtrail.WindowStats{Total: 100, Failed: test.failed, Successful: 100 - test.failed})
		if got := v.Holds(test.fires); got != test.want {
			t.Errorf("%s: holds %t, want %t", test.name, got, test.want)
		}
	}
	if v := patient.Evaluate(sandtrail.WindowStats{}); v.Holds(true) {
		t.Error("a rule goes on over nothing")
	}
}

func TestParseRulesWithPatience(t *testing.T) {
	rules, err := alert.ParseRules([]byte(`[{"name":"a","metric":"failureRate","window":"1h","threshold":30,"resolveAt":20,"for":"5m"}]`))
	if err != nil || len(rules) != 1 || rules[0].For != 5*time.Minute || *rules[0].ResolveAt != 20 {
		t.Errorf("got %+v, %v", rules, err)
	}
	_, err = alert.ParseRules([]byte(`[{"name":"a","metric":"failureRate","window":"1h","threshold":30,"resolveAt":40,"for":"soon"}]`))
	if diff := cmp.Diff([]string{"[0].resolveAt", "[0].for"}, paths(err)); diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// paths are those of an error's fields.
func paths(err error) (found []string) {
	var coded *sandtrail.Error
	if errors.As(err, &coded) {
		for _, f := range coded.Fields {
			found = append(found, f.Path)
		}
	}
	return found
}
