package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
)

// StrategyStats aggregates over all executions of a strategy.
func (s *Store) StrategyStats(ctx context.Context, strategyID string) (sandtrail.StrategyStats, error) {
	if _, err := s.Strategy(ctx, strategyID); err != nil {
		return sandtrail.StrategyStats{}, err
	}
	t, err := s.totals(ctx, span{}, "", strategyID)
	if err != nil {
		return sandtrail.StrategyStats{}, wrap("strategy statistics", err)
	}
	return sandtrail.StrategyStats{
		StrategyID: strategyID, Count: t.n, SuccessCount: t.ok, SuccessRate: sandtrail.Rate(t.ok, t.n), TimedOutCount: t.timedOut,
		Avg: sandtrail.Averages{
			ExecutionTime: sandtrail.Mean(float64(t.time), t.n),
			MemoryUsed:    sandtrail.Mean(float64(t.memory), t.withMemory),
			CPUUsage:      sandtrail.Mean(t.cpu, t.withCPU),
		},
		Sum:         sandtrail.Sums{ErrorCount: t.errors, WarningCount: t.warnings},
		Percentiles: sandtrail.Percentiles{ExecutionTime: t.quantiles},
	}, nil
}

// UserStats aggregates over all executions of a user.
func (s *Store) UserStats(ctx context.Context, userID string) (sandtrail.UserStats, error) {
	if _, err := s.User(ctx, userID); err != nil {
		return sandtrail.UserStats{}, err
	}
	t, err := s.totals(ctx, span{}, userID, "")
	if err != nil {
		return sandtrail.UserStats{}, wrap("user statistics", err)
	}
	return sandtrail.UserStats{
		UserID: userID, TotalExecutions: t.n, SuccessRate: sandtrail.Rate(t.ok, t.n),
		AvgExecutionTime: sandtrail.Mean(float64(t.time), t.n),
	}, nil
}

// WindowStats aggregates over a window.
func (s *Store) WindowStats(ctx context.Context, w sandtrail.Window) (sandtrail.WindowStats, error) {
	t, err := s.totals(ctx, span{w.Since, w.Until}, w.UserID, w.StrategyID)
	if err != nil {
		return sandtrail.WindowStats{}, wrap("window statistics", err)
	}
	return sandtrail.WindowStats{
		Total: t.n, Successful: t.ok, Failed: t.n - t.ok, TimedOut: t.timedOut,
		AvgTime:   sandtrail.Mean(float64(t.time), t.n),
		AvgMemory: sandtrail.Mean(float64(t.memory), t.withMemory),
		P95Time:   t.quantiles.P95,
	}, nil
}

// totals are the sums that statistics are made of.
type totals struct {
	n, ok, timedOut, time, errors, warnings int64
	memory, withMemory                      int64
	cpu                                     float64
	withCPU                                 int64
	quantiles                               sandtrail.Quantiles
}

// sums selects totals without the quantiles.
const sums = `count(*), count(*) FILTER (WHERE success), count(*) FILTER (WHERE timed_out),
	coalesce(sum(execution_time), 0), coalesce(sum(error_count), 0), coalesce(sum(warning_count), 0),
	coalesce(sum(memory_used), 0), count(memory_used), coalesce(sum(cpu_usage), 0), count(cpu_usage)`

func (t *totals) fields() []any {
	return []any{&t.n, &t.ok, &t.timedOut, &t.time, &t.errors, &t.warnings, &t.memory, &t.withMemory, &t.cpu, &t.withCPU}
}

// totals sums up the executions in a span, of a user and a strategy or of all.
func (s *Store) totals(ctx context.Context, w span, userID, strategyID string) (t totals, err error) {
	l, err := s.open(ctx)
	if err != nil {
		return t, err
	}
	var c conditions
	c.owners(userID, strategyID)
	c.span(w)
	var q []float64
	err = s.pool.QueryRow(ctx, l.sql(`SELECT `+sums+`,
		percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY execution_time)::float8[] FROM {logs} `+c.where()), c.args...).
		Scan(append(t.fields(), &q)...)
	if len(q) == 3 {
		t.quantiles = sandtrail.Quantiles{P50: &q[0], P95: &q[1], P99: &q[2]}
	}
	return t, notFoundIsEmpty(err)
}

