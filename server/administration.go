package server

import (
	"context"
	"errors"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
)

func (s *Server) registerAdministration() {
	register(s, operation("GET /v1/cleanup", "countOld", "Count what a cleanup would delete", ""), s.countOld)
	register(s, operation("POST /v1/cleanup", "cleanup", "Delete old executions", ""), s.cleanup)
	register(s, operation("GET /v1/retention", "retention", "Show how long executions are kept",
		"What this server was started with."), s.retention)
	register(s, operation("GET /v1/keys", "listKeys", "List keys", "Without their secrets, which are not kept."), s.listKeys)
	create := operation("POST /v1/keys", "createKey", "Make a key", "The answer is the only time its secret is shown.")
	create.DefaultStatus = 201
	register(s, create, s.createKey)
	register(s, operation("DELETE /v1/keys/{id}", "revokeKey", "Revoke a key",
		"Other servers on the same database notice within seconds."), s.revokeKey)
	register(s, operation("GET /v1/access-log", "accessLog", "Read the access log",
		"Administrative acts, exports and denied attempts, newest first."), s.accessLog)
}

type countInput struct {
	OlderThan  string              `query:"olderThan" example:"90d"`
	Before     optional[time.Time] `query:"before"`
	Types      map[string]string   `query:"types,deepObject" doc:"As of a cleanup."`
	Strategies map[string]string   `query:"strategies,deepObject" doc:"As of a cleanup."`
}

func (s *Server) countOld(ctx context.Context, in *countInput) (*body[api.Count], error) {
	ask := api.Cleanup{OlderThan: in.OlderThan, Before: in.Before.pointer(), Types: in.Types, Strategies: in.Strategies}
	old, err := ask.Cutoff(s.cfg.Retention, s.now())
	if err != nil {
		return nil, err
	}
	count, err := s.store.CountBefore(ctx, old)
	if err != nil {
		return nil, err
	}
	held, err := s.store.HeldBefore(ctx, old)
	return answer(api.Count{Count: count, Held: held}, err)
}

type cleanupInput struct{ Body api.Cleanup }

func (s *Server) cleanup(ctx context.Context, in *cleanupInput) (*body[api.CleanedUp], error) {
	old, err := in.Body.Cutoff(s.cfg.Retention, s.now())
	if err != nil {
		return nil, err
	}
	if err := database.AgreeOnTime(ctx, s.store, s.now()); err != nil {
		return nil, err
	}
	deleted, err := s.store.Cleanup(ctx, old)
	if err != nil {
		problem := s.problem(ctx, err, "body")
		problem.Deleted = &deleted
		return nil, problem
	}
	held, err := s.store.HeldBefore(ctx, old)
	s.logger(ctx).Info("cleanup", "old", old, "deleted", deleted, "held", held, "by", callerOf(ctx).name())
	return answer(api.CleanedUp{Deleted: deleted, Held: held}, err)
}

func (s *Server) retention(context.Context, *struct{}) (*body[api.Retention], error) {
	return answer(api.NewRetention(s.cfg.Retention), nil)
}

func (s *Server) listKeys(ctx context.Context, _ *struct{}) (*body[api.Page[auth.Key]], error) {
	if s.services.keys == nil {
		return answer(api.NewPage[auth.Key](nil, ""), nil)
	}
	keys, err := s.services.keys.Keys(ctx)
	return answer(api.NewPage(keys, ""), err)
}

type createKeyInput struct{ Body api.NewKey }

func (s *Server) createKey(ctx context.Context, in *createKeyInput) (*body[api.CreatedKey], error) {
	if s.services.keys == nil {
		return nil, errNoKeys
	}
	key, secret, err := in.Body.Make(s.now())
	if err != nil {
		return nil, err
	}
	if err := s.services.keys.CreateKey(ctx, key); err != nil {
		return nil, err
	}
	s.auth.welcome(key.Hash)
	return answer(api.CreatedKey{Key: key, Secret: secret}, nil)
}

var errNoKeys = sandtrail.Errorf(sandtrail.CodeNotFound, "this server has no keys: its store keeps none")

type keyInput struct {
	ID string `path:"id" format:"uuid"`
}

func (s *Server) revokeKey(ctx context.Context, in *keyInput) (*struct{}, error) {
	if s.services.keys == nil {
		return nil, errNoKeys
	}
	id, err := sandtrail.ParseID(in.ID)
	if err != nil {
		return nil, err
	}
	if err := s.services.keys.RevokeKey(ctx, id, sandtrail.Millisecond(s.now())); err != nil {
		return nil, err
	}
	s.auth.forget()
	return nil, nil
}

var errBadCursor = errors.New("not a cursor of this list; start again without one")

// before is the id that a cursor stands for where pages go by ids.
func (in *PageInput) before() (id sandtrail.ID, err error) {
	if in.Cursor != "" && id.UnmarshalText([]byte(in.Cursor)) != nil {
		return id, atField("cursor", errBadCursor)
	}
	return id, nil
}

// nextBefore is the cursor of the page after items, of which limit were asked
// for.
func nextBefore[T any](items []T, limit int, id func(T) sandtrail.ID) string {
	if len(items) < limit {
		return ""
	}
	return id(items[limit-1]).String()
}

type accessInput struct {
	PageInput
	Actor   string `query:"actor" doc:"The name of a key, anonymous, or cli."`
	Action  string `query:"action" example:"delete user"`
	Outcome string `query:"outcome" enum:"allowed,denied"`
}

func (s *Server) accessLog(ctx context.Context, in *accessInput) (*body[api.Page[auth.Access]], error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	if s.services.accessLog == nil {
		return answer(api.NewPage[auth.Access](nil, ""), nil)
	}
	lines, err := s.services.accessLog.Accesses(ctx, auth.AccessQuery{
		Actor: in.Actor, Action: in.Action, Outcome: auth.Outcome(in.Outcome), Before: before, Limit: in.Limit,
	})
	next := nextBefore(lines, in.Limit, func(a auth.Access) sandtrail.ID { return a.ID })
	return answer(api.NewPage(lines, next), err)
}
