package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

// FilterInput is the part of a call that selects executions, as
// sandtrail.Filter does. Like the other parts it is exported for the API
// library alone, which sees no others.
type FilterInput struct {
	UserID     string         `query:"userId"`
	StrategyID string         `query:"strategyId"`
	Type       string         `query:"executionType" enum:"VALIDATION,TERMINAL"`
	Success    optional[bool] `query:"success"`
	TimedOut   optional[bool] `query:"timedOut"`
	Since      time.Time      `query:"since" doc:"createdAt at or after it."`
	Until      time.Time      `query:"until" doc:"createdAt before it."`
	Within     string         `query:"within" doc:"createdAt within this length of time before the first page is read." example:"1h"`
	MinTime    optional[int]  `query:"minTime" doc:"executionTime of at least so many milliseconds."`
	MaxTime    optional[int]  `query:"maxTime" doc:"executionTime of at most so many milliseconds."`
	MinMemory  optional[int]  `query:"minMemory" doc:"memoryUsed of at least so many MiB."`
	MaxMemory  optional[int]  `query:"maxMemory" doc:"memoryUsed of at most so many MiB."`
	Text       string         `query:"text" doc:"metadata contains it; the case of ASCII letters does not matter. A page may then have fewer executions than its limit, even none, and a nextCursor that goes on."`
}

// filter is the domain's filter, confined to what the caller may see.
func (in *FilterInput) filter(ctx context.Context) (sandtrail.Filter, error) {
	user, err := ownUser(ctx, in.UserID)
	if err != nil {
		return sandtrail.Filter{}, err
	}
	f := sandtrail.Filter{
		UserID: user, StrategyID: in.StrategyID, Type: sandtrail.ExecutionType(in.Type),
		Success: in.Success.pointer(), TimedOut: in.TimedOut.pointer(),
		Since: in.Since, Until: in.Until, Text: in.Text,
		MinTime: in.MinTime.pointer(), MaxTime: in.MaxTime.pointer(), MinMemory: in.MinMemory.pointer(), MaxMemory: in.MaxMemory.pointer(),
	}
	if in.Within != "" {
		if f.Within, err = sandtrail.ParseDuration(in.Within); err != nil {
			return f, atField("within", err)
		}
		if f.Within == 0 {
			return f, atField("within", errors.New("must be more than 0"))
		}
	}
	return f, nil
}

// atField says which field an error without one is about.
func atField(path string, err error) error {
	return &sandtrail.Error{
		Code: sandtrail.CodeInvalid, Err: err,
		Fields: []sandtrail.FieldError{{Path: path, Message: err.Error()}},
	}
}

// PageInput is the part of a call that asks for a page.
type PageInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50"`
	Cursor string `query:"cursor" doc:"nextCursor of the page before; it belongs to the same filter."`
}

func (s *Server) registerExecutions() {
	s.HandleFunc("POST /v1/executions", s.appendExecutions)
	s.documentAppend()

	register(s, operation("GET /v1/executions", "listExecutions", "List executions",
		"Newest first. Walking all pages meets every execution once that was there from the first page to the last."),
		s.listExecutions)
	register(s, operation("GET /v1/executions/{id}", "getExecution", "Read one execution", ""), s.getExecution)

	register(s, streaming(operation("GET "+streamPath, "streamExecutions", "Follow executions as they are committed",
		"Server-sent events, one for each committed execution, from any program. The data of an event is the execution; its id is the place to go on from."),
		"text/event-stream"), s.streamExecutions)
	register(s, streaming(operation("GET /v1/export", "exportExecutions", "Export executions",
		"Newest first, of any number. A connection that is cut short means that executions are missing: "+
			"go on with until one millisecond after the createdAt of the last whole execution, and leave out what you have."),
		"application/x-ndjson", "text/csv"), s.export)
}

type listInput struct {
	FilterInput
	PageInput
}

func (s *Server) listExecutions(ctx context.Context, in *listInput) (*body[api.Page[sandtrail.Execution]], error) {
	filter, err := in.filter(ctx)
	if err != nil {
		return nil, err
	}
	page, err := s.store.Executions(ctx, sandtrail.Query{Filter: filter, Limit: in.Limit, Cursor: in.Cursor}, s.now())
	return answer(api.NewPage(page.Items, page.NextCursor), err)
}

type executionInput struct {
	ID          string `path:"id" doc:"Its id, or the first digits of it, at least 8, when no other begins so."`
	UserID      string `query:"userId" doc:"Only if it is this user's."`
	IfNoneMatch string `header:"If-None-Match"`
}

type executionOutput struct {
	Status       int
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Body         *sandtrail.Execution
}

func (s *Server) getExecution(ctx context.Context, in *executionInput) (*executionOutput, error) {
	user, err := ownUser(ctx, in.UserID)
	if err != nil {
		return nil, err
	}
	e, err := s.executionOf(ctx, user, in.ID)
	if err != nil {
		return nil, err
	}
	tag, err := etag(e)
	if err != nil {
		return nil, err
	}
	out := &executionOutput{Status: 200, ETag: tag, CacheControl: "private, no-cache", Body: &e}
	if in.IfNoneMatch == tag {
		out.Status, out.Body = 304, nil
	}
	return out, nil
}

// visibleExecution reads one execution by its id or how that begins; those
// that the caller may not see do not exist for them.
func (s *Server) visibleExecution(ctx context.Context, text string) (sandtrail.Execution, error) {
	return s.executionOf(ctx, callerOf(ctx).userID, text)
}

// executionOf reads one execution of a user; "": of any user.
func (s *Server) executionOf(ctx context.Context, userID, text string) (sandtrail.Execution, error) {
	p, err := sandtrail.ParseIDPrefix(text)
	if err != nil {
		return sandtrail.Execution{}, err
	}
	id, whole := p.Whole()
	if !whole {
		return s.store.ExecutionByPrefix(ctx, p, userID)
	}
	e, err := s.store.Execution(ctx, id)
	if err == nil && userID != "" && e.UserID != userID {
		return sandtrail.Execution{}, sandtrail.Errorf(sandtrail.CodeNotFound, "there is no execution %s", id)
	}
	return e, err
}

// etag changes when the record's answer does: the record itself never does,
// the names beside it may.
func etag(e sandtrail.Execution) (string, error) {
	raw, err := sandtrail.EncodeJSON(e)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, nil
}
