package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/sandtrail/sandtrail"
)

// question is one question, asked of Sandtrail and in the SQL that an application
// would write. Where our answer holds more, such as percentiles, the plain
// one is not made to compute it.
type question struct {
	name  string
	ours  func(ctx context.Context, db sandtrail.Store, user, strategy string) error
	plain []string
	arg   func(user, strategy string) any
}

// ask puts the question in plain SQL.
func (q question) ask(ctx context.Context, plain Plain, user, strategy string) error {
	for _, sql := range q.plain {
		if err := plain.Query(ctx, sql, q.arg(user, strategy)); err != nil {
			return err
		}
	}
	return nil
}

func questions(now time.Time, last sandtrail.Execution) []question {
	byUser := func(user, _ string) any { return user }
	byStrategy := func(_, strategy string) any { return strategy }
	since := func(d time.Duration) func(string, string) any {
		return func(string, string) any { return sandtrail.Millisecond(now.Add(-d)) }
	}
	list := []question{
		{
			"recent executions of a user",
			func(ctx context.Context, db sandtrail.Store, user, _ string) error {
				_, err := db.Executions(ctx, sandtrail.Query{Filter: sandtrail.Filter{UserID: user}, Limit: 10}, now)
				return err
			},
			[]string{`SELECT e.*, s.name FROM {logs} e JOIN strategies s ON s.id = e.strategy_id
				WHERE e.user_id = ?1 ORDER BY e.created_at DESC LIMIT 10`},
			byUser,
		},
		{
			"failures of the last hour",
			func(ctx context.Context, db sandtrail.Store, _, _ string) error {
				failed := false
				_, err := db.Executions(ctx, sandtrail.Query{Filter: sandtrail.Filter{Success: &failed, Within: time.Hour}}, now)
				return err
			},
			[]string{`SELECT e.*, u.email, s.name FROM {logs} e JOIN users u ON u.id = e.user_id JOIN strategies s ON s.id = e.strategy_id
				WHERE NOT e.success AND e.created_at >= ?1 ORDER BY e.created_at DESC LIMIT 50`},
			since(time.Hour),
		},
		{
			"one execution",
			func(ctx context.Context, db sandtrail.Store, _, _ string) error {
				_, err := db.Execution(ctx, last.ID)
				return err
			},
			[]string{`SELECT e.*, u.email, s.name FROM {logs} e JOIN users u ON u.id = e.user_id JOIN strategies s ON s.id = e.strategy_id
				WHERE e.id = ?1`},
			func(string, string) any { return last.ID.String() },
		},
		{
			"statistics of a strategy",
			func(ctx context.Context, db sandtrail.Store, _, strategy string) error {
				_, err := db.StrategyStats(ctx, strategy)
				return err
			},
			[]string{`SELECT count(*), avg(execution_time), avg(memory_used), avg(cpu_usage), sum(error_count), sum(warning_count)
				FROM {logs} WHERE strategy_id = ?1`},
			byStrategy,
		},
		{
			"health of a strategy",
			func(ctx context.Context, db sandtrail.Store, _, strategy string) error {
				_, err := db.StrategyHealth(ctx, strategy, 100)
				return err
			},
			[]string{`SELECT * FROM {logs} WHERE strategy_id = ?1 ORDER BY created_at DESC LIMIT 100`},
			byStrategy,
		},
		{
			"statistics of a user",
			func(ctx context.Context, db sandtrail.Store, user, _ string) error {
				_, err := db.UserStats(ctx, user)
				return err
			},
			[]string{
				`SELECT count(*) FROM {logs} WHERE user_id = ?1`,
				`SELECT count(*) FROM {logs} WHERE user_id = ?1 AND success`,
				`SELECT avg(execution_time) FROM {logs} WHERE user_id = ?1`,
			},
			byUser,
		},
		{
			"alert check",
			func(ctx context.Context, db sandtrail.Store, _, _ string) error {
				_, err := db.WindowStats(ctx, sandtrail.Window{Since: now.Add(-time.Hour), Until: now.Add(sandtrail.MaxClockSkew)})
				return err
			},
			[]string{`SELECT success FROM {logs} WHERE created_at >= ?1`},
			since(time.Hour),
		},
		{
			"overview of a day",
			func(ctx context.Context, db sandtrail.Store, _, _ string) error {
				_, err := db.WindowStats(ctx, sandtrail.Window{Since: now.Add(-24 * time.Hour), Until: now.Add(sandtrail.MaxClockSkew)})
				return err
			},
			[]string{`SELECT count(*), sum(CASE WHEN success THEN 1 ELSE 0 END), sum(CASE WHEN timed_out THEN 1 ELSE 0 END),
				avg(execution_time), avg(memory_used) FROM {logs} WHERE created_at >= ?1`},
			since(24 * time.Hour),
		},
	}
	for _, days := range []int{7, 30, 365} {
		list = append(list, trend(now, days, since(time.Duration(days)*24*time.Hour)))
	}
	return list
}

func trend(now time.Time, days int, arg func(string, string) any) question {
	return question{
		fmt.Sprintf("trends of %d days", days),
		func(ctx context.Context, db sandtrail.Store, _, _ string) error {
			since, until := sandtrail.LastDays(now, days)
			_, err := db.Trends(ctx, sandtrail.TrendQuery{Since: since, Until: until})
			return err
		},
		[]string{`SELECT DATE(created_at) AS date, count(*) AS total, sum(CASE WHEN success THEN 1 ELSE 0 END) AS successful,
			avg(execution_time) AS avg_time, avg(memory_used) AS avg_memory
			FROM {logs} WHERE created_at >= ?1 GROUP BY DATE(created_at) ORDER BY date DESC`},
		arg,
	}
}
