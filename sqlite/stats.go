package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/rollup"
)

// StrategyStats aggregates all stored executions of a strategy.
func (s *Store) StrategyStats(ctx context.Context, strategyID string) (stats sandtrail.StrategyStats, err error) {
	if _, strategyID, err = s.spell(ctx, "", strategyID); err != nil {
		return stats, err
	}
	err = s.read(ctx, "strategy statistics", func(tx *sql.Tx) error {
		if err := strategies.exists(ctx, tx, strategyID); err != nil {
			return err
		}
		total, err := totalOf(ctx, tx, rollup.Subject{Scope: rollup.Strategy, ID: strategyID})
		stats = total.StrategyStats(strategyID)
		return err
	})
	return stats, err
}

// StrategyHealth looks at the last newest executions of a strategy.
func (s *Store) StrategyHealth(ctx context.Context, strategyID string, last int) (health sandtrail.StrategyHealth, err error) {
	if err := database.CheckHealthLast(last); err != nil {
		return health, err
	}
	if _, strategyID, err = s.spell(ctx, "", strategyID); err != nil {
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
		health = database.Health(strategyID, newest)
		return rows.Err()
	})
	return health, err
}

// UserStats aggregates all stored executions of a user.
func (s *Store) UserStats(ctx context.Context, userID string) (stats sandtrail.UserStats, err error) {
	if userID, _, err = s.spell(ctx, userID, ""); err != nil {
		return stats, err
	}
	err = s.read(ctx, "user statistics", func(tx *sql.Tx) error {
		if err := users.exists(ctx, tx, userID); err != nil {
			return err
		}
		total, err := totalOf(ctx, tx, rollup.Subject{Scope: rollup.User, ID: userID})
		stats = total.UserStats(userID)
		return err
	})
	return stats, err
}

// Trends counts what was recorded in each bucket. What retention has removed
// since still counts; what went with its user or strategy, or was deleted
// otherwise, does not. It is ErrNotFound for a user or strategy that does not
// exist.
func (s *Store) Trends(ctx context.Context, q sandtrail.TrendQuery) ([]sandtrail.TrendBucket, error) {
	plan, err := rollup.PlanTrend(q)
	if err != nil {
		return nil, err
	}
	answer, err := s.answer(ctx, "trends", plan, rollup.Kept, q.UserID, q.StrategyID)
	if err != nil {
		return nil, err
	}
	return q.Known(ctx, answer.Trend(q), s)
}

// WindowStats counts the stored executions of a window.
func (s *Store) WindowStats(ctx context.Context, w sandtrail.Window) (sandtrail.WindowStats, error) {
	w.Since, w.Until = closed(w.Since, w.Until)
	answer, err := s.answer(ctx, "window statistics", rollup.PlanWindow(w), rollup.Live, w.UserID, w.StrategyID)
	if err != nil {
		return sandtrail.WindowStats{}, err
	}
	return answer.WindowStats(), nil
}

// answer counts what a plan asks for, in one snapshot.
func (s *Store) answer(ctx context.Context, what string, plan rollup.Plan, share rollup.Share, userID, strategyID string) (answer *rollup.Answer, err error) {
	if userID, strategyID, err = s.spell(ctx, userID, strategyID); err != nil {
		return nil, err
	}
	err = s.read(ctx, what, func(tx *sql.Tx) error {
		answer = plan.NewAnswer(share)
		return gather(ctx, tx, plan, userID, strategyID, answerer{
			day: func(_ string, day rollup.Date, summary, slots []byte) error {
				return answer.AddDay(day, summary, slots)
			},
			pending: answer.AddChange, record: answer.AddRecord,
		})
	})
	return answer, err
}

// Ranking ranks the users or strategies of a window.
func (s *Store) Ranking(ctx context.Context, q sandtrail.RankQuery) (ranks []sandtrail.Rank, err error) {
	if q, err = q.Plan(); err != nil {
		return nil, err
	}
	q.Since, q.Until = closed(q.Since, q.Until)
	err = s.read(ctx, "ranking", func(tx *sql.Tx) error {
		ranking := rollup.NewRanking(q)
		if err := gatherAll(ctx, tx, ranking.Plan, ranking.Scope(), answerer{ranking.AddDay, ranking.AddChange, ranking.AddRecord}); err != nil {
			return err
		}
		ranks = ranking.Top()
		return nameRanks(ctx, tx, q.Subject, ranks)
	})
	return ranks, err
}

// nameRanks fills in the names of those ranked.
func nameRanks(ctx context.Context, tx *sql.Tx, subject sandtrail.Subject, ranks []sandtrail.Rank) error {
	text := "SELECT coalesce(name, '') FROM strategies WHERE id = ?"
	if subject == sandtrail.Users {
		text = "SELECT coalesce(email, '') FROM users WHERE id = ?"
	}
	for i := range ranks {
		if err := noRows(tx.QueryRowContext(ctx, text, ranks[i].ID).Scan(&ranks[i].Name)); err != nil {
			return err
		}
	}
	return nil
}

// closed replaces the open ends of a window by times beyond all records.
func closed(since, until time.Time) (time.Time, time.Time) {
	if since.IsZero() {
		since = time.Date(-4714, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if until.IsZero() {
		until = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return since, until
}
