package server

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
)

// The page is made from the document that is served, so that it says what
// generated clients are told, and from nothing else.
type docsPage struct {
	Info struct {
		Title, Version, Description string
	}
	Paths      map[string]map[string]docsCall
	Components struct {
		Schemas map[string]docsSchema
	}
}

type docsCall struct {
	Method, Path                      string
	OperationID, Summary, Description string
	Parameters                        []docsParameter
	RequestBody                       struct{ Content map[string]docsContent }
	Responses                         map[string]docsResponse
	Samples                           []struct{ Source string } `json:"x-codeSamples"`
}

type docsParameter struct {
	Name, In, Description string
	Required              bool
	Schema                docsSchema
}

type docsContent struct {
	Schema  docsSchema
	Example any
}

// Answer is the example of an answer, if there is one.
func (c docsCall) Answer() string {
	for _, response := range c.Responses {
		for _, content := range response.Content {
			if text, ok := content.Example.(string); ok {
				return text
			}
			if raw, err := json.MarshalIndent(content.Example, "", "  "); err == nil && content.Example != nil {
				return string(raw)
			}
		}
	}
	return ""
}

type docsResponse struct {
	Description string
	Content     map[string]docsContent
}

type docsSchema struct {
	Ref         string `json:"$ref"`
	Type        any
	Format      string
	Description string
	Enum        []any
	Default     any
	Minimum     *float64
	Maximum     *float64
	Items       *docsSchema
	OneOf       []docsSchema
	Properties  map[string]docsSchema
	Required    []string
}

// Name is what the schema is called, as markup with a link where there is
// something to look up.
func (s docsSchema) Name() template.HTML {
	switch {
	case s.Ref != "":
		name := template.HTMLEscapeString(s.Ref[strings.LastIndexByte(s.Ref, '/')+1:])
		return template.HTML(`<a href="#` + name + `">` + name + `</a>`)
	case len(s.OneOf) > 0:
		var names []string
		for _, one := range s.OneOf {
			names = append(names, string(one.Name()))
		}
		return template.HTML(strings.Join(names, " or "))
	case s.Items != nil:
		return "array of " + s.Items.Name()
	}
	return template.HTML(template.HTMLEscapeString(s.words()))
}

func (s docsSchema) words() string {
	var words []string
	switch t := s.Type.(type) {
	case string:
		words = append(words, t)
	case []any:
		var names []string
		for _, name := range t {
			names = append(names, fmt.Sprint(name))
		}
		words = append(words, strings.Join(names, " or "))
	default:
		words = append(words, "any")
	}
	if s.Format != "" && s.Format != "int64" && s.Format != "double" {
		words = append(words, "("+s.Format+")")
	}
	for i, value := range s.Enum {
		if i == 0 {
			words = append(words, "of")
		}
		words = append(words, fmt.Sprint(value))
	}
	if s.Minimum != nil {
		words = append(words, fmt.Sprintf("from %.0f", *s.Minimum))
	}
	if s.Maximum != nil {
		words = append(words, fmt.Sprintf("to %.0f", *s.Maximum))
	}
	if s.Default != nil {
		words = append(words, fmt.Sprintf("default %v", s.Default))
	}
	return strings.Join(words, " ")
}

// IsRequired reports whether the property must be there.
func (s docsSchema) IsRequired(property string) bool { return slices.Contains(s.Required, property) }

// Calls lists the calls by path and method.
func (p docsPage) Calls() []docsCall {
	var calls []docsCall
	for path, methods := range p.Paths {
		for method, call := range methods {
			call.Method, call.Path = strings.ToUpper(method), path
			calls = append(calls, call)
		}
	}
	slices.SortFunc(calls, func(a, b docsCall) int {
		return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
	})
	return calls
}

func renderDocs(w io.Writer, document []byte) error {
	var page docsPage
	if err := json.Unmarshal(document, &page); err != nil {
		return fmt.Errorf("read the API description: %w", err)
	}
	functions := template.FuncMap{"paragraphs": func(s string) []string { return strings.Split(s, "\n\n") }}
	t, err := template.New("docs").Funcs(functions).Parse(docsTemplate)
	if err != nil {
		return err
	}
	return t.Execute(w, page)
}
