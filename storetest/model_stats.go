package storetest

import (
	"cmp"
	"context"
	"slices"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// StrategyStats aggregates a strategy.
func (m *Model) StrategyStats(ctx context.Context, id string) (sandtrail.StrategyStats, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if _, err := one(m.strategies, id, err); err != nil {
		return sandtrail.StrategyStats{}, err
	}
	found := m.newest(func(e sandtrail.Execution) bool { return e.StrategyID == id })
	total := int64(len(found))
	successful := count(found, func(e sandtrail.Execution) bool { return e.Success })
	costs, measured := costsOf(found)
	return sandtrail.StrategyStats{
		StrategyID: id, Count: total, SuccessCount: successful, SuccessRate: sandtrail.Rate(successful, total),
		TimedOutCount: count(found, func(e sandtrail.Execution) bool { return e.TimedOut }),
		Avg: sandtrail.Averages{
			ExecutionTime: mean(found, executionTime), MemoryUsed: mean(found, memoryUsed),
			CPUUsage: mean(found, func(e sandtrail.Execution) *float64 { return e.CPUUsage }),
		},
		Sum: sandtrail.Sums{
			ErrorCount:   sum(found, func(e sandtrail.Execution) int { return e.ErrorCount }),
			WarningCount: sum(found, func(e sandtrail.Execution) int { return e.WarningCount }),
			Costs:        costs,
		},
		Measured: measured,
		Percentiles: sandtrail.Percentiles{ExecutionTime: sandtrail.Quantiles{
			P50: percentile(found, 50), P95: percentile(found, 95), P99: percentile(found, 99),
		}},
	}, nil
}

// StrategyHealth looks at the newest executions of a strategy.
func (m *Model) StrategyHealth(ctx context.Context, id string, last int) (sandtrail.StrategyHealth, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return sandtrail.StrategyHealth{}, err
	}
	if err := database.CheckHealthLast(last); err != nil {
		return sandtrail.StrategyHealth{}, err
	}
	if _, known := m.strategies[id]; !known {
		return sandtrail.StrategyHealth{}, sandtrail.CodeNotFound
	}
	found := m.newest(func(e sandtrail.Execution) bool { return e.StrategyID == id })
	return database.Health(id, found[:min(last, len(found))]), nil
}

// UserStats aggregates a user.
func (m *Model) UserStats(ctx context.Context, id string) (sandtrail.UserStats, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if _, err := one(m.users, id, err); err != nil {
		return sandtrail.UserStats{}, err
	}
	found := m.newest(func(e sandtrail.Execution) bool { return e.UserID == id })
	w := window(found)
	costs, measured := costsOf(found)
	return sandtrail.UserStats{
		UserID: id, TotalExecutions: w.Total, SuccessRate: sandtrail.Rate(w.Successful, w.Total), AvgExecutionTime: w.AvgTime,
		Sum: costs, Measured: measured,
	}, nil
}

// Trends counts per bucket, newest first.
func (m *Model) Trends(ctx context.Context, q sandtrail.TrendQuery) (trend []sandtrail.TrendBucket, err error) {
	trend, err = m.trends(ctx, q)
	if err != nil {
		return nil, err
	}
	return q.Known(ctx, trend, m)
}

func (m *Model) trends(ctx context.Context, q sandtrail.TrendQuery) (trend []sandtrail.TrendBucket, err error) {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return nil, err
	}
	edges, err := q.Edges()
	if err != nil {
		return nil, err
	}
	for i := range edges[1:] {
		found := m.within(sandtrail.Window{Since: edges[i], Until: edges[i+1], UserID: q.UserID, StrategyID: q.StrategyID})
		w := window(found)
		costs, measured := costsOf(found)
		trend = append(trend, sandtrail.TrendBucket{
			Date: q.Label(edges[i]), Total: w.Total, Successful: w.Successful, Failed: w.Failed, TimedOut: w.TimedOut,
			AvgTime: w.AvgTime, AvgMemory: w.AvgMemory, P95Time: w.P95Time, Sum: costs, Measured: measured,
		})
	}
	slices.Reverse(trend)
	return trend, nil
}

