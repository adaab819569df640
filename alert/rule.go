package alert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Rule is a condition on a window of executions, of which channels are told.
type Rule struct {
	Name      string        `json:"name"`
	Metric    Metric        `json:"metric"`
	Window    time.Duration `json:"-"`         // looked back from now
	Threshold float64       `json:"threshold"` // fires strictly above it
	// ResolveAt keeps a rule that hovers around its threshold from coming and
	// going: once it fires it goes on until the metric is at or below it.
	// nil: Threshold.
	ResolveAt  *float64      `json:"resolveAt,omitempty"`
	For        time.Duration `json:"-"`         // fires when the condition has held that long; 0: at once
	MinSample  int64         `json:"minSample"` // fewer executions never fire; 0: DefaultMinSample
	UserID     string        `json:"userId,omitempty"`
	StrategyID string        `json:"strategyId,omitempty"`
}

// Metric is what a rule measures.
type Metric string

// The metrics.
const (
	FailureRate  Metric = "failureRate"  // percent
	TimeoutRate  Metric = "timeoutRate"  // percent
	P95Time      Metric = "p95Time"      // milliseconds
	NoExecutions Metric = "noExecutions" // fires when the window is empty
)

// DefaultMinSample guards rules against verdicts over a handful of executions.
const DefaultMinSample = 10

// DefaultRule fires when more than 30 % of the executions of the last hour failed.
// One execution is enough for it: docs/decisions/alert-minimum-sample.md says why.
func DefaultRule() Rule {
	return Rule{Name: "high-failure-rate", Metric: FailureRate, Window: time.Hour, Threshold: 30, MinSample: 1}
}

// Verdict is what a rule says about a window.
type Verdict struct {
	Rule    Rule                  `json:"rule"`
	Firing  bool                  `json:"firing"`
	Value   *float64              `json:"value"` // of the metric; nil over nothing
	Stats   sandtrail.WindowStats `json:"stats"`
	Message string                `json:"message"`
}

// Evaluate applies the rule to the statistics of its window.
func (r Rule) Evaluate(stats sandtrail.WindowStats) Verdict {
	minSample := r.MinSample
	if minSample == 0 {
		minSample = DefaultMinSample
	}
	v := Verdict{Rule: r, Stats: stats}
	switch r.Metric {
	case FailureRate:
		v.Value = stats.FailureRate()
	case TimeoutRate:
		v.Value = sandtrail.Rate(stats.TimedOut, stats.Total)
	case P95Time:
		v.Value = stats.P95Time
	case NoExecutions:
		total := float64(stats.Total)
		v.Value = &total
		v.Firing = stats.Total == 0
	}
	if r.Metric != NoExecutions {
		v.Firing = v.Value != nil && stats.Total >= minSample && *v.Value > r.Threshold
	}
	v.Message = r.describe(v)
	return v
}

// Holds reports whether the rule's condition holds. Where the rule fires already, that
// lasts until the metric is at or below ResolveAt.
func (v Verdict) Holds(fires bool) bool {
	if v.Firing || !fires || v.Rule.ResolveAt == nil || v.Rule.Metric == NoExecutions {
		return v.Firing
	}
	return v.Value != nil && *v.Value > *v.Rule.ResolveAt
}

func (r Rule) describe(v Verdict) string {
	window := sandtrail.FormatDuration(r.Window)
	switch {
	case v.Stats.Total == 0 || v.Value == nil:
		return fmt.Sprintf("%s: no executions in the last %s", r.Name, window)
	case r.Metric == FailureRate:
		return fmt.Sprintf("%s: %.3g %% of the executions of the last %s failed (%d of %d, threshold %g %%)",
			r.Name, *v.Value, window, v.Stats.Failed, v.Stats.Total, r.Threshold)
	case r.Metric == TimeoutRate:
		return fmt.Sprintf("%s: %.3g %% of the executions of the last %s timed out (%d of %d, threshold %g %%)",
			r.Name, *v.Value, window, v.Stats.TimedOut, v.Stats.Total, r.Threshold)
	case r.Metric == P95Time:
		return fmt.Sprintf("%s: p95 execution time of the last %s: %s (threshold %s)", r.Name, window, wordMillis(*v.Value), wordMillis(r.Threshold))
	case v.Stats.Total == 1:
		return fmt.Sprintf("%s: 1 execution in the last %s", r.Name, window)
	}
	return fmt.Sprintf("%s: %d executions in the last %s", r.Name, v.Stats.Total, window)
}

