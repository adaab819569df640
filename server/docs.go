package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	_ "embed"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
)

const aboutAPI = `The audit trail of code sandboxes: executions, and answers about them.

Send a key as ` + "`Authorization: Bearer st_…`" + `. Its role says what it may do: ingest writes executions and nothing else; read sees everything, or one user's executions when it is bound to a user; auditor reads, exports, verifies and sees the access log, and changes nothing; admin may do everything. A server without keys answers this machine only.

Times are RFC 3339, kept in UTC to the millisecond. null means not measured, or a rate or an average over nothing. Errors are problem documents (RFC 9457) whose errors name every place at fault. Bodies may be gzip or zstd. 429 and 503 come with Retry-After.`

// describe fills in what is said about the API as a whole.
func describe(doc *huma.OpenAPI) {
	doc.Info.Description = aboutAPI
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key": {Type: "http", Scheme: "bearer", Description: "A key made with `sandtrail keys create`."},
	}
	doc.Security = []map[string][]string{{"key": {}}}
}

func splitPattern(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	return method, path
}

// tagOf groups the calls by the first word of their path.
func tagOf(path string) string {
	word, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
	if word == "" {
		return "server"
	}
	return word
}

func (s *Server) schemaOf(t reflect.Type) *huma.Schema {
	return s.api.OpenAPI().Components.Schemas.Schema(t, true, "")
}

func (s *Server) problemResponse() *huma.Response {
	return &huma.Response{
		Description: "What went wrong.",
		Content:     map[string]*huma.MediaType{api.ProblemType: {Schema: s.schemaOf(reflect.TypeFor[api.Problem]())}},
	}
}

// streaming documents an answer that has no schema of its own.
func streaming(op huma.Operation, types ...string) huma.Operation {
	content := map[string]*huma.MediaType{}
	for _, t := range types {
		content[t] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	op.Responses = map[string]*huma.Response{"200": {Description: "A stream of any length.", Content: content}}
	return op
}

// documentAppend describes the call that reads its body itself.
func (s *Server) documentAppend() {
	record := s.schemaOf(reflect.TypeFor[newExecution]())
	op := operation("POST /v1/executions", "appendExecutions", "Store executions", appendText)
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/json":     {Schema: &huma.Schema{OneOf: []*huma.Schema{record, {Type: huma.TypeArray, Items: record}}}},
		"application/x-ndjson": {Schema: &huma.Schema{Type: huma.TypeString, Description: "One execution a line."}},
	}}
	op.Responses = map[string]*huma.Response{
		"201": {Description: "Stored: durable and visible to every reader.", Content: map[string]*huma.MediaType{
			"application/json": {Schema: s.schemaOf(reflect.TypeFor[api.Appended]())},
		}},
		"default": s.problemResponse(),
	}
	s.api.OpenAPI().AddOperation(&op)
}

const appendText = `One execution, an array of up to 10000, or NDJSON of any length. It is answered after the commit.

A JSON body is stored whole or not at all. NDJSON is committed as it comes; at a fault everything before the faulty line is stored and nothing from it on, and the problem's line says where.

The id is the idempotency key: the same id with the same content is a duplicate and stored once, for ever; with different content it is a conflict.`

// newExecution documents a record as it is sent. It is read by
// sandtrail.Draft.
type newExecution struct {
	ID            *sandtrail.ID   `json:"id,omitempty" nullable:"true" format:"uuid" doc:"Made if left out."`
	UserID        string          `json:"userId" maxLength:"255" example:"u1"`
	StrategyID    string          `json:"strategyId" maxLength:"255" example:"s1"`
	Type          string          `json:"executionType" enum:"VALIDATION,TERMINAL"`
	Success       bool            `json:"success" doc:"An execution that timed out did not succeed."`
	ExecutionTime int             `json:"executionTime" minimum:"0" maximum:"2147483647" doc:"Wall time in milliseconds." example:"1204"`
	MemoryUsed    *int            `json:"memoryUsed,omitempty" nullable:"true" minimum:"0" doc:"Peak of the process tree in MiB; null if not measured."`
	CPUUsage      *float64        `json:"cpuUsage,omitempty" nullable:"true" minimum:"0" doc:"Percent, 100 for one core; null if not measured."`
	TimedOut      *bool           `json:"timedOut,omitempty" doc:"false if left out."`
	ErrorCount    *int            `json:"errorCount,omitempty" nullable:"true" minimum:"0" doc:"The number of metadata.errors if left out."`
	WarningCount  *int            `json:"warningCount,omitempty" nullable:"true" minimum:"0" doc:"The number of metadata.warnings if left out."`
	Classes       []string        `json:"classesFound,omitempty" doc:"An array, or a comma-separated string; null if not looked for."`
	Metadata      json.RawMessage `json:"metadata,omitempty" doc:"A JSON object of up to 64 KiB."`
	CreatedAt     *string         `json:"createdAt,omitempty" nullable:"true" format:"date-time" doc:"When the execution ended; now if left out."`
}

//go:embed docs.html.tmpl
var docsTemplate string

// registerDocs serves the description that all registrations before it made.
func (s *Server) registerDocs() {
	doc := s.api.OpenAPI()
	delete(doc.Components.Schemas.Map(), "ErrorModel")
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
	examples := Examples()
	for path, item := range doc.Paths {
		for _, op := range operationsOf(item) {
			illustrate(op, path, examples)
			refusals(op, routeTable[op.Method+" "+path])
			if routeTable[op.Method+" "+path].grants&byAnybody != 0 {
				op.Security = []map[string][]string{}
			}
		}
	}
	raw, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(err) // a description of our own making
	}
	raw = append(raw, '\n')
	s.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(raw)
	})
	var page bytes.Buffer
	if err := renderDocs(&page, raw); err != nil {
		panic(err)
	}
	s.HandleFunc("GET /docs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		_, _ = w.Write(page.Bytes())
	})
}

// refusals documents the statuses of the errors that a call can have, each as its
// other errors are.
func refusals(op *huma.Operation, route route) {
	codes := []sandtrail.Code{sandtrail.CodeRateLimited, sandtrail.CodeUnavailable}
	if route.grants&byAnybody == 0 {
		codes = append(codes, sandtrail.CodeUnauthorized, sandtrail.CodeForbidden)
	}
	if op.RequestBody != nil {
		codes = append(codes, sandtrail.CodeTooLarge)
	}
	other := op.Responses["default"]
	for _, code := range codes {
		meaning := api.MeaningOf(code)
		status := strconv.Itoa(meaning.Status)
		if other == nil || op.Responses[status] != nil {
			continue
		}
		response := &huma.Response{Description: meaning.Says, Content: other.Content}
		if meaning.Status == http.StatusTooManyRequests || meaning.Status == http.StatusServiceUnavailable {
			response.Headers = map[string]*huma.Param{"Retry-After": {Description: "Seconds to wait.", Schema: &huma.Schema{Type: huma.TypeInteger}}}
		}
		op.Responses[status] = response
	}
}

func operationsOf(item *huma.PathItem) []*huma.Operation {
	var all []*huma.Operation
	for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
		if op != nil {
			all = append(all, op)
		}
	}
	return all
}
