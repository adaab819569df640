package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/human"
)

// Alerts is what is kept about alerts; both stores keep it.
type Alerts interface {
	AlertStates(ctx context.Context) ([]alert.State, error)
	AlertEvents(ctx context.Context, before sandtrail.ID, limit int) ([]alert.Event, error)
	Silences(ctx context.Context, since time.Time) ([]alert.Silence, error)
}

type alertsPage struct {
	*frame
	Rules    []ruleState
	Silences []silenceRow // that last
	Events   []eventRow
	Kept     bool // there is a history to show
	First    bool // the newest of it
	Next     string
	Changes  bool // the reader may silence rules
}

type silenceRow struct {
	alert.Silence
	Ends stamp
	Left string // how long it still lasts
}

type eventRow struct {
	alert.Event
	When       stamp
	Deliveries []deliveryRow
}

type deliveryRow struct {
	alert.Delivery
	When stamp
}

// ruleState is a rule, what it says now, and what it would have said about
// each hour of the last week.
type ruleState struct {
	alert.Verdict
	Condition string
	Value     string
	History   []cell
	Hours     int // how many of them it would have fired in

	Told     bool  // as the server's evaluations have it, which tell people
	Since    stamp // when Told began
	Waits    stamp // since when the condition holds of a rule that has yet to fire
	Silenced *silenceRow
	Missing  bool // the rule's user or strategy does not exist
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
		if err := state.look(v); err != nil {
			return err
		}
		p.Rules = append(p.Rules, state)
	}
	if v.Alerts != nil && v.who.UserID == "" {
		if err := p.remember(v); err != nil {
			return err
		}
	}
	v.render(http.StatusOK, "alerts", p)
	return nil
}

// remember fills in the states and history of alerts, for readers who may see all
// records.
func (p *alertsPage) remember(v *view) error {
	ctx := v.r.Context()
	p.Kept, p.Changes = true, v.API != nil && v.who.administers()
	states, err := v.Alerts.AlertStates(ctx)
	if err != nil {
		return err
	}
	silences, err := v.Alerts.Silences(ctx, v.now)
	if err != nil {
		return err
	}
	for _, s := range silences {
		p.Silences = append(p.Silences, silenceRow{s, p.Stamp(s.Until), joined(human.Span(s.Until.Sub(v.now)))})
	}
	for i := range p.Rules {
		p.Rules[i].recall(p, states, v.now)
	}
	return p.events(v)
}

func (s *ruleState) recall(p *alertsPage, states []alert.State, now time.Time) {
	for _, state := range states {
		if state.Rule != s.Rule.Name {
			continue
		}
		s.Told, s.Since = state.Firing, p.Stamp(state.Since)
		if state.HoldsSince != nil && !state.Firing {
			s.Waits = p.Stamp(*state.HoldsSince)
		}
	}
	for i, quiet := range p.Silences {
		if quiet.Covers(s.Rule.Name, now) {
			s.Silenced = &p.Silences[i]
		}
	}
}

// eventsPerPage is how much of the history is shown at once.
const eventsPerPage = 20

func (p *alertsPage) events(v *view) error {
	var before sandtrail.ID
	if cursor := v.r.URL.Query().Get("before"); cursor != "" {
		if err := before.UnmarshalText([]byte(cursor)); err != nil {
			return sandtrail.Errorf(sandtrail.CodeInvalid, "%q is no place in the history; start again without it.", cursor)
		}
	}
	p.First = before.IsZero()
	events, err := v.Alerts.AlertEvents(v.r.Context(), before, eventsPerPage)
	for _, e := range events {
		row := eventRow{Event: e, When: p.Stamp(e.At)}
		row.Message = strings.TrimPrefix(e.Message, e.Rule+": ")
		for _, d := range e.Deliveries {
			row.Deliveries = append(row.Deliveries, deliveryRow{d, p.Stamp(d.At)})
		}
		p.Events = append(p.Events, row)
	}
	if len(events) == eventsPerPage {
		p.Next = address("/alerts", url.Values{"before": {events[len(events)-1].ID.String()}})
	}
	return err
}

