package sqlite

import (
	"context"
	"database/sql"

	"github.com/sandtrail/sandtrail"
)

// StrategyStats aggregates all stored executions of a strategy.
func (s *Store) StrategyStats(ctx context.Context, strategyID string) (stats sandtrail.StrategyStats, err error) {
	err = s.read(ctx, "strategy statistics", func(tx *sql.Tx) error {
		if err := strategies.exists(ctx, tx, strategyID); err != nil {
			return err
		}
		var where conditions
		where.add("strategy_id = ?", strategyID)
		a, err := aggregateOf(ctx, tx, where)
		if err != nil {
			return err
		}
		stats = sandtrail.StrategyStats{
			StrategyID: strategyID, Count: a.total, SuccessCount: a.successful,
			SuccessRate: sandtrail.Rate(a.successful, a.total), TimedOutCount: a.timedOut,
			Avg: sandtrail.Averages{ExecutionTime: a.avgTime, MemoryUsed: a.avgMemory, CPUUsage: a.avgCPU},
			Sum: sandtrail.Sums{ErrorCount: a.errors, WarningCount: a.warnings},
			Percentiles: sandtrail.Percentiles{ExecutionTime: sandtrail.Quantiles{
				P50: a.times.quantile(50), P95: a.times.quantile(95), P99: a.times.quantile(99),
			}},
		}
		return nil
	})
	return stats, err
}

// StrategyHealth looks at the last newest executions of a strategy.
func (s *Store) StrategyHealth(ctx context.Context, strategyID string, last int) (health sandtrail.StrategyHealth, err error) {
	if err := sandtrail.CheckHealthLast(last); err != nil {
		return health, err
	}
	err = s.read(ctx, "strategy health", func(tx *sql.Tx) error {
		if err := strategies.exists(ctx, tx, strategyID); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "SELECT success, error_count, warning_count, created_at FROM sandbox_execution_logs INDEXED BY "+
			byStrategy+" WHERE strategy_id = ? ORDER BY created_at DESC, id DESC LIMIT ?", strategyID, last)
		if err != nil {
			return err
		}
		defer rows.Close()
		newest := make([]sandtrail.Execution, 0, last)
		for rows.Next() {
			var e sandtrail.Execution
			var at timestamp
			if err := rows.Scan(&e.Success, &e.ErrorCount, &e.WarningCount, &at); err != nil {
				return err
			}
			e.CreatedAt = at.Time
			newest = append(newest, e)
		}
		health = sandtrail.Health(strategyID, newest)
		return rows.Err()
	})
	return health, err
}

// UserStats aggregates all stored executions of a user.
func (s *Store) UserStats(ctx context.Context, userID string) (stats sandtrail.UserStats, err error) {
	err = s.read(ctx, "user statistics", func(tx *sql.Tx) error {
		if err := users.exists(ctx, tx, userID); err != nil {
			return err
		}
		var where conditions
		where.add("user_id = ?", userID)
		a, err := aggregateOf(ctx, tx, where)
		if err != nil {
			return err
		}
		stats = sandtrail.UserStats{
			UserID: userID, TotalExecutions: a.total,
			SuccessRate: sandtrail.Rate(a.successful, a.total), AvgExecutionTime: a.avgTime,
		}
		return nil
	})
	return stats, err
}

// Trends returns a bucket for each of the query's edges, newest first.
func (s *Store) Trends(ctx context.Context, q sandtrail.TrendQuery) (trend []sandtrail.TrendBucket, err error) {
	edges, err := q.Edges()
	if err != nil {
		return nil, err
	}
	err = s.read(ctx, "trends", func(tx *sql.Tx) error {
		trend = trend[:0]
		for i := len(edges) - 2; i >= 0; i-- {
			a, err := windowOf(ctx, tx, sandtrail.Window{
				Since: edges[i], Until: edges[i+1], UserID: q.UserID, StrategyID: q.StrategyID,
			})
			if err != nil {
				return err
			}
			trend = append(trend, sandtrail.TrendBucket{
				Date: q.Label(edges[i]), Total: a.total, Successful: a.successful, Failed: a.total - a.successful,
				TimedOut: a.timedOut, AvgTime: a.avgTime, AvgMemory: a.avgMemory, P95Time: a.times.quantile(95),
			})
		}
		return nil
	})
	return trend, err
}

