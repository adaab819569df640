package server

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

// Examiner examines the database, as sandtrail.Database says.
type Examiner interface {
	Doctor(ctx context.Context, depth sandtrail.Depth, now time.Time) ([]sandtrail.Check, error)
}

// noExaminer stands where the store cannot be examined.
type noExaminer struct{}

func (noExaminer) Doctor(context.Context, sandtrail.Depth, time.Time) ([]sandtrail.Check, error) {
	return nil, sandtrail.Errorf(sandtrail.CodeNotFound, "this server has no examination: examine its store where that is")
}

func (s *Server) registerExamination() {
	register(s, operation("GET /v1/examination", "examine", "Examine the database",
		"Changes nothing. Each fault comes with what to do."), s.examine)
}

type examineInput struct {
	Deep bool `query:"deep" doc:"Compare what is derived with the executions; reads all of them."`
}

func (s *Server) examine(ctx context.Context, in *examineInput) (*body[api.Page[sandtrail.Check]], error) {
	depth := sandtrail.Shallow
	if in.Deep {
		depth = sandtrail.Deep
	}
	checks, err := s.cfg.Examiner.Doctor(ctx, depth, s.now())
	if _, has := s.cfg.Examiner.(sandtrail.Clock); has && err == nil {
		var clock sandtrail.Check
		clock, err = sandtrail.CheckClock(ctx, s.cfg.Examiner, s.now())
		checks = append(checks, clock)
	}
	return answer(api.NewPage(checks, ""), err)
}