// WindowStats summarises a window.
func (m *Model) WindowStats(ctx context.Context, w sandtrail.Window) (sandtrail.WindowStats, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return sandtrail.WindowStats{}, err
	}
	return window(m.within(w)), nil
}

func (m *Model) within(w sandtrail.Window) []sandtrail.Execution {
	return m.newest(func(e sandtrail.Execution) bool {
		return matches(sandtrail.Filter{Since: w.Since, Until: w.Until, UserID: w.UserID, StrategyID: w.StrategyID}, e)
	})
}

func window(found []sandtrail.Execution) sandtrail.WindowStats {
	total := int64(len(found))
	successful := count(found, func(e sandtrail.Execution) bool { return e.Success })
	return sandtrail.WindowStats{
		Total: total, Successful: successful, Failed: total - successful,
		TimedOut: count(found, func(e sandtrail.Execution) bool { return e.TimedOut }),
		AvgTime:  mean(found, executionTime), AvgMemory: mean(found, memoryUsed), P95Time: percentile(found, 95),
	}
}

// Ranking ranks the users or strategies of a window.
func (m *Model) Ranking(ctx context.Context, q sandtrail.RankQuery) ([]sandtrail.Rank, error) {
	leave, err := m.enter(ctx)
	defer leave()
	if err != nil {
		return nil, err
	}
	if q, err = q.Plan(); err != nil {
		return nil, err
	}
	byID := map[string]sandtrail.Rank{}
	for _, e := range m.newest(func(e sandtrail.Execution) bool { return within(e.CreatedAt, q.Since, q.Until) }) {
		id, name := e.StrategyID, m.strategies[e.StrategyID].Name
		if q.Subject == sandtrail.Users {
			id, name = e.UserID, m.users[e.UserID].Email
		}
		r := byID[id]
		r.ID, r.Name = id, name
		r.Total++
		if !e.Success {
			r.Failed++
		}
		byID[id] = r
	}
	var ranks []sandtrail.Rank
	for _, r := range byID {
		ranks = append(ranks, r)
	}
	slices.SortFunc(ranks, func(a, b sandtrail.Rank) int {
		if q.Order == sandtrail.MostFailures {
			return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(a.ID, b.ID))
		}
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.ID, b.ID))
	})
	return ranks[:min(q.Limit, len(ranks))], nil
}

func executionTime(e sandtrail.Execution) *float64 { return new(float64(e.ExecutionTime)) }

func memoryUsed(e sandtrail.Execution) *float64 {
	if e.MemoryUsed == nil {
		return nil
	}
	return new(float64(*e.MemoryUsed))
}

func count(found []sandtrail.Execution, is func(sandtrail.Execution) bool) (n int64) {
	for _, e := range found {
		if is(e) {
			n++
		}
	}
	return n
}

func sum(found []sandtrail.Execution, of func(sandtrail.Execution) int) (total int64) {
	for _, e := range found {
		total += int64(of(e))
	}
	return total
}

// mean is the average of the values that are not nil.
func mean(found []sandtrail.Execution, of func(sandtrail.Execution) *float64) *float64 {
	var total float64
	var n int64
	for _, e := range found {
		if value := of(e); value != nil {
			total += *value
			n++
		}
	}
	return database.Mean(total, n)
}

// percentile is the nearest-rank percentile of the execution times.
func percentile(found []sandtrail.Execution, percent int) *float64 {
	if len(found) == 0 {
		return nil
	}
	times := make([]int, len(found))
	for i, e := range found {
		times[i] = e.ExecutionTime
	}
	slices.Sort(times)
	rank := (percent*len(times) + 99) / 100
	return new(float64(times[rank-1]))
}
