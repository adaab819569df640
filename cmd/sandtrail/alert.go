package main

import (
	"context"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
)

type alertCmd struct {
	Check     alertCheckCmd     `cmd:"" help:"Evaluate a rule now; exit status 1 when it fires."`
	History   alertHistoryCmd   `cmd:"" help:"Show when rules began to fire and ended, and who was told."`
	Silence   alertSilenceCmd   `cmd:"" help:"Send no notifications for a while."`
	Silences  alertSilencesCmd  `cmd:"" help:"List the silences that last."`
	Unsilence alertUnsilenceCmd `cmd:"" help:"End a silence."`
}

type alertCheckCmd struct {
	scope
	Metric    string   `default:"failureRate" enum:"failureRate,timeoutRate,p95Time,noExecutions" placeholder:"failureRate" help:"failureRate and timeoutRate (percent), p95Time (milliseconds) or noExecutions."`
	Within    duration `default:"1h" help:"How far to look back."`
	Threshold float64  `default:"30" help:"Fires above it."`
	MinSample int64    `default:"1" help:"Fewer executions never fire."`
	output
}

// Examples shows what can be asked.
func (alertCheckCmd) Examples() []string {
	return []string{
		"sandtrail alert check",
		"sandtrail alert check --strategy momentum --threshold 10 --within 24h",
		"sandtrail alert check --metric noExecutions --within 6h || page-on-call",
	}
}

// rule is the default rule as the flags change it.
func (c *alertCheckCmd) rule() alert.Rule {
	r := alert.DefaultRule()
	if metric := alert.Metric(c.Metric); metric != r.Metric {
		r.Name, r.Metric = c.Metric, metric
	}
	r.Window, r.Threshold, r.MinSample = time.Duration(c.Within), c.Threshold, c.MinSample
	r.UserID, r.StrategyID = c.User, c.Strategy
	return r
}

// Run prints the verdict.
func (c *alertCheckCmd) Run(ctx context.Context, d *deps) error {
	rule := c.rule()
	if rule.Window <= 0 {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--within: must be more than 0, such as 1h")
	}
	store, err := d.analyst(ctx)
	if err != nil {
		return err
	}
	now := d.now()
	stats, err := store.WindowStats(ctx, sandtrail.Window{
		Since: now.Add(-rule.Window), Until: now.Add(sandtrail.MaxClockSkew),
		UserID: rule.UserID, StrategyID: rule.StrategyID,
	})
	if err != nil {
		return err
	}
	verdict := rule.Evaluate(stats)
	if err := c.print(d, verdict); err != nil {
		return err
	}
	if verdict.Firing {
		return exitStatus(statusFinding)
	}
	return nil
}

func (c *alertCheckCmd) print(d *deps, v alert.Verdict) error {
	alert := api.NewAlert(v)
	if c.Output != "table" {
		return print(d, c.Output, finding[api.Alert]{
			whole: api.Alerts{Firing: v.Firing, Alerts: []api.Alert{alert}}, rows: []api.Alert{alert}, columns: alertColumns(),
		})
	}
	mark := d.paint(text.FgGreen, "✓ quiet ")
	if v.Firing {
		mark = d.paint(text.FgRed, "✗ FIRING")
	}
	return d.say("%s  %s", mark, human.Visible(v.Message))
}

func alertColumns() []table.Column[api.Alert] {
	type row = api.Alert
	return []table.Column[row]{
		label("name", "", func(a row) string { return a.Name }),
		label("metric", "", func(a row) string { return string(a.Metric) }),
		label("window", "", func(a row) string { return a.Window }),
		measure("threshold", "", nil, func(a row) *float64 { return &a.Threshold }),
		label("firing", "", func(a row) string { return strconv.FormatBool(a.Firing) }),
		measure("value", "", nil, func(a row) *float64 { return a.Value }),
		count("total", "", func(a row) int64 { return a.Stats.Total }),
		count("failed", "", func(a row) int64 { return a.Stats.Failed }),
		count("timedOut", "", func(a row) int64 { return a.Stats.TimedOut }),
		label("message", "", func(a row) string { return a.Message }),
	}
}
