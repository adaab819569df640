package recorder

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/sandtrail/sandtrail"
)

// Report is what a validator said on its standard output.
type Report struct {
	Success  bool
	Errors   []sandtrail.Finding
	Warnings []sandtrail.Finding
	Classes  []string // nil: the validator did not say
}

// findReport looks for the last verdict of a validator in the end of an
// output. What a strategy printed itself may stand before it. Nil: there is
// none.
//
// Three forms are known:
//
//	{success, errors, warnings, classes_found, …}
//	{valid, syntaxErrors, warnings, dangerousImports, codeStats, …}
//	{is_valid, errors, warnings, found_classes, …}
//
// A verdict that names errors is no success, whatever it says.
func findReport(output []byte) *Report {
	budget := 16 * len(output) // of bytes looked at, so that no output can keep us
	for _, at := range candidates(output) {
		if budget <= 0 {
			return nil
		}
		dec := json.NewDecoder(bytes.NewReader(output[at:]))
		var object map[string]json.RawMessage
		if err := dec.Decode(&object); err != nil {
			budget -= len(output) - at
			continue
		}
		budget -= int(dec.InputOffset())
		if report := readReport(object); report != nil {
			return report
		}
	}
	return nil
}

// candidates are the places where a verdict may begin, the last first: the
// start of a line, or, behind something printed without a line feed, anywhere
// in the last line.
func candidates(output []byte) (offsets []int) {
	lastLine := bytes.LastIndexByte(bytes.TrimSpace(output), '\n') + 1
	for i := len(output) - 1; i >= 0; i-- {
		if output[i] == '{' && (i == 0 || output[i-1] == '\n' || i > lastLine && bytes.HasPrefix(output[i:], []byte(`{"`))) {
			offsets = append(offsets, i)
		}
	}
	return offsets
}

// form is one of the shapes in which validators report.
type form struct {
	verdict  string // the member that holds true or false
	errors   string
	warnings []string // members whose elements are warnings
	classes  func(object map[string]json.RawMessage) []string
}

var forms = []form{
	{"success", "errors", []string{"warnings"}, member("classes_found")},
	{"valid", "syntaxErrors", []string{"warnings", "dangerousImports"}, classesInStats},
	{"is_valid", "errors", []string{"warnings"}, member("found_classes")},
}

func readReport(object map[string]json.RawMessage) *Report {
	for _, f := range forms {
		var success *bool
		_, hasErrors := object[f.errors]
		if json.Unmarshal(object[f.verdict], &success) != nil || success == nil || !hasErrors {
			continue
		}
		r := &Report{Errors: readFindings(object[f.errors], "error"), Classes: f.classes(object)}
		for _, name := range f.warnings {
			for _, w := range readFindings(object[name], "warning") {
				if w.Code == "" && name == "dangerousImports" {
					w.Code = "dangerous_import"
				}
				r.Warnings = append(r.Warnings, w)
			}
		}
		r.Success = *success && len(r.Errors) == 0
		return r
	}
	return nil
}

// readFindings takes an array of texts or objects, or one of them alone.
func readFindings(raw json.RawMessage, severity string) []sandtrail.Finding {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		elements = []json.RawMessage{raw}
	}
	findings := make([]sandtrail.Finding, 0, len(elements))
	for _, element := range elements {
		findings = append(findings, readFinding(element, severity))
	}
	return findings
}

func readFinding(raw json.RawMessage, severity string) sandtrail.Finding {
	f := sandtrail.Finding{Severity: severity}
	if json.Unmarshal(raw, &f.Message) == nil {
		f.Message = storable(f.Message)
		return f
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		f.Message = storable(string(raw)) // a number, an array: better than nothing
		return f
	}
	text := func(names ...string) string {
		for _, name := range names {
			var s string
			if json.Unmarshal(object[name], &s) == nil && s != "" {
				return storable(s)
			}
		}
		return ""
	}
	f.Message = text("message", "msg", "error", "text", "description", "module", "name")
	if where := joinNonEmpty(".", text("class_name", "className"), text("method_name", "methodName")); where != "" {
		f.Message = where + ": " + f.Message
	}
	if f.Message == "" {
		f.Message = storable(string(raw))
	}
	f.Code = text("code", "error_type", "errorType", "type")
	f.Traceback = text("traceback", "stack")
	f.Suggestion = text("suggestion", "hint")
	f.Line = integer(object, "line", "lineno", "line_number", "lineNumber")
	f.Column = integer(object, "column", "col", "offset", "col_offset")
	return f
}

func joinNonEmpty(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), separator)
}

func integer(object map[string]json.RawMessage, names ...string) *int {
	for _, name := range names {
		var n *int
		if json.Unmarshal(object[name], &n) == nil && n != nil {
			return n
		}
	}
	return nil
}

func member(name string) func(map[string]json.RawMessage) []string {
	return func(object map[string]json.RawMessage) []string { return readClasses(object[name]) }
}

// classesInStats finds the classes of the second form; its codeStats mostly
// hold how many there are, which names nobody.
func classesInStats(object map[string]json.RawMessage) []string {
	var stats map[string]json.RawMessage
	if json.Unmarshal(object["codeStats"], &stats) != nil {
		return nil
	}
	return readClasses(stats["classes"])
}

// readClasses takes an array of names, an array of objects with a name, or an
// object whose keys are names. Nil: none of these.
func readClasses(raw json.RawMessage) []string {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var names []string
	var objects []struct{ Name string }
	var keyed map[string]json.RawMessage
	switch {
	case json.Unmarshal(raw, &names) == nil:
	case json.Unmarshal(raw, &objects) == nil:
		names = nil
		for _, o := range objects {
			names = append(names, o.Name)
		}
	case json.Unmarshal(raw, &keyed) == nil:
		names = slices.Sorted(maps.Keys(keyed))
	default:
		return nil
	}
	classes := []string{}
	for _, name := range names {
		if isClassName(name) && !slices.Contains(classes, name) {
			classes = append(classes, name)
		}
	}
	return classes
}

// isClassName keeps out what no language calls a name, so that a strange
// verdict cannot make the record invalid.
func isClassName(name string) bool {
	bad := func(r rune) bool {
		return r == ',' || r == unicode.ReplacementChar || unicode.IsSpace(r) || unicode.IsControl(r)
	}
	return name != "" && len(name) <= sandtrail.MaxClassBytes && !strings.ContainsFunc(name, bad)
}
