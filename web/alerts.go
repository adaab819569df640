package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sandtrail/sandtrail"
)

type alertsPage struct {
	*frame
	Rules []ruleState
}

// ruleState is a rule, what it says now, and what it would have said about
// each hour of the last week.
type ruleState struct {
	sandtrail.Verdict
	Condition string
	Value     string
	History   []cell
	Hours     int // how many of them it would have fired in
}

func alerts(v *view) error {
	p := alertsPage{frame: v.frame("Alerts", "alerts")}
	p.Refresh = true
	verdicts, err := v.verdicts()
	if err != nil {
		return err
	}
	for _, verdict := range verdicts {
		state := ruleState{Verdict: verdict, Condition: condition(verdict.Rule), Value: metricValue(verdict)}
		if err := state.look(v, p.frame); err != nil {
			return err
		}
		p.Rules = append(p.Rules, state)
	}
	v.render(http.StatusOK, "alerts", p)
	return nil
}

func condition(r sandtrail.Rule) string {
	window := sandtrail.FormatDuration(r.Window)
	threshold := strconv.FormatFloat(r.Threshold, 'f', -1, 64)
	switch r.Metric {
	case sandtrail.FailureRate:
		return fmt.Sprintf("fires when more than %s %% of the executions of the last %s failed", threshold, window)
	case sandtrail.TimeoutRate:
		return fmt.Sprintf("fires when more than %s %% of the executions of the last %s timed out", threshold, window)
	case sandtrail.P95Time:
		return fmt.Sprintf("fires when the slowest 5 %% of the executions of the last %s took more than %s", window, formatMillis(&r.Threshold))
	}
	return fmt.Sprintf("fires when the last %s saw no executions", window)
}

func metricValue(v sandtrail.Verdict) string {
	switch v.Rule.Metric {
	case sandtrail.FailureRate, sandtrail.TimeoutRate:
		return formatPercent(v.Value)
	case sandtrail.P95Time:
		return formatMillis(v.Value)
	}
	return plural(int(v.Stats.Total), "execution")
}

// look applies the rule to each hour of the last week.
func (s *ruleState) look(v *view, f *frame) error {
	const hours = 7 * 24
	until := sandtrail.Millisecond(v.now).Add(time.Millisecond)
	q := sandtrail.TrendQuery{
		Since: until.Add(-hours * time.Hour), Until: until, Location: v.loc, Bucket: sandtrail.Hour,
		UserID: s.Rule.UserID, StrategyID: s.Rule.StrategyID,
	}
	buckets, err := v.store.trends(v.r.Context(), q)
	if err != nil {
		return err
	}
	chart, err := newChart(q, buckets, nil)
	if err != nil {
		return err
	}
	hourly := s.Rule
	hourly.Window = time.Hour
	slices.Reverse(buckets)
	for i, b := range buckets {
		verdict := hourly.Evaluate(sandtrail.WindowStats{
			Total: b.Total, Successful: b.Successful, Failed: b.Failed, TimedOut: b.TimedOut,
			AvgTime: b.AvgTime, AvgMemory: b.AvgMemory, P95Time: b.P95Time,
		})
		slot := chart.Slots[i]
		c := cell{X: slot.X, Width: slot.Width, Y: "60%", Height: "40%", Outcome: succeeded, Href: slot.Href}
		c.Title = slot.Label + ": " + metricValue(verdict)
		switch {
		case verdict.Firing:
			c.Y, c.Height, c.Outcome = "0%", "100%", failed
			s.Hours++
		case b.Total == 0:
			c.Y, c.Height, c.Outcome = "90%", "10%", outcome{"none", "No executions"}
		}
		s.History = append(s.History, c)
	}
	return nil
}
