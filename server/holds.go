package server

import (
	"context"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

func (s *Server) registerHolds() {
	register(s, operation("GET /v1/holds", "listHolds", "List legal holds", ""), s.listHolds)
	register(s, operation("PUT /v1/holds/{subject}/{id}", "putHold", "Place a legal hold on a user or strategy",
		"While it lasts neither they nor any of their executions are removed, by whomever."), s.putHold)
	register(s, operation("DELETE /v1/holds/{subject}/{id}", "removeHold", "Remove a legal hold", ""), s.removeHold)
}

// HoldInput is the part of a call that names what a hold is on.
type HoldInput struct {
	Subject string `path:"subject" enum:"user,strategy"`
	IDInput
}

func (s *Server) listHolds(ctx context.Context, _ *struct{}) (*body[api.Page[sandtrail.Hold]], error) {
	holds, err := s.store.Holds(ctx)
	return answer(api.NewPage(holds, ""), err)
}

type putHoldInput struct {
	HoldInput
	Body api.NewHold
}

func (s *Server) putHold(ctx context.Context, in *putHoldInput) (*body[sandtrail.Hold], error) {
	hold := sandtrail.Hold{
		Subject: sandtrail.Subject(in.Subject), SubjectID: in.ID, Reason: in.Body.Reason,
		CreatedBy: callerOf(ctx).name(), CreatedAt: sandtrail.Millisecond(s.now()),
	}
	return answer(hold, s.store.PutHold(ctx, hold))
}

func (s *Server) removeHold(ctx context.Context, in *HoldInput) (*struct{}, error) {
	return nil, s.store.RemoveHold(ctx, sandtrail.Subject(in.Subject), in.ID)
}
