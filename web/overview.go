package web

import (
	"math"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/internal/human"
)

type overviewPage struct {
	*frame
	Window  window
	Tiles   []tile
	Chart   chart
	Charted string // what time the chart shows
	Failing []rankRow
	Busiest []rankRow
	Alerts  []alert.Verdict // those that fire
	Calm    []alert.Verdict
	Last    *row // the newest execution of all

	Integrity *integrity
}

// tile is one figure of the window beside that of the window before.
type tile struct {
	Label, Value, Note string
	Delta              delta
	Spark              spark
	Href               string
}

// delta is a change: up, down or same, and whether that is good or bad.
type delta struct {
	Text, Way, Tone string
}

// rankRow is one line of a ranking.
type rankRow struct {
	sandtrail.Rank
	Rate  *float64 // of failures
	Bar   string   // width of the part that failed
	Width string   // width of the line's total, against the longest
	Href  string
	List  string // its executions
}

func overview(v *view) error {
	p := overviewPage{frame: v.frame("Overview", "overview"), Window: readWindow(v.r.URL, "24h", v.now, v.loc)}
	p.Refresh = p.Window.Name != "custom"
	newest, err := v.store.executions(v.r.Context(), sandtrail.Query{Limit: 1})
	if err != nil {
		return err
	}
	if len(newest.Items) > 0 {
		p.Last = new(v.row(p.frame, newest.Items[0]))
	}
	var questions errgroup.Group // of which none needs another's answer
	for _, fill := range []func(*view) error{p.trend, p.rankings, p.alarms} {
		questions.Go(func() error { return fill(v) })
	}
	if err := questions.Wait(); err != nil {
		return err
	}
	if p.Integrity, err = v.integrity(p.frame); err != nil {
		return err
	}
	if err := v.Store.Ping(v.r.Context()); err != nil {
		return err
	}
	v.render(http.StatusOK, "overview", p)
	return nil
}

// trend fills the chart and the tiles.
func (p *overviewPage) trend(v *view) error {
	w := p.Window
	now, err := v.store.window(v.r.Context(), sandtrail.Window{Since: w.Since, Until: w.Until})
	if err != nil {
		return err
	}
	then, err := v.store.window(v.r.Context(), w.before())
	if err != nil {
		return err
	}
	p.Charted = w.Words()
	if w.Name == "1h" { // an hour has no shape; its day has one
		w.Since, p.Charted = w.Until.Add(-24*time.Hour), "the last 24 hours"
	}
	q := sandtrail.TrendQuery{Since: w.Since, Until: w.Until, Location: v.loc, Bucket: w.bucket()}
	buckets, err := v.store.trends(v.r.Context(), q)
	if err != nil {
		return err
	}
	if p.Chart, err = newChart(q, buckets, nil); err != nil {
		return err
	}
	p.Tiles = tiles(w, now, then, buckets)
	return nil
}

func tiles(w window, now, then sandtrail.WindowStats, buckets []sandtrail.TrendBucket) []tile {
	list := func(outcome string) string {
		q := w.query()
		if outcome != "" {
			q.Set("outcome", outcome)
		}
		return address("/executions", q)
	}
	rate, before := sandtrail.Rate(now.Successful, now.Total), sandtrail.Rate(then.Successful, then.Total)
	return []tile{
		{
			Label: "Executions", Value: human.Count(now.Total), Note: human.Count(then.Total),
			Delta: relative(float64(now.Total), float64(then.Total), "", ""), Href: list(""),
			Spark: sparkline(buckets, func(b sandtrail.TrendBucket) *float64 { return new(float64(b.Total)) }),
		}, {
			Label: "Success rate", Value: formatPercent(rate), Note: formatPercent(before),
			Delta: points(rate, before), Href: list(outcomeFailed),
			Spark: sparkline(buckets, func(b sandtrail.TrendBucket) *float64 { return sandtrail.Rate(b.Successful, b.Total) }),
		}, {
			Label: "Time-outs", Value: human.Count(now.TimedOut), Note: human.Count(then.TimedOut),
			Delta: relative(float64(now.TimedOut), float64(then.TimedOut), "bad", "good"), Href: list(outcomeTimedOut),
			Spark: sparkline(buckets, func(b sandtrail.TrendBucket) *float64 { return new(float64(b.TimedOut)) }),
		}, {
			Label: "p95 execution time", Value: formatMillis(now.P95Time), Note: formatMillis(then.P95Time),
			Delta: relativePtr(now.P95Time, then.P95Time, "bad", "good"), Href: list(""),
			Spark: sparkline(buckets, func(b sandtrail.TrendBucket) *float64 { return b.P95Time }),
		},
	}
}

