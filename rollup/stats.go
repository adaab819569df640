package rollup

import (
	"cmp"
	"slices"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

// StrategyStats words the total of a strategy.
func (c Cell) StrategyStats(strategyID string) sandtrail.StrategyStats {
	return sandtrail.StrategyStats{
		StrategyID:    strategyID,
		Count:         c.Total,
		SuccessCount:  c.Success,
		SuccessRate:   sandtrail.Rate(c.Success, c.Total),
		TimedOutCount: c.TimedOut,
		Avg: sandtrail.Averages{
			ExecutionTime: database.Mean(float64(c.Time), c.Total),
			MemoryUsed:    database.Mean(float64(c.Memory), c.MemoryN),
			CPUUsage:      database.Mean(float64(c.CPU)/1e6, c.CPUN),
		},
		Sum:      sandtrail.Sums{ErrorCount: c.Errors, WarningCount: c.Warnings, Costs: c.Costs()},
		Measured: c.Measured(),
		Percentiles: sandtrail.Percentiles{ExecutionTime: sandtrail.Quantiles{
			P50: c.Quantile(50), P95: c.Quantile(95), P99: c.Quantile(99),
		}},
	}
}

// UserStats words the total of a user.
func (c Cell) UserStats(userID string) sandtrail.UserStats {
	return sandtrail.UserStats{
		UserID:           userID,
		TotalExecutions:  c.Total,
		SuccessRate:      sandtrail.Rate(c.Success, c.Total),
		AvgExecutionTime: database.Mean(float64(c.Time), c.Total),
		Sum:              c.Costs(),
		Measured:         c.Measured(),
	}
}

// Costs words what the records cost.
func (c *Counts) Costs() sandtrail.Costs {
	return sandtrail.Costs{CPUSeconds: c.CPUTime.per(1e6, c.CPUTimeN), MemoryMiBSeconds: c.MemoryTime.per(1e3, c.MemoryTimeN)}
}

// Measured says of how many records the costs are.
func (c *Counts) Measured() sandtrail.Measured {
	return sandtrail.Measured{CPUUsage: c.CPUTimeN, MemoryUsed: c.MemoryTimeN}
}

// WindowStats words the cell of a window.
func (c Cell) WindowStats() sandtrail.WindowStats {
	return sandtrail.WindowStats{
		Total:      c.Total,
		Successful: c.Success,
		Failed:     c.Total - c.Success,
		TimedOut:   c.TimedOut,
		AvgTime:    database.Mean(float64(c.Time), c.Total),
		AvgMemory:  database.Mean(float64(c.Memory), c.MemoryN),
		P95Time:    c.Quantile(95),
	}
}

// WindowStats words the answer to a window.
func (a *Answer) WindowStats() sandtrail.WindowStats { return a.cells[0].WindowStats() }

// Trend words the answer to a trend, newest bucket first.
func (a *Answer) Trend(q sandtrail.TrendQuery) []sandtrail.TrendBucket {
	trend := make([]sandtrail.TrendBucket, 0, len(a.cells))
	for i := len(a.cells) - 1; i >= 0; i-- {
		w := a.cells[i].WindowStats()
		trend = append(trend, sandtrail.TrendBucket{
			Date:       q.Label(a.plan.edges[i]),
			Total:      w.Total,
			Successful: w.Successful,
			Failed:     w.Failed,
			TimedOut:   w.TimedOut,
			AvgTime:    w.AvgTime,
			AvgMemory:  w.AvgMemory,
			P95Time:    w.P95Time,
			Sum:        a.cells[i].Costs(),
			Measured:   a.cells[i].Measured(),
		})
	}
	return trend
}

// Ranking gathers one answer per user or strategy of a window. Feed it as an
// Answer, with days, entries and records of all of them.
type Ranking struct {
	Plan
	query   sandtrail.RankQuery
	answers map[string]*Answer
}

// DefaultRanks is how many lines a ranking has whose query sets no limit.
const DefaultRanks = 10

// NewRanking plans a ranking, which counts stored records only.
func NewRanking(q sandtrail.RankQuery) *Ranking {
	return &Ranking{
		Plan:    PlanEdges([]time.Time{q.Since, q.Until}),
		query:   q,
		answers: map[string]*Answer{},
	}
}

// Scope is the scope of the stored days that are needed.
func (r *Ranking) Scope() Scope {
	if r.query.Subject == sandtrail.Users {
		return User
	}
	return Strategy
}

// AddDay adds a stored day of a user or strategy.
func (r *Ranking) AddDay(id string, date Date, summary, slots []byte) error {
	return r.answer(id).AddDay(date, summary, slots)
}

// AddChange adds a change that is not folded yet.
func (r *Ranking) AddChange(c Change) { r.answer(r.idOf(&c)).AddChange(c) }

// AddRecord adds a stored record of one of the plan's raw ranges.
func (r *Ranking) AddRecord(c Change) { r.answer(r.idOf(&c)).AddRecord(c) }

// Top returns the ranking; the names are left to the store. Who had no
// executions is not in it.
func (r *Ranking) Top() []sandtrail.Rank {
	ranks := []sandtrail.Rank{}
	for id, a := range r.answers {
		rank := sandtrail.Rank{ID: id, Total: a.cells[0].Total, Failed: a.cells[0].Total - a.cells[0].Success}
		if rank.Total > 0 {
			ranks = append(ranks, rank)
		}
	}
	slices.SortFunc(ranks, func(a, b sandtrail.Rank) int {
		return cmp.Or(cmp.Compare(r.worth(b), r.worth(a)), cmp.Compare(a.ID, b.ID))
	})
	limit := r.query.Limit
	if limit == 0 {
		limit = DefaultRanks
	}
	return ranks[:min(limit, len(ranks))]
}

func (r *Ranking) worth(rank sandtrail.Rank) int64 {
	if r.query.Order == sandtrail.MostFailures {
		return rank.Failed
	}
	return rank.Total
}

func (r *Ranking) idOf(c *Change) string {
	if r.query.Subject == sandtrail.Users {
		return c.UserID
	}
	return c.StrategyID
}

func (r *Ranking) answer(id string) *Answer {
	a := r.answers[id]
	if a == nil {
		a = r.Plan.NewAnswer(Live)
		r.answers[id] = a
	}
	return a
}