// wordMillis writes milliseconds as FormatDuration does, to the hundredth of a
// second.
func wordMillis(ms float64) string {
	d := time.Duration(min(ms, sandtrail.MaxInt)) * time.Millisecond
	if d > time.Second {
		d = d.Round(10 * time.Millisecond)
	}
	return sandtrail.FormatDuration(d)
}

// At is the window that the rule looks at at that time. It reaches a little
// into the future, as the clocks of recorders may be ahead of ours.
func (r Rule) At(now time.Time) sandtrail.Window {
	return sandtrail.Window{Since: now.Add(-r.Window), Until: now.Add(sandtrail.MaxClockSkew), UserID: r.UserID, StrategyID: r.StrategyID}
}

// Validate reports every broken rule as an *Error of CodeInvalid.
func (r Rule) Validate() error {
	var p sandtrail.Faults
	p.Key("name", r.Name)
	switch r.Metric {
	case FailureRate, TimeoutRate, P95Time, NoExecutions:
	default:
		p.Addf("metric", "must be failureRate, timeoutRate, p95Time or noExecutions, got %q", r.Metric)
	}
	if r.Window <= 0 {
		p.Addf("window", "must be a duration such as 1h")
	}
	if !(r.Threshold >= 0) {
		p.Addf("threshold", "must be a number of at least 0, got %v", r.Threshold)
	}
	if r.ResolveAt != nil && !(*r.ResolveAt >= 0 && *r.ResolveAt <= r.Threshold) {
		p.Addf("resolveAt", "must be a number from 0 to the threshold, got %v", *r.ResolveAt)
	}
	if r.For < 0 {
		p.Addf("for", "must be a duration such as 5m")
	}
	if r.MinSample < 0 {
		p.Addf("minSample", "must be a number of at least 0, got %d", r.MinSample)
	}
	p.OptionalKey("userId", r.UserID)
	p.OptionalKey("strategyId", r.StrategyID)
	return p.Err("invalid alert rule")
}

// ParseRules reads a JSON array of rules, whose window and for are written as
// in "1h", and names every fault by its path.
func ParseRules(raw []byte) ([]Rule, error) {
	var forms []struct {
		Rule
		Window string `json:"window"`
		For    string `json:"for"`
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&forms); err != nil {
		return nil, &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "not an array of alert rules: " + err.Error(), Err: err}
	}
	rules, names := make([]Rule, len(forms)), map[string]bool{}
	var p sandtrail.Faults
	for i, form := range forms {
		rules[i] = form.Rule
		rules[i].Window, _ = sandtrail.ParseDuration(form.Window) // 0 is refused below
		if form.For != "" {
			var err error
			if rules[i].For, err = sandtrail.ParseDuration(form.For); err != nil {
				rules[i].For = -1 // refused below
			}
		}
		if names[form.Name] {
			p.Addf(fmt.Sprintf("[%d].name", i), "%q is the name of an earlier rule", form.Name)
		}
		names[form.Name] = true
		p.Add(fmt.Sprintf("[%d]", i), rules[i].Validate())
	}
	return rules, p.Err("invalid alert rules")
}

// CheckRule refuses the name of a rule that is not among those that are known,
// and says which are. "" means all of them.
func CheckRule(name string, known []string) error {
	if name == "" || slices.Contains(known, name) {
		return nil
	}
	return sandtrail.Errorf(sandtrail.CodeInvalid, "there is no rule %q; known are: %s", name, strings.Join(known, ", "))
}
