package web

import (
	"slices"

	"github.com/sandtrail/sandtrail"
)

// summarise computes the statistics of a strategy from executions in hand.
func summarise(strategyID string, found []sandtrail.Execution) sandtrail.StrategyStats {
	stats := sandtrail.StrategyStats{StrategyID: strategyID, Count: int64(len(found))}
	var times, memory, cpu []float64
	for _, e := range found {
		if e.Success {
			stats.SuccessCount++
		}
		if e.TimedOut {
			stats.TimedOutCount++
		}
		stats.Sum.ErrorCount += int64(e.ErrorCount)
		stats.Sum.WarningCount += int64(e.WarningCount)
		times = append(times, float64(e.ExecutionTime))
		if e.MemoryUsed != nil {
			memory = append(memory, float64(*e.MemoryUsed))
		}
		if e.CPUUsage != nil {
			cpu = append(cpu, *e.CPUUsage)
		}
	}
	stats.SuccessRate = sandtrail.Rate(stats.SuccessCount, stats.Count)
	stats.Avg = sandtrail.Averages{ExecutionTime: mean(times), MemoryUsed: mean(memory), CPUUsage: mean(cpu)}
	slices.Sort(times)
	stats.Percentiles.ExecutionTime = sandtrail.Quantiles{P50: quantile(times, 50), P95: quantile(times, 95), P99: quantile(times, 99)}
	return stats
}

func mean(values []float64) *float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sandtrail.Mean(sum, int64(len(values)))
}

// quantile is the smallest of the sorted values with at least percent of them
// at or below it.
func quantile(sorted []float64, percent int) *float64 {
	n := len(sorted)
	if n == 0 {
		return nil
	}
	return &sorted[(percent*n+99)/100-1]
}
