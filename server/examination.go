package server

import (
	"context"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/database"
)

// Examiner examines the database, as database.Database says.
type Examiner interface {
	Doctor(ctx context.Context, depth database.Depth, now time.Time) ([]database.Check, error)
}

var errNoExaminer = sandtrail.Errorf(sandtrail.CodeNotFound, "this server has no examination: examine its store where that is")

func (s *Server) registerExamination() {
	register(s, operation("GET /v1/examination", "examine", "Examine the database",
		"Changes nothing. Each fault comes with what to do."), s.examine)
}

type examineInput struct {
	Deep bool `query:"deep" doc:"Compare what is derived with the executions; reads all of them."`
}

func (s *Server) examine(ctx context.Context, in *examineInput) (*body[api.Page[database.Check]], error) {
	if s.services.examiner == nil {
		return nil, errNoExaminer
	}
	depth := database.Shallow
	if in.Deep {
		depth = database.Deep
	}
	checks, err := s.services.examiner.Doctor(ctx, depth, s.now())
	if _, has := s.services.examiner.(database.Clock); has && err == nil {
		var clock database.Check
		clock, err = database.CheckClock(ctx, s.services.examiner, s.now())
		checks = append(checks, clock)
	}
	return answer(api.NewPage(checks, ""), err)
}
