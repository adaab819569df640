package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

// Alerts is what is kept about alerts; both stores keep it.
type Alerts interface {
	AlertStates(ctx context.Context) ([]sandtrail.AlertState, error)
	AlertEvents(ctx context.Context, before sandtrail.ID, limit int) ([]sandtrail.AlertEvent, error)
	Silences(ctx context.Context, since time.Time) ([]sandtrail.Silence, error)
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
	sandtrail.Silence
	Ends stamp
}

type eventRow struct {
	sandtrail.AlertEvent
	When       stamp
	Deliveries []deliveryRow
}

type deliveryRow struct {
	sandtrail.AlertDelivery
	When stamp
}

// ruleState is a rule, what it says now, and what it would have said about
// each hour of the last week.
type ruleState struct {
	sandtrail.Verdict
	Condition string
	Value     string
	History   []cell
	Hours     int // how many of them it would have fired in

	Told     bool  // as the server's evaluations have it, which tell people
	Since    stamp // when Told began
	Waits    stamp // since when the condition holds of a rule that has yet to fire
	Silenced *silenceRow
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

// remember fills in what is kept about alerts, which is for readers who see
// everybody's records.
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
		p.Silences = append(p.Silences, silenceRow{s, p.Stamp(s.Until)})
	}
	for i := range p.Rules {
		p.Rules[i].recall(p, states, v.now)
	}
	return p.events(v)
}

func (s *ruleState) recall(p *alertsPage, states []sandtrail.AlertState, now time.Time) {
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
		row := eventRow{AlertEvent: e, When: p.Stamp(e.At)}
		row.Message = ruleWords(e.Rule, e.Message)
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

func condition(r sandtrail.Rule) string {
	text := baseCondition(r)
	if r.For > 0 {
		text += ", for " + sandtrail.FormatDuration(r.For)
	}
	if r.ResolveAt != nil {
		text += ", and ends at " + strconv.FormatFloat(*r.ResolveAt, 'f', -1, 64)
	}
	return text
}

// ruleWords is what a rule's message says, beside the rule's name.
func ruleWords(rule, message string) string {
	return strings.ReplaceAll(strings.TrimPrefix(message, rule+": "), " %", nb+"%")
}

func baseCondition(r sandtrail.Rule) string {
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
func (s *ruleState) look(v *view) error {
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
