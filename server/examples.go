package server

import (
	"encoding/json"
	"strconv"
	"strings"

	_ "embed"

	"github.com/danielgtaylor/huma/v2"
)

// Example is a call that was made, with its answer. Texts are kept as JSON
// strings.
type Example struct {
	Path     string          `json:"path"` // with its query
	Body     json.RawMessage `json:"body,omitempty"`
	Status   int             `json:"status"`
	Type     string          `json:"type,omitempty"`     // of the response
	Response json.RawMessage `json:"response,omitempty"` // absent: none, or nothing that people read
}

// examplesFile holds an example of every call; TestExamplesAreTrue makes it.
//
//go:embed examples.json
var examplesFile []byte

// Examples are those that the documentation shows, by method and path.
func Examples() map[string]Example {
	var all map[string]Example
	if err := json.Unmarshal(examplesFile, &all); err != nil {
		panic(err) // a file of our own making
	}
	return all
}

// illustrate adds an example to the description of a call.
func illustrate(op *huma.Operation, path string, examples map[string]Example) {
	e, ok := examples[op.Method+" "+path]
	if !ok {
		return
	}
	op.Extensions = map[string]any{"x-codeSamples": []map[string]string{{"lang": "Shell", "label": "curl", "source": e.curl(op.Method)}}}
	if op.RequestBody != nil {
		give(op.RequestBody.Content["application/json"], e.Body)
	}
	if response := op.Responses[strconv.Itoa(e.Status)]; response != nil {
		give(response.Content[e.Type], e.Response)
	}
}

// give shows an example of a form, if there is one and the call has the form.
func give(media *huma.MediaType, raw json.RawMessage) {
	var value any
	if media != nil && json.Unmarshal(raw, &value) == nil {
		media.Example = value
	}
}

// curl is the command line that makes the call.
func (e Example) curl(method string) string {
	parts := []string{"curl"}
	if method != "GET" {
		parts = append(parts, "-X", method)
	}
	parts = append(parts, `-H "Authorization: Bearer $SANDTRAIL_KEY"`, `"$SANDTRAIL_SERVER`+e.Path+`"`)
	switch body := string(e.Body); {
	case body == "":
	case body[0] == '"':
		parts = append(parts, "--data-binary @FILE")
	default:
		parts = append(parts, "-H 'Content-Type: application/json'", "-d '"+strings.ReplaceAll(body, "'", `'\''`)+"'")
	}
	return strings.Join(parts, " ")
}
