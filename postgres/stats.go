package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/rollup"
)

// StrategyStats reads the strategy's total.
func (s *Store) StrategyStats(ctx context.Context, strategyID string) (sandtrail.StrategyStats, error) {
	total, err := s.total(ctx, rollup.Subject{Scope: rollup.Strategy, ID: strategyID})
	if err != nil {
		return sandtrail.StrategyStats{}, wrap("strategy statistics", notFound(err, "no strategy with id %q", strategyID))
	}
	return total.StrategyStats(strategyID), nil
}

// UserStats reads the user's total.
func (s *Store) UserStats(ctx context.Context, userID string) (sandtrail.UserStats, error) {
	total, err := s.total(ctx, rollup.Subject{Scope: rollup.User, ID: userID})
	if err != nil {
		return sandtrail.UserStats{}, wrap("user statistics", notFound(err, "no user with id %q", userID))
	}
	return total.UserStats(userID), nil
}

// total counts all executions of a user or a strategy; pgx.ErrNoRows when
// there is no such subject.
func (s *Store) total(ctx context.Context, subject rollup.Subject) (total rollup.Cell, err error) {
	l, err := s.open(ctx)
	if err != nil {
		return total, err
	}
	subject = l.spellSubject(subject)
	var q question
	known := false
	q.total(subject)
	err = q.ask(ctx, s, l, answerer{
		subject: func() { known = true },
		day: func(_ string, _ rollup.Date, encoded, _ []byte) error {
			var stored rollup.Cell
			if err := stored.UnmarshalBinary(encoded); err != nil {
				return err
			}
			total.Merge(stored)
			return nil
		},
		entry: func(c rollup.Change) {
			if c.Sign > 0 {
				total.Add(c)
			} else {
				total.Sub(c)
			}
		},
	})
	if err == nil && !known {
		err = pgx.ErrNoRows
	}
	return total, err
}

// WindowStats counts the stored executions of a window.
func (s *Store) WindowStats(ctx context.Context, w sandtrail.Window) (sandtrail.WindowStats, error) {
	w.Since, w.Until = closed(w.Since, w.Until)
	answer, err := s.answer(ctx, rollup.PlanWindow(w), rollup.Live, w.UserID, w.StrategyID)
	if err != nil {
		return sandtrail.WindowStats{}, wrap("window statistics", err)
	}
	return answer.WindowStats(), nil
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
	answer, err := s.answer(ctx, plan, rollup.Kept, q.UserID, q.StrategyID)
	if err != nil {
		return nil, wrap("trends", err)
	}
	return q.Known(ctx, answer.Trend(q), s)
}

// answer counts what a plan asks for.
func (s *Store) answer(ctx context.Context, plan rollup.Plan, share rollup.Share, userID, strategyID string) (*rollup.Answer, error) {
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	userID, strategyID = l.spell(userID, strategyID)
	answer := plan.NewAnswer(share)
	var q question
	q.plan(plan, userID, strategyID)
	err = q.ask(ctx, s, l, answerer{
		day: func(_ string, day rollup.Date, summary, slots []byte) error {
			return answer.AddDay(day, summary, slots)
		},
		entry: answer.AddChange, record: answer.AddRecord,
	})
	return answer, notFoundIsEmpty(err)
}

// StrategyHealth looks at the newest executions of a strategy.
func (s *Store) StrategyHealth(ctx context.Context, strategyID string, last int) (sandtrail.StrategyHealth, error) {
	if err := database.CheckHealthLast(last); err != nil {
		return sandtrail.StrategyHealth{}, err
	}
	l, err := s.open(ctx)
	if err != nil {
		return sandtrail.StrategyHealth{}, err
	}
	in := l.listing(sandtrail.Filter{StrategyID: strategyID})
	recent, err := newest(ctx, s, in, last, "SELECT success, error_count, warning_count, created_at FROM {logs}", l.sql,
		func(row pgx.CollectableRow) (e sandtrail.Execution, err error) {
			err = row.Scan(&e.Success, &e.ErrorCount, &e.WarningCount, &e.CreatedAt)
			e.CreatedAt = e.CreatedAt.UTC()
			return e, err
		})
	if err := notFoundIsEmpty(err); err != nil {
		return sandtrail.StrategyHealth{}, wrap("strategy health", err)
	}
	if len(recent) == 0 {
		_, err = s.Strategy(ctx, strategyID)
	}
	return database.Health(strategyID, recent), err
}

// Ranking counts per user or strategy in a window.
func (s *Store) Ranking(ctx context.Context, q sandtrail.RankQuery) ([]sandtrail.Rank, error) {
	q, err := q.Plan()
	if err != nil {
		return nil, err
	}
	q.Since, q.Until = closed(q.Since, q.Until)
	l, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	ranking := rollup.NewRanking(q)
	var ask question
	ask.planAll(ranking.Plan, ranking.Scope())
	if err := ask.ask(ctx, s, l, answerer{day: ranking.AddDay, entry: ranking.AddChange, record: ranking.AddRecord}); err != nil {
		return nil, wrap("ranking", err)
	}
	ranks := ranking.Top()
	return ranks, wrap("ranking", s.nameRanks(ctx, l, q.Subject, ranks))
}

// closed replaces the open ends of a window by times beyond all records.
func closed(since, until time.Time) (time.Time, time.Time) {
	if since.IsZero() {
		since = time.Date(-4713, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if until.IsZero() {
		until = time.Date(294277, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return since, until
}

// nameRanks fills in the names of those ranked.
func (s *Store) nameRanks(ctx context.Context, l *layout, subject sandtrail.Subject, ranks []sandtrail.Rank) error {
	query := "SELECT {users.id}::text, coalesce({users.email}, '') FROM {users} WHERE {users.id}::text = ANY($1)"
	if subject == sandtrail.Strategies {
		query = "SELECT {strategies.id}::text, coalesce({strategies.name}, '') FROM {strategies} WHERE {strategies.id}::text = ANY($1)"
	}
	ids := make([]string, len(ranks))
	for i, r := range ranks {
		ids[i] = r.ID
	}
	rows, err := s.pool.Query(ctx, l.sql(query), ids)
	if err != nil {
		return err
	}
	var id, name string
	names := map[string]string{}
	_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		names[id] = name
		return nil
	})
	for i := range ranks {
		ranks[i].Name = names[ranks[i].ID]
	}
	return err
}