// Trends sums up the executions between each two edges.
func (s *Store) Trends(ctx context.Context, q sandtrail.TrendQuery) ([]sandtrail.TrendBucket, error) {
	edges, err := q.Edges()
	if err != nil {
		return nil, err
	}
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	c := conditions{args: []any{edges}}
	c.owners(q.UserID, q.StrategyID)
	c.span(span{q.Since, q.Until})
	rows, err := s.pool.Query(ctx, l.sql(`SELECT width_bucket(created_at, $1::timestamptz[]) AS bucket, `+sums+`,
		percentile_disc(0.95) WITHIN GROUP (ORDER BY execution_time)::float8 FROM {logs} `+c.where()+` GROUP BY bucket`), c.args...)
	if err != nil {
		return nil, wrap("trends", err)
	}
	buckets := make([]sandtrail.TrendBucket, len(edges)-1)
	for i := range buckets {
		buckets[len(buckets)-1-i].Date = q.Label(edges[i])
	}
	var bucket int
	var t totals
	var p95 float64
	_, err = pgx.ForEachRow(rows, append(append([]any{&bucket}, t.fields()...), &p95), func() error {
		b := &buckets[len(buckets)-bucket]
		b.Total, b.Successful, b.Failed, b.TimedOut = t.n, t.ok, t.n-t.ok, t.timedOut
		b.AvgTime = sandtrail.Mean(float64(t.time), t.n)
		b.AvgMemory = sandtrail.Mean(float64(t.memory), t.withMemory)
		value := p95
		b.P95Time = &value
		return nil
	})
	return buckets, wrap("trends", notFoundIsEmpty(err))
}

// StrategyHealth looks at the newest executions of a strategy.
func (s *Store) StrategyHealth(ctx context.Context, strategyID string, last int) (sandtrail.StrategyHealth, error) {
	if last < 1 || last > sandtrail.MaxHealthLast {
		return sandtrail.StrategyHealth{}, sandtrail.Errorf(sandtrail.CodeInvalid, "last: want 1 to %d, got %d", sandtrail.MaxHealthLast, last)
	}
	l, err := s.open(ctx)
	if err != nil {
		return sandtrail.StrategyHealth{}, err
	}
	if _, err := s.Strategy(ctx, strategyID); err != nil {
		return sandtrail.StrategyHealth{}, err
	}
	var c conditions
	c.owners("", strategyID)
	recent, err := newest(ctx, s, c, span{}, last, "SELECT success, error_count, warning_count, created_at FROM {logs}", l.sql,
		func(row pgx.CollectableRow) (e sandtrail.Execution, err error) {
			err = row.Scan(&e.Success, &e.ErrorCount, &e.WarningCount, &e.CreatedAt)
			e.CreatedAt = e.CreatedAt.UTC()
			return e, err
		})
	if err != nil {
		return sandtrail.StrategyHealth{}, wrap("strategy health", err)
	}
	return sandtrail.Health(strategyID, recent), nil
}

const defaultRanks = 10

// Ranking counts per user or strategy in a window.
func (s *Store) Ranking(ctx context.Context, q sandtrail.RankQuery) ([]sandtrail.Rank, error) {
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	subject, ok := map[sandtrail.Subject]string{
		sandtrail.Users:      "{users} o ON o.{users.id} = c.key|coalesce(o.{users.email}, '')|user_id",
		sandtrail.Strategies: "{strategies} o ON o.{strategies.id} = c.key|o.{strategies.name}|strategy_id",
	}[q.Subject]
	if !ok {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "subject: want user or strategy, got %q", q.Subject)
	}
	order, ok := map[sandtrail.RankOrder]string{
		sandtrail.MostExecutions: "total", sandtrail.MostFailures: "failed",
	}[q.Order]
	if !ok {
		return nil, sandtrail.Errorf(sandtrail.CodeInvalid, "order: want executions or failures, got %q", q.Order)
	}
	if q.Limit == 0 {
		q.Limit = defaultRanks
	}
	parts := strings.Split(subject, "|")
	var c conditions
	c.span(span{q.Since, q.Until})
	rows, err := s.pool.Query(ctx, l.sql(fmt.Sprintf(`SELECT c.key::text, %[2]s, c.total, c.failed FROM (
			SELECT %[3]s AS key, count(*) AS total, count(*) FILTER (WHERE NOT success) AS failed FROM {logs} %[4]s GROUP BY 1
			ORDER BY %[5]s DESC, %[3]s::text COLLATE "C" LIMIT %[6]d) c
		JOIN %[1]s ORDER BY c.%[5]s DESC, c.key::text COLLATE "C"`, parts[0], parts[1], parts[2], c.where(), order, q.Limit)), c.args...)
	if err != nil {
		return nil, wrap("ranking", err)
	}
	ranks, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sandtrail.Rank])
	return ranks, wrap("ranking", err)
}
