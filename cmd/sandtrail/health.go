package main

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
)

type healthCmd struct {
	Strategy string `required:"" placeholder:"ID" help:"Which strategy."`
	Last     int    `default:"100" help:"How many of its newest executions, 1 to 10000."`
	output
}

// Examples shows what can be asked.
func (healthCmd) Examples() []string {
	return []string{"sandtrail health --strategy momentum", "sandtrail health --strategy momentum --last 20 -o json"}
}

// Run prints how a strategy fares lately.
func (c *healthCmd) Run(ctx context.Context, d *deps) error {
	if c.Last < 1 || c.Last > sandtrail.MaxHealthLast {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--last: must be 1 to %d, got %d", sandtrail.MaxHealthLast, c.Last)
	}
	store, err := d.analyst(ctx)
	if err != nil {
		return err
	}
	health, err := store.StrategyHealth(ctx, c.Strategy, c.Last)
	if err != nil {
		return err
	}
	return print(d, c.Output, one(health, healthColumns(d.now())))
}

func healthColumns(now time.Time) []table.Column[sandtrail.StrategyHealth] {
	type row = sandtrail.StrategyHealth
	return []table.Column[row]{
		label("strategyId", "Strategy", func(h row) string { return h.StrategyID }),
		measure("successRate", "Success rate", human.Percent, func(h row) *float64 { return h.SuccessRate }),
		measure("avgErrors", "Mean errors", human.Number, func(h row) *float64 { return h.AvgErrors }),
		measure("avgWarnings", "Mean warnings", human.Number, func(h row) *float64 { return h.AvgWarnings }),
		{
			Name: "lastValidated", Title: "Last",
			Value: func(h row) string { return exactTime(h.LastValidated) },
			Text: func(h row) string {
				if h.LastValidated == nil {
					return human.None
				}
				return exactTime(h.LastValidated) + " (" + human.Ago(now, *h.LastValidated) + ")"
			},
		},
		count("totalValidations", "Executions", func(h row) int64 { return h.TotalValidations }),
	}
}

func exactTime(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
