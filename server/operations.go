package server

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

const streamPath = "/v1/executions/stream"

// schemaName names a type in the OpenAPI document: as in Go, but for those of alerts,
// whose names need their package's beside them.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for _, short := range []string{"Event", "Delivery", "State"} {
		if strings.Contains(t.String(), "alert."+short) {
			return strings.Replace(name, short, "Alert"+short, 1)
		}
	}
	return name
}

// routes registers everything the server answers.
func (s *Server) routes() error {
	config := huma.DefaultConfig("Sandtrail", s.cfg.Version)
	config.CreateHooks = nil // no $schema members in answers
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{s.ownProblems}
	describe(config.OpenAPI)
	s.api = huma.NewAPI(config, humago.NewAdapter(s, ""))

	s.registerExecutions()
	s.registerOTLP()
	s.registerStatistics()
	s.registerAlerts()
	s.registerOwners()
	s.registerHolds()
	s.registerAdministration()
	s.registerExamination()
	s.registerLedger()
	s.registerWitness()
	s.registerOperations()
	s.registerDocs()

	s.mux.HandleFunc("/v1/", s.notFound)
	if s.cfg.Page != nil {
		s.mux.HandleFunc("/", s.page(s.cfg.Page(s.mux)))
	} else {
		s.mux.HandleFunc("/", s.notFound)
	}
	var err error
	s.handler, err = s.wrap(s.mux)
	return err
}

// formBody bounds the forms of the page, which answers those that are too large for
// it itself.
const formBody = 2 << 20

// page lets readers through to the page: without keys, those on this machine.
func (s *Server) page(page http.Handler) http.HandlerFunc {
	admit := func(w http.ResponseWriter, r *http.Request) {
		open, err := s.auth.isOpen(r.Context())
		if err == nil && open {
			if err = checkLocal(r); err != nil {
				s.auth.recordDenied(r, stranger(r), "page", err)
			}
		}
		if err != nil {
			s.writeProblem(w, r, err, "")
			return
		}
		if r.Body != http.NoBody {
			kept, err := s.receiveWhole(w, r, formBody)
			if err == nil {
				defer kept.free()
				err = s.replaceBody(r, kept)
			}
			if err != nil {
				s.writeProblem(w, r, err, "")
				return
			}
		}
		page.ServeHTTP(w, r)
	}
	return func(w http.ResponseWriter, r *http.Request) { s.observe("page", w, r, admit) }
}

// operation describes a call for the documentation.
func operation(pattern, id, summary, description string) huma.Operation {
	method, path := splitPattern(pattern)
	return huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary, Description: description,
		Tags: []string{tagOf(path)},
	}
}

// register adds a call. Its errors become problems whose paths start at the
// query, or at the body where there is one; the parameters of the path, there.
func register[I, O any](s *Server, op huma.Operation, answer func(context.Context, *I) (*O, error)) {
	origin := "body"
	if op.Method == http.MethodGet || op.Method == http.MethodDelete {
		origin = "query"
	}
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	// The body has come already, and was measured. A deadline for reading it would
	// cancel this request and all later ones of the connection.
	op.BodyReadTimeout, op.MaxBodyBytes = -1, smallBody
	inPath := pathParameters(op.Path)
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := answer(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err, origin, inPath...)
		}
		return out, nil
	})
	op.Responses["default"] = s.problemResponse()
}

// pathParameters are the names between the braces of a path.
func pathParameters(path string) (names []string) {
	for segment := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			names = append(names, strings.TrimSuffix(name, "}"))
		}
	}
	return names
}

// ownProblems replaces the library's error documents by ours.
func (s *Server) ownProblems(_ huma.Context, _ string, value any) (any, error) {
	theirs, ok := value.(*huma.ErrorModel)
	if !ok {
		return value, nil
	}
	p := &api.Problem{
		Title: theirs.Title, Status: theirs.Status, Detail: theirs.Detail,
		Code: api.CodeOfStatus(theirs.Status),
	}
	for _, e := range theirs.Errors {
		p.Errors = append(p.Errors, api.FieldProblem{Location: e.Location, Message: e.Message})
	}
	slices.SortStableFunc(p.Errors, func(a, b api.FieldProblem) int { return strings.Compare(a.Location, b.Location) })
	return p, nil
}

// body is an answer that has nothing but a body.
type body[T any] struct {
	Body T `nullable:"false"`
}

func answer[T any](value T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{Body: value}, nil
}

// optional is a query parameter that may be absent where its zero value has a
// meaning.
type optional[T any] struct {
	Value T
	IsSet bool
}

// Schema is the schema of the value.
func (optional[T]) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeFor[T]())
}

// Receiver is where the library puts the value.
func (o *optional[T]) Receiver() reflect.Value { return reflect.ValueOf(o).Elem().Field(0) }

// OnParamSet is called by the library when the parameter is present.
func (o *optional[T]) OnParamSet(isSet bool, _ any) { o.IsSet = isSet }

func (o optional[T]) pointer() *T {
	if !o.IsSet {
		return nil
	}
	return &o.Value
}

// ownUser confines a caller who is bound to a user to that user: it returns
// the user to ask for, or an error if the caller asked for another.
func ownUser(ctx context.Context, asked string) (string, error) {
	bound := callerOf(ctx).userID
	switch {
	case bound == "" || asked == bound:
		return asked, nil
	case asked == "":
		return bound, nil
	}
	return "", sandtrail.Errorf(sandtrail.CodeForbidden, "this key sees only the executions of the user it is bound to; ask for one that is not bound")
}
