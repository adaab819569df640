//go:build linux

package recorder

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestVerdictsFailClosed prints what seems to be a success at a glance.
func TestVerdictsFailClosed(t *testing.T) {
	const fine = `{"success":true,"errors":[]}`
	pretty := "{\n  \"success\": false,\n  \"errors\": [\n    \"e\"\n  ],\n  \"files\": [\n    {\"success\": true, \"errors\": []}\n  ]\n}\n"
	long := strings.Repeat("x", maxVerdictBytes)
	tests := map[string]struct {
		output     string
		success    bool   // what the verdict says; false also for no verdict
		unreadable string // the reason, in part; "": it can be read
	}{
		"the outermost wins":            {`{"success": false, "errors": ["outer"], "files": [{"success": true, "errors": []}]}`, false, ""},
		"over several lines":            {pretty, false, ""},
		"behind a byte order mark":      {"\ufeff" + pretty, false, ""},
		"behind a message":              {"loading... " + pretty, false, ""},
		"behind a return":               {"50%\r" + pretty, false, ""},
		"in a colour":                   {"\x1b[1;31m" + pretty + "\x1b[0m", false, ""},
		"in many colours":               {"{\x1b[34m\"success\"\x1b[0m: \x1b[31mfalse\x1b[0m, \"errors\": [\"e\"]}", false, ""},
		"behind blanks":                 {"   \t" + pretty, false, ""},
		"with NaN":                      {`{"success": false, "errors": [], "score": NaN, "n": [Infinity, -Infinity]}`, false, ""},
		"fine, with NaN":                {`{"success": true, "errors": [], "score": NaN, "n": [Infinity, -Infinity, 1e5]}`, true, ""},
		"no number":                     {`{"success": false, "errors": [], "score": -Inf}`, false, "not JSON|breaks off"},
		"the verdict in quotes":         {`{"success":"false","errors":[]}`, false, `"success" is neither true nor false`},
		"the verdict null":              {`{"valid":null,"syntaxErrors":[]}`, false, `"valid" is neither`},
		"a NUL in it":                   {"{\"success\":false,\"errors\":[\"a\x00b\"]}", false, "breaks off"},
		"a NUL, then a success inside":  {"{\"success\":false,\"errors\":[\"\x00\"],\"files\":[" + fine + "]}", false, "breaks off|not JSON"},
		"a NUL, then a success":         {"{\"success\":false,\"errors\":[\"\x00\"]}\n" + fine, true, "not JSON"},
		"cut off":                       {`{"success":false,"errors":["a`, false, "breaks off"},
		"cut off behind a success":      {fine + "\n" + `{"success":false,"errors":["a`, true, "breaks off"},
		"a bad number":                  {`{"success":false,"errors":[],"n":01}`, false, "breaks off|not JSON"},
		"longer than what is kept":      {`{"success":false,"errors":["` + long + `"]}`, false, "its beginning is not"},
		"long, with a success inside":   {`{"success":false,"errors":["` + long + `"],"files":[` + fine + `]}`, false, "its beginning is not"},
		"deeper than what is read":      {`{"success":false,"errors":[],"a":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, false, "breaks off|not JSON"},
		"braces of a language before":   {"dict: {'a': {'b': 1}} set: {1, 2}\n" + fine, true, ""},
		"braces of a language after":    {fine + "\ndict: {'a': {'b': 1}} {x}\n", true, ""},
		"long output before":            {long + "\n" + fine, true, ""},
		"long output with braces after": {long + "\n" + fine + "\n{'a': {1}}\nend of it", true, ""},
		"objects around":                {`{"event":1}` + fine + `{"event":{"success":true}}`, true, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			printed := newTail(maxVerdictBytes)
			printed.Write([]byte(test.output))
			r := exited(0)
			r.findVerdict(printed, false)
			if got := r.Report != nil && r.Report.Success; got != test.success {
				t.Errorf("success is %v, want %v: %+v", got, test.success, r.Report)
			}
			if !oneOf(r.Unreadable, test.unreadable) {
				t.Errorf("unreadable: %q, want %q", r.Unreadable, test.unreadable)
			}
			warned := len(r.Warnings) == 1 && r.Warnings[0].Code == "VERDICT"
			if warned != (test.unreadable != "") {
				t.Errorf("warnings: %+v", r.Warnings)
			}
			r.findVerdict(printed, true)
			if clean := test.success && test.unreadable == ""; r.Success() != clean {
				t.Errorf("with a verdict required, success is %v, want %v", r.Success(), clean)
			}
			admit(t, r)
		})
	}
}

// oneOf reports whether a text contains one of the alternatives, or is as empty
// as they are.
func oneOf(text, alternatives string) bool {
	if alternatives == "" {
		return text == ""
	}
	for _, part := range strings.Split(alternatives, "|") {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func TestMissingVerdictIsAFailureWhenRequired(t *testing.T) {
	r := exited(0)
	r.findVerdict(newTail(maxVerdictBytes), true)
	if e := admit(t, r); e.Success || e.ErrorCount != 1 || !strings.Contains(string(e.Metadata), "no validator's verdict was found") {
		t.Errorf("success %v, %s", e.Success, e.Metadata)
	}
}

// TestReportsCostWhatTheyAreLong gives ten times what is read of an output, and
// of a source. Quadratic work would outlast the limit of the whole test.
func TestReportsCostWhatTheyAreLong(t *testing.T) {
	const n = 500_000
	many := func(before, after string) string {
		var b []byte
		for i := range n {
			b = append(strconv.AppendInt(append(b, before...), int64(i), 10), after...)
		}
		return string(b)
	}
	names := many(`"C`, `",`)
	r, _ := findReport([]byte(`{"success":true,"errors":[],"warnings":[`+strings.TrimSuffix(many(`"w`, `",`), ",")+`],"classes_found":[`+strings.TrimSuffix(names, ",")+`]}`), false)
	if r == nil || len(r.Classes) != n || r.MoreWarnings+maxFindings != n || len(r.Warnings) != maxFindings {
		t.Fatalf("read %+v", r)
	}
	result := exited(0)
	result.Report = r
	if e := admit(t, result); e.WarningCount != n {
		t.Errorf("%d warnings", e.WarningCount)
	}
	classes := PythonClasses([]byte(many("class A", ": pass\n")))
	if len(classes) != n {
		t.Errorf("%d classes", len(classes))
	}
	if diff := cmp.Diff([]string{"A", "B"}, PythonClasses([]byte("class A: pass\nclass B: pass\nclass A: pass\n"))); diff != "" {
		t.Error(diff)
	}
}
