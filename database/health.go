package database

import "github.com/sandtrail/sandtrail"

// CheckHealthLast checks the last of StrategyHealth.
func CheckHealthLast(last int) error {
	var p sandtrail.Faults
	if last < 1 || last > sandtrail.MaxHealthLast {
		p.Addf("last", "must be 1 to %d, got %d", sandtrail.MaxHealthLast, last)
	}
	return p.Err("invalid query")
}

// Health computes StrategyHealth from the newest executions, newest first.
func Health(strategyID string, newest []sandtrail.Execution) sandtrail.StrategyHealth {
	var ok, errs, warnings int64
	for _, e := range newest {
		if e.Success {
			ok++
		}
		errs += int64(e.ErrorCount)
		warnings += int64(e.WarningCount)
	}
	n := int64(len(newest))
	h := sandtrail.StrategyHealth{
		StrategyID: strategyID, SuccessRate: sandtrail.Rate(ok, n),
		AvgErrors: Mean(float64(errs), n), AvgWarnings: Mean(float64(warnings), n),
		TotalValidations: n,
	}
	if n > 0 {
		h.LastValidated = &newest[0].CreatedAt
	}
	return h
}

// Mean is sum/n, nil over nothing.
func Mean(sum float64, n int64) *float64 {
	if n == 0 {
		return nil
	}
	mean := sum / float64(n)
	return &mean
}
