package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/sandtrail/sandtrail"
)

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// Problem is an RFC 9457 problem document.
type Problem struct {
	Title  string         `json:"title" doc:"What kind of problem it is; the same for every problem of its code."`
	Status int            `json:"status" doc:"The HTTP status."`
	Code   sandtrail.Code `json:"code" enum:"invalid,not_found,conflict,unauthorized,forbidden,held,rate_limited,too_large,unavailable,internal" doc:"The kind of problem, for programs."`
	Detail string         `json:"detail" doc:"What was wrong and what to do."`
	Errors []FieldProblem `json:"errors,omitempty" doc:"Every place that is at fault, up to 100."`
	More   int            `json:"more,omitempty" doc:"How many further places are at fault."`
	// Remedies are those that a caller may have the right to.
	Remedies []Remedy `json:"remedies,omitempty" doc:"What mends it, for programs that offer it to people."`

	// How far a request came before it stopped.
	Line       *int64 `json:"line,omitempty" doc:"NDJSON only: the line, counted from 1, that the import stopped at. Every line before it is stored; none from it on is."`
	Accepted   *int64 `json:"accepted,omitempty" doc:"NDJSON only: executions stored before that line."`
	Duplicates *int64 `json:"duplicates,omitempty" doc:"NDJSON only: executions before that line that were stored already."`
	Deleted    *int64 `json:"deleted,omitempty" doc:"Cleanup only: executions deleted before it was interrupted."`
}

// FieldProblem is one place that is at fault.
type FieldProblem struct {
	Location string `json:"location" doc:"Where, such as body[3].executionTime or query.limit."`
	Message  string `json:"message" doc:"What is wrong there."`
}

// Remedy is an act that mends a problem.
type Remedy struct {
	Act   sandtrail.Act `json:"act" enum:"add_user,add_strategy,add_key" doc:"What to do."`
	Value string        `json:"value" doc:"The id of what has to be added; the role of a key."`
}

// NewProblem describes an error. origin is where its field paths start,
// "body" or "query", apart from the fields inPath, which the call's path gave.
// An error without a code of the domain is a fault of ours: its text is kept
// from the caller.
func NewProblem(err error, origin string, inPath ...string) *Problem {
	code := sandtrail.CodeOf(err)
	p := &Problem{Title: title(code), Status: Status(code), Code: code, Detail: "The server met an error of its own; its log says more."}
	var e *sandtrail.Error
	if !errors.As(err, &e) || code == sandtrail.CodeInternal {
		return p
	}
	p.Detail, p.More = e.Public(), e.More
	for _, f := range e.Fields {
		from := origin
		if slices.Contains(inPath, f.Path) {
			from = "path"
		}
		p.Errors = append(p.Errors, FieldProblem{Location: location(from, f.Path), Message: f.Message})
	}
	for _, r := range e.Remedies {
		if r.Value != "" { // the others are for who runs the store
			p.Remedies = append(p.Remedies, Remedy{r.Act, r.Value})
		}
	}
	return p
}

func title(code sandtrail.Code) string {
	switch code {
	case sandtrail.CodeInvalid:
		return "Invalid input"
	case sandtrail.CodeHeld:
		return "Held"
	}
	return http.StatusText(Status(code))
}

func location(origin, path string) string {
	if path == "" || path[0] == '[' {
		return origin + path
	}
	return origin + "." + path
}

// Err is the domain's error that the problem describes.
func (p *Problem) Err() *sandtrail.Error {
	e := &sandtrail.Error{Code: p.Code, Message: p.Detail, More: p.More}
	if e.Code == "" {
		e.Code = CodeOfStatus(p.Status)
	}
	for _, f := range p.Errors {
		e.Fields = append(e.Fields, sandtrail.FieldError{Path: pathIn(f.Location), Message: f.Message})
	}
	for _, r := range p.Remedies {
		e.Remedies = append(e.Remedies, sandtrail.Remedy{Act: r.Act, Value: r.Value})
	}
	// Error() writes the fields behind the message, as it did when the detail
	// was made.
	fields := (&sandtrail.Error{Fields: e.Fields, More: e.More}).Error()
	if message, ok := strings.CutSuffix(p.Detail, fields); ok && len(e.Fields) > 0 {
		e.Message = strings.TrimSuffix(message, ": ")
	}
	return e
}

// pathIn takes the origin off a location.
func pathIn(location string) string {
	i := strings.IndexAny(location, ".[")
	switch {
	case i < 0:
		return ""
	case location[i] == '.':
		return location[i+1:]
	}
	return location[i:]
}

// Error makes a Problem an error, as which handlers return it.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is the media type of the document.
func (p *Problem) ContentType(string) string { return ProblemType }
