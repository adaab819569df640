package server

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

func (s *Server) registerStatistics() {
	register(s, operation("GET /v1/strategies/{id}/stats", "strategyStats", "Statistics of a strategy",
		"Over all its stored executions."), s.strategyStats)
	register(s, operation("GET /v1/strategies/{id}/health", "strategyHealth", "Health of a strategy",
		"Over its last executions."), s.strategyHealth)
	register(s, operation("GET /v1/users/{id}/stats", "userStats", "Statistics of a user",
		"Over all their stored executions."), s.userStats)
	register(s, operation("GET /v1/trends", "trends", "Executions by day or hour",
		"Newest first, empty buckets included. Not found where nothing counts and there is no such user or strategy."), s.trends)
	register(s, operation("GET /v1/window", "window", "Statistics of a range of time", "Of all times where since and until are left out."), s.window)
	register(s, operation("GET /v1/ranking", "ranking", "Users or strategies that stand out", "Of all times where since and until are left out."), s.ranking)
}

// IDInput is the part of a call that names a user or a strategy. An
// application's ids may be longer than those that calls can make.
type IDInput struct {
	ID string `path:"id"`
}

func (s *Server) strategyStats(ctx context.Context, in *IDInput) (*body[sandtrail.StrategyStats], error) {
	return answer(s.store.StrategyStats(ctx, in.ID))
}

type healthInput struct {
	IDInput
	Last int `query:"last" minimum:"1" maximum:"10000" default:"100" doc:"How many executions are looked at."`
}

func (s *Server) strategyHealth(ctx context.Context, in *healthInput) (*body[sandtrail.StrategyHealth], error) {
	return answer(s.store.StrategyHealth(ctx, in.ID, in.Last))
}

func (s *Server) userStats(ctx context.Context, in *IDInput) (*body[sandtrail.UserStats], error) {
	if err := mustBeOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	return answer(s.store.UserStats(ctx, in.ID))
}

// mustBeOwn answers a bound caller who asks for another user as if there were
// none.
func mustBeOwn(ctx context.Context, userID string) error {
	if bound := callerOf(ctx).userID; bound != "" && bound != userID {
		return sandtrail.Errorf(sandtrail.CodeNotFound, "there is no user %q", userID)
	}
	return nil
}

// RangeInput is the part of a call that names a range of time.
type RangeInput struct {
	Since time.Time `query:"since" doc:"Inclusive."`
	Until time.Time `query:"until" doc:"Exclusive."`
}

type trendsInput struct {
	RangeInput
	Days       int    `query:"days" minimum:"1" maximum:"3660" default:"7" doc:"Days of 24 hours back from now, where since is left out."`
	TZ         string `query:"tz" default:"UTC" doc:"IANA name of the time zone whose days are meant." example:"Europe/Paris"`
	Bucket     string `query:"bucket" enum:"day,hour" default:"day"`
	UserID     string `query:"userId"`
	StrategyID string `query:"strategyId"`
}

func (s *Server) trends(ctx context.Context, in *trendsInput) (*body[[]sandtrail.TrendBucket], error) {
	user, err := ownUser(ctx, in.UserID)
	if err != nil {
		return nil, err
	}
	location, err := sandtrail.ParseLocation(in.TZ)
	if err != nil {
		return nil, err
	}
	q := sandtrail.TrendQuery{Location: location, Bucket: sandtrail.Bucket(in.Bucket), UserID: user, StrategyID: in.StrategyID}
	q.Since, q.Until = sandtrail.LastDays(s.now(), in.Days)
	if !in.Since.IsZero() {
		q.Since = in.Since
	}
	if !in.Until.IsZero() {
		q.Until = in.Until
	}
	return answer(s.store.Trends(ctx, q))
}

type windowInput struct {
	RangeInput
	UserID     string `query:"userId"`
	StrategyID string `query:"strategyId"`
}

func (s *Server) window(ctx context.Context, in *windowInput) (*body[sandtrail.WindowStats], error) {
	user, err := ownUser(ctx, in.UserID)
	if err != nil {
		return nil, err
	}
	return answer(s.store.WindowStats(ctx, sandtrail.Window{
		Since: in.Since, Until: in.Until, UserID: user, StrategyID: in.StrategyID,
	}))
}

type rankingInput struct {
	RangeInput
	Subject string `query:"subject" enum:"strategy,user" required:"true"`
	Order   string `query:"order" enum:"executions,failures" default:"executions"`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"10"`
}

func (s *Server) ranking(ctx context.Context, in *rankingInput) (*body[api.Page[sandtrail.Rank]], error) {
	ranks, err := s.store.Ranking(ctx, sandtrail.RankQuery{
		Subject: sandtrail.Subject(in.Subject), Order: sandtrail.RankOrder(in.Order), Limit: in.Limit,
		Since: in.Since, Until: in.Until,
	})
	return answer(api.NewPage(ranks, ""), err)
}
