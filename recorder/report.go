package recorder

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/sandtrail/sandtrail"
)

// Report is what a validator said on its standard output.
type Report struct {
	Success  bool
	Errors   []sandtrail.Finding // the first 1,000
	Warnings []sandtrail.Finding // the first 1,000 of each kind
	Classes  []string            // nil: the validator did not say

	MoreErrors, MoreWarnings int // that are counted and not kept
}

// maxFindings is more than the metadata of a record has room for.
const maxFindings = 1000

// findReport looks for the last verdict of a validator in the end of an output.
// What a strategy printed itself may stand around it. Nil: there is none. The
// reason says why something that looks like a verdict could not be read.
//
// Three forms are known:
//
//	{success, errors, warnings, classes_found, …}
//	{valid, syntaxErrors, warnings, dangerousImports, codeStats, …}
//	{is_valid, errors, warnings, found_classes, …}
//
// A verdict that names errors is no success, whatever it says.
func findReport(output []byte, truncated bool) (r *Report, reason string) {
	s := searcher{output: output, truncated: truncated, accepts: isVerdict}
	for _, f := range forms {
		s.keys = append(s.keys, []byte(`"`+f.verdict+`"`))
	}
	result := s.search()
	return readReport(result.found), result.unreadable
}

// findVerdict looks for a verdict in what was printed.
func (r *Result) findVerdict(printed *tail, required bool) {
	r.Report, r.Unreadable = findReport(printed.last(maxVerdictBytes), printed.isCut())
	if r.Unreadable != "" {
		r.warn("VERDICT", "what looks like a validator's verdict could not be read: %s", r.Unreadable)
	}
	r.VerdictMissing = required && (r.Report == nil || r.Unreadable != "")
}

// isVerdict reports whether an object has one of the forms, or why one that
// seems to be of a form cannot be read.
func isVerdict(object map[string]json.RawMessage) (yes bool, objection string) {
	for _, f := range forms {
		if _, ok := object[f.errors]; !ok || object[f.verdict] == nil {
			continue
		}
		if _, ok := f.success(object); !ok {
			return false, fmt.Sprintf("its %q is neither true nor false", f.verdict)
		}
		return true, ""
	}
	return false, ""
}

func (f form) success(object map[string]json.RawMessage) (success, ok bool) {
	word := string(object[f.verdict])
	return word == "true", word == "true" || word == "false"
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
		success, ok := f.success(object)
		if _, hasErrors := object[f.errors]; !ok || !hasErrors {
			continue
		}
		r := &Report{Classes: f.classes(object)}
		r.Errors, r.MoreErrors = readFindings(object[f.errors], "error")
		for _, name := range f.warnings {
			warnings, more := readFindings(object[name], "warning")
			for i := range warnings {
				if warnings[i].Code == "" && name == "dangerousImports" {
					warnings[i].Code = "dangerous_import"
				}
			}
			r.Warnings, r.MoreWarnings = append(r.Warnings, warnings...), r.MoreWarnings+more
		}
		r.Success = success && len(r.Errors) == 0
		return r
	}
	return nil
}

// readFindings takes an array of texts or objects, or one of them alone, and
// says how many more there are than it keeps.
func readFindings(raw json.RawMessage, severity string) (findings []sandtrail.Finding, more int) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, 0
	}
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		elements = []json.RawMessage{raw}
	}
	kept := elements[:min(len(elements), maxFindings)]
	findings = make([]sandtrail.Finding, 0, len(kept))
	for _, element := range kept {
		findings = append(findings, readFinding(element, severity))
	}
	return findings, len(elements) - len(kept)
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
// hold how many there are, without names.
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
	return distinct(slices.DeleteFunc(names, func(name string) bool { return !isClassName(name) }))
}

// isClassName keeps out what no language calls a name, so that a strange
// verdict cannot make the record invalid.
func isClassName(name string) bool {
	bad := func(r rune) bool {
		return r == ',' || r == unicode.ReplacementChar || unicode.IsSpace(r) || unicode.IsControl(r)
	}
	return name != "" && len(name) <= sandtrail.MaxClassBytes && !strings.ContainsFunc(name, bad)
}
