package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/auth"
)

// grants says which callers a route lets in.
type grants uint8

const (
	byIngest grants = 1 << iota
	byReader
	byBound // a read key bound to one user: the handler confines it to that user
	byAuditor
	byAdmin
	byAnybody // no key needed

	writers = byIngest | byAdmin
	unbound = byReader | byAuditor | byAdmin // read the records of all users
	readers = unbound | byBound
)

// route is what is known about a pattern besides how it is answered.
type route struct {
	grants grants
	act    string // its name in the access log; "": not written there when allowed

	endless bool  // may take any time; sees to idle callers itself
	guarded bool  // answers only this machine where the server has no keys
	body    int64 // bytes; 0: smallBody
	ownBody bool  // receives its body, and takes its slots, itself
}

// routeTable is the whole of who may do what.
var routeTable = map[string]route{
	"POST /v1/executions":       {grants: writers, endless: true, ownBody: true},
	"POST " + otlpPath:          {grants: writers, ownBody: true},
	"GET /v1/executions":        {grants: readers},
	"GET /v1/executions/{id}":   {grants: readers},
	"GET /v1/executions/stream": {grants: readers, endless: true},
	"GET /v1/export":            {grants: readers, act: "export", endless: true},

	"GET /v1/strategies/{id}/stats":   {grants: unbound},
	"GET /v1/strategies/{id}/health":  {grants: unbound},
	"GET /v1/users/{id}/stats":        {grants: readers},
	"GET /v1/trends":                  {grants: readers},
	"GET /v1/window":                  {grants: readers},
	"GET /v1/ranking":                 {grants: unbound},
	"GET /v1/alerts":                  {grants: unbound},
	"GET /v1/alerts/history":          {grants: unbound},
	"GET /v1/alerts/silences":         {grants: unbound},
	"POST /v1/alerts/silences":        {grants: byAdmin, act: "silence alerts"},
	"DELETE /v1/alerts/silences/{id}": {grants: byAdmin, act: "end silence"},

	"GET /v1/users":                   {grants: readers},
	"GET /v1/users/{id}":              {grants: readers},
	"PUT /v1/users/{id}":              {grants: byAdmin, act: "put user"},
	"DELETE /v1/users/{id}":           {grants: byAdmin, act: "delete user"},
	"GET /v1/strategies":              {grants: unbound},
	"GET /v1/strategies/{id}":         {grants: unbound},
	"PUT /v1/strategies/{id}":         {grants: byAdmin, act: "put strategy"},
	"DELETE /v1/strategies/{id}":      {grants: byAdmin, act: "delete strategy"},
	"GET /v1/holds":                   {grants: unbound},
	"PUT /v1/holds/{subject}/{id}":    {grants: byAdmin, act: "put hold"},
	"DELETE /v1/holds/{subject}/{id}": {grants: byAdmin, act: "remove hold"},
	"GET /v1/examination":             {grants: byAuditor | byAdmin, endless: true},
	"GET /v1/retention":               {grants: unbound},
	"GET /v1/cleanup":                 {grants: unbound},
	"POST /v1/cleanup":                {grants: byAdmin, act: auth.CleanupAction},

	"GET /v1/ledger/checkpoint":                 {grants: unbound},
	"GET /v1/ledger/tile/{path...}":             {grants: unbound},
	"GET /v1/ledger/closed":                     {grants: unbound},
	"GET /v1/ledger/removals":                   {grants: unbound},
	"GET /v1/ledger/renames":                    {grants: unbound},
	"GET /v1/ledger/closed/{at}/tile/{path...}": {grants: unbound},

	"GET /v1/ledger/proof/{id}":   {grants: readers},
	"GET /v1/ledger/receipt/{id}": {grants: readers},
	addCheckpointPath:             {grants: byAnybody, body: maxCheckpointBody},

	"GET /v1/keys":         {grants: byAuditor | byAdmin},
	"POST /v1/keys":        {grants: byAdmin, act: "create key"},
	"DELETE /v1/keys/{id}": {grants: byAdmin, act: "revoke key"},
	"GET /v1/access-log":   {grants: byAuditor | byAdmin, act: "read access log"},

	"GET /healthz":      {grants: byAnybody},
	"GET /readyz":       {grants: byAnybody},
	"GET /metrics":      {grants: byAnybody, guarded: true},
	"GET /openapi.json": {grants: byAnybody, guarded: true},
	"GET /docs":         {grants: byAnybody, guarded: true},
}

// HandleFunc registers a handler behind the authenticator and the meters. It is what
// the API library registers its operations through, so that no route can
// come to be without a line in routeTable.
func (s *Server) HandleFunc(pattern string, handle func(http.ResponseWriter, *http.Request)) {
	route, ok := routeTable[pattern]
	if !ok {
		panic("server: " + pattern + " is not in routeTable")
	}
	slots := s.slotsOf(pattern, route)
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		s.observe(pattern, w, r, func(w http.ResponseWriter, r *http.Request) {
			if r, ok := s.admit(pattern, route, w, r); ok {
				s.serve(slots, route, w, r, handle)
			}
		})
	})
}

// ServeHTTP completes the interface that the API library asks for.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// admit lets a request in or answers it. What goes into the access log is
// there before it is done.
func (s *Server) admit(pattern string, route route, w http.ResponseWriter, r *http.Request) (*http.Request, bool) {
	if route.grants&byAnybody != 0 {
		if route.guarded {
			if err := s.auth.checkVisitor(r); err != nil {
				s.writeProblem(w, r, err, "")
				return nil, false
			}
		}
		return r.WithContext(context.WithValue(r.Context(), callerKey{}, stranger(r))), true
	}
	act := route.act
	if act == "" {
		act = pattern
	}
	c, err := s.auth.identify(r)
	if err == nil && route.grants&c.grant() == 0 {
		err = sandtrail.Errorf(sandtrail.CodeForbidden, "a key with the role %s may not do this; ask for one with another role", describeRole(c))
	}
	switch sandtrail.CodeOf(err) {
	case sandtrail.CodeUnauthorized, sandtrail.CodeForbidden:
		s.metrics.denied.Inc()
		s.auth.recordDenied(r, c, act, err)
	}
	if err == nil && route.act != "" {
		err = s.auth.record(r, c, act, auth.Allowed, "")
	}
	if err != nil {
		s.writeProblem(w, r, err, "")
		return nil, false
	}
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c)), true
}

func describeRole(c caller) string {
	if c.userID != "" {
		return string(c.role) + ", bound to one user,"
	}
	return string(c.role)
}

// notFound answers what no route does.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); routeTable[pattern].grants != 0 {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		s.writeProblem(w, r, sandtrail.Errorf(sandtrail.CodeNotFound, "there is no %s; the calls are listed at /docs", r.URL.Path), "")
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	problem := api.NewProblem(sandtrail.Errorf(sandtrail.CodeInvalid, "%s takes %s", r.URL.Path, strings.Join(allowed, ", ")), "")
	problem.Title, problem.Status = http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed
	sendProblem(w, problem)
}
