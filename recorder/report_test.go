//go:build linux

package recorder

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
)

func at(n int) *int { return &n }

func problem(severity, message string) sandtrail.Finding {
	return sandtrail.Finding{Severity: severity, Message: message}
}

func TestValidatorOutputs(t *testing.T) {
	tests := map[string]struct {
		output string
		want   *Report
	}{
		"first form": {
			`{"success":true,"errors":[],"warnings":["slow"],"info":["fine"],"classes_found":["A","B"],"methods_found":{"A":["run"]},"execution_time_ms":12}`,
			&Report{Success: true, Errors: []sandtrail.Finding{}, Warnings: []sandtrail.Finding{problem("warning", "slow")}, Classes: []string{"A", "B"}},
		},
		"first form with objects": {
			`{"success":false,"errors":[{"type":"SyntaxError","message":"bad","line":3,"col":7,"suggestion":"mend","traceback":"T"}],"warnings":[],"classes_found":[]}`,
			&Report{
				Errors:  []sandtrail.Finding{{Severity: "error", Message: "bad", Code: "SyntaxError", Line: at(3), Column: at(7), Suggestion: "mend", Traceback: "T"}},
				Classes: []string{},
			},
		},
		"second form": {
			`{"valid":false,"syntaxErrors":[{"line":2,"column":4,"message":"invalid syntax"}],"warnings":[],"dangerousImports":["os"],"info":[],"codeStats":{"lines":9,"classes":2}}`,
			&Report{
				Errors:   []sandtrail.Finding{{Severity: "error", Message: "invalid syntax", Line: at(2), Column: at(4)}},
				Warnings: []sandtrail.Finding{{Severity: "warning", Message: "os", Code: "dangerous_import"}},
			},
		},
		"third form": {
			`{"is_valid":false,"errors":[{"class_name":"A","method_name":"run","error_type":"MissingMethod","message":"not there"}],"warnings":["old"],"found_classes":{"A":1}}`,
			&Report{
				Errors:   []sandtrail.Finding{{Severity: "error", Message: "A.run: not there", Code: "MissingMethod"}},
				Warnings: []sandtrail.Finding{problem("warning", "old")}, Classes: []string{"A"},
			},
		},
		"success that its errors contradict": {
			`{"success":true,"errors":["but"]}`,
			&Report{Errors: []sandtrail.Finding{problem("error", "but")}},
		},
		"behind lines printed before": {
			"loading\n{\"success\": nothing}\n{'a': 1}\n" + `{"success":true,"errors":[]}` + "\n\n",
			&Report{Success: true, Errors: []sandtrail.Finding{}},
		},
		"behind something printed on its line": {
			`50%... {"x":1} {"success":true,"errors":[]}`,
			&Report{Success: true, Errors: []sandtrail.Finding{}},
		},
		"over several lines": {
			"start\n{\n  \"is_valid\": true,\n  \"errors\": [\n  ],\n  \"found_classes\": [\n    {\"name\": \"A\"}\n  ]\n}\n",
			&Report{Success: true, Errors: []sandtrail.Finding{}, Classes: []string{"A"}},
		},
		"the last of two": {
			`{"success":true,"errors":[]}` + "\n" + `{"success":false,"errors":["no"]}`,
			&Report{Errors: []sandtrail.Finding{problem("error", "no")}},
		},
		"a line printed after it": {
			`{"success":true,"errors":[]}` + "\nbye\n",
			&Report{Success: true, Errors: []sandtrail.Finding{}},
		},
		"findings of strange shapes": {
			`{"success":true,"errors":null,"warnings":[1,["a"],{},{"msg":"m"},"nul\u0000"]}`,
			&Report{Success: true, Warnings: []sandtrail.Finding{
				problem("warning", "1"), problem("warning", `["a"]`), problem("warning", "{}"), problem("warning", "m"), problem("warning", "nul\uFFFD"),
			}},
		},
		"strange class names":        {`{"success":true,"errors":[],"classes_found":["A","A"," ","a,b",""]}`, &Report{Success: true, Errors: []sandtrail.Finding{}, Classes: []string{"A"}}},
		"an object of another kind":  {`{"success":true}`, nil},
		"no true or false":           {`{"success":"yes","errors":[]}`, nil},
		"nothing":                    {"", nil},
		"a verdict that was cut off": {`{"success":true,"errors":[`, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, _ := findReport([]byte(test.output), false)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestHostileOutputIsGivenUp(t *testing.T) {
	for name, line := range map[string]string{
		"braces":  "{\n",
		"nesting": "{\"a\":\n",
		"strings": "{\"a\n",
		"keys":    "{\"success\"\n",
		"ends":    "}\n",
		"both":    "}{",
		"small":   `{"success":true,"errors":[]} }`,
		"colours": "\x1b[",
		"deep":    `{"a":[`,
	} {
		t.Run(name, func(t *testing.T) {
			// Ten times the limit. Work that grew with its square would outlast the limit of the whole test.
			printed := newTail(maxVerdictBytes)
			printed.Write([]byte(strings.Repeat(line, 10*maxVerdictBytes/len(line))))
			if r, _ := findReport(printed.last(maxVerdictBytes), printed.isCut()); r != nil && r.Success {
				t.Errorf("found %+v", r)
			}
		})
	}
}

// admit checks that the rules of the record accept what a result becomes.
func admit(t *testing.T, r Result) sandtrail.Execution {
	t.Helper()
	admitted, err := sandtrail.Admission{Now: r.Ended}.Admit(r.Draft("u", "s", sandtrail.Validation))
	if err != nil {
		t.Fatal(err)
	}
	return admitted[0].Execution
}

func exited(code int) Result {
	return Result{Status: Exited, ExitCode: &code, Command: "python3", Started: time.Unix(1_790_000_000, 0), Ended: time.Unix(1_790_000_001, 0), WallTime: time.Second}
}

func FuzzValidatorOutput(f *testing.F) {
	f.Add([]byte(`{"success":true,"errors":[],"warnings":["w"],"classes_found":["A"]}`))
	f.Add([]byte("x\n{\"valid\":false,\"syntaxErrors\":[{\"message\":\"m\",\"line\":1}],\"codeStats\":{\"classes\":[\"B\"]}}"))
	f.Add([]byte(`{"is_valid":true,"errors":{},"found_classes":{"A":1}}`))
	f.Fuzz(func(t *testing.T, output []byte) {
		r := exited(0)
		r.Report, r.Unreadable = findReport(output, len(output)%2 == 1)
		e := admit(t, r)
		if r.Report == nil {
			return
		}
		if e.Success && len(r.Report.Errors) > 0 {
			t.Error("success with errors")
		}
		if !e.Success && e.ErrorCount == 0 {
			t.Error("failure without an error")
		}
	})
}

func TestDraftOfTheFigures(t *testing.T) {
	r := exited(0)
	cpu, peak := 1500*time.Millisecond, int64(3<<20+1)
	r.CPUTime, r.MemoryPeak, r.Method = &cpu, &peak, CgroupV2
	e := admit(t, r)
	if !e.Success || e.ExecutionTime != 1000 || *e.MemoryUsed != 4 || *e.CPUUsage != 150 || e.Classes != nil {
		t.Errorf("got %+v", e)
	}
	e = admit(t, exited(0))
	if e.MemoryUsed != nil || e.CPUUsage != nil {
		t.Errorf("figures out of nothing: %+v", e)
	}
	var m struct {
		Run map[string]any `json:"run"`
	}
	if err := json.Unmarshal(e.Metadata, &m); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"status": "exited", "exitCode": 0.0, "signal": nil, "command": "python3", "cpuTime": nil,
		"memoryPeakBytes": nil, "processesPeak": nil, "method": nil, "sourceSha256": nil, "sourceBytes": nil,
		"limits": map[string]any{},
	}
	if diff := cmp.Diff(want, m.Run); diff != "" {
		t.Errorf("metadata.run differs (-want +got)\n%s", diff)
	}
}

func TestFailureIsExplainedOnce(t *testing.T) {
	r := exited(1)
	if e := admit(t, r); e.Success || e.ErrorCount != 1 {
		t.Errorf("without a validator: success %v, %d errors; want the exit status alone", e.Success, e.ErrorCount)
	}
	r.Report = &Report{Errors: []sandtrail.Finding{problem("error", "a"), problem("error", "b")}}
	if e := admit(t, r); e.Success || e.ErrorCount != 2 {
		t.Errorf("with a validator: success %v, %d errors; want its two", e.Success, e.ErrorCount)
	}
}

func TestHugeReportFitsTheRecord(t *testing.T) {
	r := exited(1)
	r.Report = &Report{}
	for range 1000 {
		r.Report.Errors = append(r.Report.Errors, sandtrail.Finding{Severity: "error", Message: strings.Repeat("<é", 900), Traceback: "t"})
	}
	r.Report.Classes = []string{strings.Repeat("A", 255)}
	for range 1000 {
		r.Report.Classes = append(r.Report.Classes, strings.Repeat("B", 200))
	}
	e := admit(t, r)
	if e.ErrorCount != 1000 {
		t.Errorf("%d errors are counted, want 1000", e.ErrorCount)
	}
	if errs, _ := e.Findings(); len(errs) == 0 {
		t.Error("none of them is kept")
	}
}

func TestSecretsInArgumentsAreMasked(t *testing.T) {
	args := []string{
		"run", "--token", "s3", "--api-key=s3", "PASSWORD=s3", "-v", "--secret", "--verbose",
		"postgres://ada:s3@db/x", "https://host/path", "--passphrase", "s3", "plain\x00",
	}
	want := []string{
		"run", "--token", "***", "--api-key=***", "PASSWORD=***", "-v", "--secret", "--verbose",
		"postgres://ada:***@db/x", "https://host/path", "--passphrase", "***", "plain\uFFFD",
	}
	if diff := cmp.Diff(want, maskSecrets(args)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