func silence(v *view) error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, 16<<10)
	asked := api.NewSilence{
		Rule: v.r.PostFormValue("rule"), For: v.r.PostFormValue("for"), Reason: strings.TrimSpace(v.r.PostFormValue("reason")),
	}
	return v.act("/alerts", http.MethodPost, "/v1/alerts/silences", asked)
}

func endSilence(v *view) error {
	return v.act("/alerts", http.MethodDelete, "/v1/alerts/silences/"+url.PathEscape(v.r.PathValue("id")), nil)
}

func condition(r alert.Rule) string {
	text := baseCondition(r)
	if r.For > 0 {
		text += ", for " + sandtrail.FormatDuration(r.For)
	}
	if r.ResolveAt != nil {
		text += ", and ends at " + metric(r, *r.ResolveAt)
	}
	return text
}

// metric writes a value of what the rule measures.
func metric(r alert.Rule, value float64) string {
	switch r.Metric {
	case alert.FailureRate, alert.TimeoutRate:
		return formatPercent(&value)
	case alert.P95Time:
		return formatMillis(&value)
	}
	return plural(int64(value), "execution")
}

func baseCondition(r alert.Rule) string {
	window, threshold := sandtrail.FormatDuration(r.Window), metric(r, r.Threshold)
	switch r.Metric {
	case alert.FailureRate:
		return fmt.Sprintf("fires when more than %s of the executions of the last %s failed", threshold, window)
	case alert.TimeoutRate:
		return fmt.Sprintf("fires when more than %s of the executions of the last %s timed out", threshold, window)
	case alert.P95Time:
		return fmt.Sprintf("fires when the p95 execution time of the last %s is more than %s", window, threshold)
	}
	return fmt.Sprintf("fires when the last %s saw no executions", window)
}

// verdictWords is what a rule says now, beside the rule's name.
func verdictWords(v alert.Verdict) string {
	window := sandtrail.FormatDuration(v.Rule.Window)
	of := func(part int64) string {
		return fmt.Sprintf("%s of %s, threshold %s", human.Count(part), human.Count(v.Stats.Total), metric(v.Rule, v.Rule.Threshold))
	}
	switch {
	case v.Stats.Total == 0:
		return "no executions in the last " + window
	case v.Rule.Metric == alert.FailureRate:
		return fmt.Sprintf("%s of the executions of the last %s failed (%s)", metricValue(v), window, of(v.Stats.Failed))
	case v.Rule.Metric == alert.TimeoutRate:
		return fmt.Sprintf("%s of the executions of the last %s timed out (%s)", metricValue(v), window, of(v.Stats.TimedOut))
	case v.Rule.Metric == alert.P95Time:
		return fmt.Sprintf("p95 execution time of the last %s: %s (threshold %s)", window, metricValue(v), metric(v.Rule, v.Rule.Threshold))
	}
	return fmt.Sprintf("%s in the last %s", metricValue(v), window)
}

func metricValue(v alert.Verdict) string {
	if v.Value == nil {
		return human.None
	}
	return metric(v.Rule, *v.Value)
}

// look applies the rule to each hour of the last week.
func (s *ruleState) look(v *view) error {
	const hours = 7 * 24
	until := sandtrail.Millisecond(v.now).Add(time.Millisecond)
	q := sandtrail.TrendQuery{
		Since: until.Add(-hours * time.Hour), Until: until, Location: v.loc, Bucket: sandtrail.Hour,
		UserID: s.Rule.UserID, StrategyID: s.Rule.StrategyID,
	}
	buckets, err := v.store.trends(v.r.Context(), q)
	if sandtrail.CodeOf(err) == sandtrail.CodeNotFound {
		s.Missing = true
		return nil
	}
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