// relative is the change in percent; up and down are the tones of the ways.
func relative(now, then float64, up, down string) delta {
	if then == 0 {
		return delta{}
	}
	change := 100 * (now - then) / then
	switch {
	case math.Abs(change) < 0.5:
		return delta{"no change", "same", ""}
	case change > 999:
		return delta{human.Number(math.Round(now/then)) + " times", "up", up}
	case change > 0:
		return delta{joined(human.Percent(math.Round(change))), "up", up}
	}
	return delta{joined(human.Percent(math.Round(-change))), "down", down}
}

func relativePtr(now, then *float64, up, down string) delta {
	if now == nil || then == nil {
		return delta{}
	}
	return relative(*now, *then, up, down)
}

// points is the change between two percentages.
func points(now, then *float64) delta {
	if now == nil || then == nil {
		return delta{}
	}
	change := *now - *then
	text := human.Number(math.Round(10*math.Abs(change))/10) + " points"
	if text == "1 points" {
		text = "1 point"
	}
	switch {
	case math.Abs(change) < 0.05:
		return delta{"no change", "same", ""}
	case change > 0:
		return delta{text, "up", "good"}
	default:
		return delta{text, "down", "bad"}
	}
}

func (p *overviewPage) rankings(v *view) error {
	q := sandtrail.RankQuery{
		Subject: sandtrail.Strategies, Since: p.Window.Since, Until: p.Window.Until,
		Order: sandtrail.MostFailures, Limit: 8,
	}
	failing, err := v.store.ranking(v.r.Context(), q)
	if err != nil {
		return err
	}
	failing = slices.DeleteFunc(failing, func(r sandtrail.Rank) bool { return r.Failed == 0 })
	p.Failing = rankRows(q.Subject, failing, p.Window)
	q.Order = sandtrail.MostExecutions
	if v.who.UserID == "" {
		q.Subject = sandtrail.Users
	}
	busiest, err := v.store.ranking(v.r.Context(), q)
	p.Busiest = rankRows(q.Subject, busiest, p.Window)
	return err
}

func rankRows(subject sandtrail.Subject, ranks []sandtrail.Rank, w window) []rankRow {
	var most int64 = 1
	for _, r := range ranks {
		most = max(most, r.Total)
	}
	page, param := "/strategies/", "strategyId"
	if subject == sandtrail.Users {
		page, param = "/users/", "userId"
	}
	rows := make([]rankRow, 0, len(ranks))
	for _, r := range ranks {
		list := w.query()
		list.Set(param, r.ID)
		rows = append(rows, rankRow{
			Rank: r, Rate: sandtrail.Rate(r.Failed, r.Total),
			Bar: share(100 * float64(r.Failed) / float64(most)), Width: share(100 * float64(r.Total) / float64(most)),
			Href: page + url.PathEscape(r.ID), List: address("/executions", list),
		})
	}
	return rows
}

// alarms evaluates the rules now.
func (p *overviewPage) alarms(v *view) error {
	verdicts, err := v.verdicts()
	for _, verdict := range verdicts {
		if verdict.Firing {
			p.Alerts = append(p.Alerts, verdict)
		} else {
			p.Calm = append(p.Calm, verdict)
		}
	}
	return err
}

// verdicts applies each rule to its window. Rules about another user than the
// one a reader is bound to are left out.
func (v *view) verdicts() ([]alert.Verdict, error) {
	var out []alert.Verdict
	for _, rule := range v.Rules {
		stats, err := v.store.window(v.r.Context(), sandtrail.Window{
			Since: v.now.Add(-rule.Window), Until: v.now.Add(sandtrail.MaxClockSkew),
			UserID: rule.UserID, StrategyID: rule.StrategyID,
		})
		if sandtrail.CodeOf(err) == sandtrail.CodeNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		verdict := rule.Evaluate(stats)
		verdict.Message = verdictWords(verdict)
		out = append(out, verdict)
	}
	return out, nil
}
