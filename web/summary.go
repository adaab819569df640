package web

import (
	"slices"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// summarise computes the statistics of a strategy from executions in hand.
func summarise(strategyID string, found []sandtrail.Execution) sandtrail.StrategyStats {
	stats := sandtrail.StrategyStats{StrategyID: strategyID, Count: int64(len(found))}
	var times, memory, cpu, cpuTime, memoryTime []float64
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
		if n, measured := e.CPUMicroseconds(); measured {
			cpuTime = append(cpuTime, float64(n))
		}
		if n, measured := e.MemoryMiBMilliseconds(); measured {
			memoryTime = append(memoryTime, float64(n))
		}
	}
	stats.Sum.Costs = sandtrail.Costs{CPUSeconds: per(1e6, cpuTime), MemoryMiBSeconds: per(1e3, memoryTime)}
	stats.Measured = sandtrail.Measured{CPUUsage: int64(len(cpuTime)), MemoryUsed: int64(len(memoryTime))}
	stats.SuccessRate = sandtrail.Rate(stats.SuccessCount, stats.Count)
	stats.Avg = sandtrail.Averages{ExecutionTime: mean(times), MemoryUsed: mean(memory), CPUUsage: mean(cpu)}
	slices.Sort(times)
	stats.Percentiles.ExecutionTime = sandtrail.Quantiles{P50: quantile(times, 50), P95: quantile(times, 95), P99: quantile(times, 99)}
	return stats
}

func mean(values []float64) *float64 { return database.Mean(sum(values), int64(len(values))) }

// per is the sum of values divided by a unit, nil over nothing.
func per(unit float64, values []float64) *float64 {
	if len(values) == 0 {
		return nil
	}
	return new(sum(values) / unit)
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
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
