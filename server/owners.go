package server

import (
	"context"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

func (s *Server) registerOwners() {
	register(s, operation("GET /v1/users", "listUsers", "List users", "In the order of their ids."), s.listUsers)
	register(s, operation("GET /v1/users/{id}", "getUser", "Read one user", ""), s.getUser)
	register(s, operation("PUT /v1/users/{id}", "putUser", "Create or replace a user", ""), s.putUser)
	register(s, operation("DELETE /v1/users/{id}", "deleteUser", "Delete a user and their executions", ""), s.deleteUser)

	register(s, operation("GET /v1/strategies", "listStrategies", "List strategies", "In the order of their ids."), s.listStrategies)
	register(s, operation("GET /v1/strategies/{id}", "getStrategy", "Read one strategy", ""), s.getStrategy)
	register(s, operation("PUT /v1/strategies/{id}", "putStrategy", "Create or replace a strategy", ""), s.putStrategy)
	register(s, operation("DELETE /v1/strategies/{id}", "deleteStrategy", "Delete a strategy and its executions", ""), s.deleteStrategy)
}

func (s *Server) listUsers(ctx context.Context, in *PageInput) (*body[api.Page[sandtrail.User]], error) {
	if bound := callerOf(ctx).userID; bound != "" {
		user, err := s.store.User(ctx, bound)
		if sandtrail.CodeOf(err) == sandtrail.CodeNotFound {
			return answer(api.NewPage[sandtrail.User](nil, ""), nil)
		}
		return answer(api.NewPage([]sandtrail.User{user}, ""), err)
	}
	page, err := s.store.Users(ctx, sandtrail.OwnerQuery(*in))
	return answer(api.NewPage(page.Items, page.NextCursor), err)
}

func (s *Server) getUser(ctx context.Context, in *IDInput) (*body[sandtrail.User], error) {
	if err := mustBeOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	return answer(s.store.User(ctx, in.ID))
}

type putUserInput struct {
	IDInput
	Body api.OwnerUser
}

func (s *Server) putUser(ctx context.Context, in *putUserInput) (*body[sandtrail.User], error) {
	if err := sameID(in.ID, in.Body.ID); err != nil {
		return nil, err
	}
	user := sandtrail.User{ID: in.ID, Email: in.Body.Email, Name: in.Body.Name}
	if err := user.Validate(); err != nil {
		return nil, err
	}
	return answer(user, s.store.PutUser(ctx, user))
}

// sameID refuses a body that names another owner than the path does.
func sameID(path, body string) error {
	if body == "" || body == path {
		return nil
	}
	return api.NewProblem(&sandtrail.Error{Code: sandtrail.CodeInvalid, Fields: []sandtrail.FieldError{
		{Path: "id", Message: "is not the id in the path; leave it out"},
	}}, "body")
}

func (s *Server) deleteUser(ctx context.Context, in *IDInput) (*body[api.Deleted], error) {
	deleted, err := s.store.DeleteUser(ctx, in.ID)
	return answer(api.Deleted{Deleted: deleted}, err)
}

func (s *Server) listStrategies(ctx context.Context, in *PageInput) (*body[api.Page[sandtrail.Strategy]], error) {
	page, err := s.store.Strategies(ctx, sandtrail.OwnerQuery(*in))
	return answer(api.NewPage(page.Items, page.NextCursor), err)
}

func (s *Server) getStrategy(ctx context.Context, in *IDInput) (*body[sandtrail.Strategy], error) {
	return answer(s.store.Strategy(ctx, in.ID))
}

type putStrategyInput struct {
	IDInput
	Body api.OwnerStrategy
}

func (s *Server) putStrategy(ctx context.Context, in *putStrategyInput) (*body[sandtrail.Strategy], error) {
	if err := sameID(in.ID, in.Body.ID); err != nil {
		return nil, err
	}
	strategy := sandtrail.Strategy{ID: in.ID, Name: in.Body.Name}
	if err := strategy.Validate(); err != nil {
		return nil, err
	}
	return answer(strategy, s.store.PutStrategy(ctx, strategy))
}

func (s *Server) deleteStrategy(ctx context.Context, in *IDInput) (*body[api.Deleted], error) {
	deleted, err := s.store.DeleteStrategy(ctx, in.ID)
	return answer(api.Deleted{Deleted: deleted}, err)
}
