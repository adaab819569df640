package main

import (
	"context"
	"strconv"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
)

type statsCmd struct {
	Strategy string `xor:"subject" required:"" placeholder:"ID" help:"Sum up this strategy."`
	User     string `xor:"subject" required:"" placeholder:"ID" help:"Sum up this user."`
	output
}

// Examples shows what can be asked.
func (statsCmd) Examples() []string {
	return []string{"sandtrail stats --strategy momentum", "sandtrail stats --user ada -o json"}
}

// Run prints the sums over all stored executions.
func (c *statsCmd) Run(ctx context.Context, d *deps) error {
	store, err := d.analyst(ctx)
	if err != nil {
		return err
	}
	if c.User != "" {
		stats, err := store.UserStats(ctx, c.User)
		if err != nil {
			return err
		}
		return print(d, c.Output, one(stats, userStatsColumns()))
	}
	stats, err := store.StrategyStats(ctx, c.Strategy)
	if err != nil {
		return err
	}
	return print(d, c.Output, one(stats, strategyStatsColumns()))
}

// one is the finding of a single answer.
func one[T any](answer T, columns []table.Column[T]) finding[T] {
	return finding[T]{whole: answer, rows: []T{answer}, columns: columns, single: true}
}

// count, measure and label make the columns of answers.
func count[T any](name, title string, get func(T) int64) table.Column[T] {
	return table.Column[T]{
		Name: name, Title: title, Right: true,
		Value: func(row T) string { return strconv.FormatInt(get(row), 10) },
		Text:  func(row T) string { return human.Count(get(row)) },
	}
}

func measure[T any](name, title string, write func(float64) string, get func(T) *float64) table.Column[T] {
	return table.Column[T]{
		Name: name, Title: title, Right: true,
		Value: func(row T) string { return exact(get(row)) },
		Text:  func(row T) string { return human.Opt(get(row), write) },
	}
}

// costs are the columns of sums of costs. A table says where they are not those
// of all executions.
func costs[T any](cpu, memory string, get func(T) (sum sandtrail.Costs, measured sandtrail.Measured, total int64)) []table.Column[T] {
	column := func(name, title string, write func(float64) string, of func(sandtrail.Costs, sandtrail.Measured) (*float64, int64)) table.Column[T] {
		return table.Column[T]{
			Name: name, Title: title, Right: true,
			Value: func(row T) string {
				sum, measured, _ := get(row)
				value, _ := of(sum, measured)
				return exact(value)
			},
			Text: func(row T) string {
				sum, measured, total := get(row)
				value, n := of(sum, measured)
				if value != nil && n < total {
					return human.Opt(value, write) + " (" + human.Count(n) + " of " + human.Count(total) + ")"
				}
				return human.Opt(value, write)
			},
		}
	}
	n := func(name string, of func(sandtrail.Measured) int64) table.Column[T] {
		return table.Column[T]{Name: name, Value: func(row T) string {
			_, measured, _ := get(row)
			return strconv.FormatInt(of(measured), 10)
		}}
	}
	return []table.Column[T]{
		column("sumCpuSeconds", cpu, human.Seconds, func(c sandtrail.Costs, m sandtrail.Measured) (*float64, int64) { return c.CPUSeconds, m.CPUUsage }),
		column("sumMemoryMiBSeconds", memory, human.MiBSeconds, func(c sandtrail.Costs, m sandtrail.Measured) (*float64, int64) {
			return c.MemoryMiBSeconds, m.MemoryUsed
		}),
		n("measuredCpuUsage", func(m sandtrail.Measured) int64 { return m.CPUUsage }),
		n("measuredMemoryUsed", func(m sandtrail.Measured) int64 { return m.MemoryUsed }),
	}
}

func label[T any](name, title string, get func(T) string) table.Column[T] {
	return table.Column[T]{Name: name, Title: title, Value: get}
}

func exact(f *float64) string {
	if f == nil {
		return ""
	}
	return strconv.FormatFloat(*f, 'g', -1, 64)
}

func strategyStatsColumns() []table.Column[sandtrail.StrategyStats] {
	type row = sandtrail.StrategyStats
	return append([]table.Column[row]{
		label("strategyId", "Strategy", func(s row) string { return s.StrategyID }),
		count("count", "Executions", func(s row) int64 { return s.Count }),
		count("successCount", "Succeeded", func(s row) int64 { return s.SuccessCount }),
		measure("successRate", "Success rate", human.Percent, func(s row) *float64 { return s.SuccessRate }),
		count("timedOutCount", "Timed out", func(s row) int64 { return s.TimedOutCount }),
		measure("avgExecutionTime", "Mean time", human.Millis, func(s row) *float64 { return s.Avg.ExecutionTime }),
		measure("p50ExecutionTime", "p50 time", human.Millis, func(s row) *float64 { return s.Percentiles.ExecutionTime.P50 }),
		measure("p95ExecutionTime", "p95 time", human.Millis, func(s row) *float64 { return s.Percentiles.ExecutionTime.P95 }),
		measure("p99ExecutionTime", "p99 time", human.Millis, func(s row) *float64 { return s.Percentiles.ExecutionTime.P99 }),
		measure("avgMemoryUsed", "Mean memory", human.MiB, func(s row) *float64 { return s.Avg.MemoryUsed }),
		measure("avgCpuUsage", "Mean CPU", human.Percent, func(s row) *float64 { return s.Avg.CPUUsage }),
		count("sumErrorCount", "Errors", func(s row) int64 { return s.Sum.ErrorCount }),
		count("sumWarningCount", "Warnings", func(s row) int64 { return s.Sum.WarningCount }),
	}, costs("CPU time", "Memory × time", func(s row) (sandtrail.Costs, sandtrail.Measured, int64) { return s.Sum.Costs, s.Measured, s.Count })...)
}

func userStatsColumns() []table.Column[sandtrail.UserStats] {
	type row = sandtrail.UserStats
	return append([]table.Column[row]{
		label("userId", "User", func(s row) string { return s.UserID }),
		count("totalExecutions", "Executions", func(s row) int64 { return s.TotalExecutions }),
		measure("successRate", "Success rate", human.Percent, func(s row) *float64 { return s.SuccessRate }),
		measure("avgExecutionTime", "Mean time", human.Millis, func(s row) *float64 { return s.AvgExecutionTime }),
	}, costs("CPU time", "Memory × time", func(s row) (sandtrail.Costs, sandtrail.Measured, int64) { return s.Sum, s.Measured, s.TotalExecutions })...)
}