// WindowStats summarises a window.
func (s *Store) WindowStats(ctx context.Context, w sandtrail.Window) (stats sandtrail.WindowStats, err error) {
	err = s.read(ctx, "window statistics", func(tx *sql.Tx) error {
		a, err := windowOf(ctx, tx, w)
		stats = sandtrail.WindowStats{
			Total: a.total, Successful: a.successful, Failed: a.total - a.successful, TimedOut: a.timedOut,
			AvgTime: a.avgTime, AvgMemory: a.avgMemory, P95Time: a.times.quantile(95),
		}
		return err
	})
	return stats, err
}

// Ranking ranks the users or strategies of a window.
func (s *Store) Ranking(ctx context.Context, q sandtrail.RankQuery) (ranks []sandtrail.Rank, err error) {
	if q, err = q.Plan(); err != nil {
		return nil, err
	}
	column, table, name := "strategy_id", "strategies", "name"
	if q.Subject == sandtrail.Users {
		column, table, name = "user_id", "users", "email"
	}
	order := map[sandtrail.RankOrder]string{sandtrail.MostExecutions: "total", sandtrail.MostFailures: "failed"}[q.Order]
	var where conditions
	where.window("", q.Since, q.Until)
	text := "SELECT r.id, o." + name + ", r.total, r.failed FROM (SELECT " + column +
		" AS id, COUNT(*) AS total, COUNT(*) - SUM(success) AS failed FROM sandbox_execution_logs" + where.text() +
		" GROUP BY " + column + " ORDER BY " + order + " DESC, id LIMIT ?) AS r JOIN " + table +
		" AS o ON o.id = r.id ORDER BY r." + order + " DESC, r.id"
	err = s.query(ctx, "ranking", text, append(where.args, q.Limit), func(rows *sql.Rows) error {
		ranks = []sandtrail.Rank{}
		for rows.Next() {
			var r sandtrail.Rank
			if err := rows.Scan(&r.ID, &r.Name, &r.Total, &r.Failed); err != nil {
				return err
			}
			ranks = append(ranks, r)
		}
		return rows.Err()
	})
	return ranks, err
}

// aggregate summarises a set of executions.
type aggregate struct {
	total, successful, timedOut int64
	errors, warnings            int64
	avgTime, avgMemory, avgCPU  *float64
	times                       histogram
}

func windowOf(ctx context.Context, tx *sql.Tx, w sandtrail.Window) (aggregate, error) {
	var where conditions
	where.addIf(w.UserID != "", "user_id = ?", w.UserID)
	where.addIf(w.StrategyID != "", "strategy_id = ?", w.StrategyID)
	where.window("", w.Since, w.Until)
	return aggregateOf(ctx, tx, where)
}

func aggregateOf(ctx context.Context, tx *sql.Tx, where conditions) (a aggregate, err error) {
	err = tx.QueryRowContext(ctx, `SELECT COUNT(*), TOTAL(success), TOTAL(timed_out), TOTAL(error_count), TOTAL(warning_count),
		AVG(execution_time), AVG(memory_used), AVG(cpu_usage) FROM sandbox_execution_logs`+where.text(), where.args...).
		Scan(&a.total, &a.successful, &a.timedOut, &a.errors, &a.warnings, &a.avgTime, &a.avgMemory, &a.avgCPU)
	if err != nil {
		return a, err
	}
	a.times, err = histogramOf(ctx, tx, where)
	return a, err
}

// histogram counts the executions per execution time, ascending.
type histogram []struct {
	time, count int64
}

func histogramOf(ctx context.Context, tx *sql.Tx, where conditions) (h histogram, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT execution_time, COUNT(*) FROM sandbox_execution_logs"+where.text()+
		" GROUP BY execution_time ORDER BY execution_time", where.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var bar struct{ time, count int64 }
		if err := rows.Scan(&bar.time, &bar.count); err != nil {
			return nil, err
		}
		h = append(h, bar)
	}
	return h, rows.Err()
}

// quantile is the nearest-rank percentile, nil over nothing.
func (h histogram) quantile(percent int64) *float64 {
	var total int64
	for _, bar := range h {
		total += bar.count
	}
	rank := (percent*total + 99) / 100
	for _, bar := range h {
		if rank -= bar.count; rank <= 0 {
			value := float64(bar.time)
			return &value
		}
	}
	return nil
}
