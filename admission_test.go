package sandtrail_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// draft is a plain success.
func draft(change ...func(*sandtrail.Draft)) sandtrail.Draft {
	d := sandtrail.Draft{UserID: "u", StrategyID: "s", Type: sandtrail.Validation, Success: new(true), ExecutionTime: new(12)}
	for _, f := range change {
		f(&d)
	}
	return d
}

func metadata(text string) func(*sandtrail.Draft) {
	return func(d *sandtrail.Draft) { d.Metadata = json.RawMessage(text) }
}

// paths are the places that an error complains about.
func paths(err error) (found []string) {
	var coded *sandtrail.Error
	if errors.As(err, &coded) {
		for _, f := range coded.Fields {
			found = append(found, f.Path)
		}
	}
	return found
}

func TestAdmitRefuses(t *testing.T) {
	type change = func(*sandtrail.Draft)
	for name, test := range map[string]struct {
		change change
		want   []string
	}{
		"nothing given": {
			func(d *sandtrail.Draft) { *d = sandtrail.Draft{} },
			[]string{"userId", "strategyId", "executionType", "success", "executionTime"},
		},
		"user too long":     {func(d *sandtrail.Draft) { d.UserID = strings.Repeat("ü", 128) }, []string{"userId"}},
		"blank user":        {func(d *sandtrail.Draft) { d.UserID = " " }, []string{"userId"}},
		"user with NUL":     {func(d *sandtrail.Draft) { d.UserID = "a\x00b" }, []string{"userId"}},
		"strategy no UTF-8": {func(d *sandtrail.Draft) { d.StrategyID = "\xff" }, []string{"strategyId"}},
		"unknown type":      {func(d *sandtrail.Draft) { d.Type = "validation" }, []string{"executionType"}},
		"success after time-out": {
			func(d *sandtrail.Draft) { d.TimedOut = true },
			[]string{"timedOut"},
		},
		"negative time":     {func(d *sandtrail.Draft) { d.ExecutionTime = new(-1) }, []string{"executionTime"}},
		"time too large":    {func(d *sandtrail.Draft) { d.ExecutionTime = new(sandtrail.MaxInt + 1) }, []string{"executionTime"}},
		"negative memory":   {func(d *sandtrail.Draft) { d.MemoryUsed = new(-1) }, []string{"memoryUsed"}},
		"negative errors":   {func(d *sandtrail.Draft) { d.ErrorCount = new(-1) }, []string{"errorCount"}},
		"too many warnings": {func(d *sandtrail.Draft) { d.WarningCount = new(1 << 31) }, []string{"warningCount"}},
		"negative CPU":      {func(d *sandtrail.Draft) { d.CPUUsage = new(-0.1) }, []string{"cpuUsage"}},
		"CPU is NaN":        {func(d *sandtrail.Draft) { d.CPUUsage = new(math.NaN()) }, []string{"cpuUsage"}},
		"CPU is infinite":   {func(d *sandtrail.Draft) { d.CPUUsage = new(math.Inf(1)) }, []string{"cpuUsage"}},
		"class with comma":  {func(d *sandtrail.Draft) { d.Classes = []string{"A", "B,C"} }, []string{"classesFound[1]"}},
		"class of blanks":   {func(d *sandtrail.Draft) { d.Classes = []string{" "} }, []string{"classesFound[0]"}},
		"class without end": {func(d *sandtrail.Draft) { d.Classes = []string{strings.Repeat("A", 256)} }, []string{"classesFound[0]"}},
		"classes too long": {
			func(d *sandtrail.Draft) { d.Classes = make([]string, 300); fill(d.Classes, strings.Repeat("A", 255)) },
			[]string{"classesFound"},
		},
		"metadata no JSON":     {metadata("{"), []string{"metadata"}},
		"metadata no object":   {metadata("[1]"), []string{"metadata"}},
		"metadata two objects": {metadata("{} {}"), []string{"metadata"}},
		"metadata twice":       {metadata(`{"a":1,"a":2}`), []string{"metadata"}},
		"metadata no UTF-8":    {metadata("{\"a\":\"\xff\"}"), []string{"metadata"}},
		"metadata with NUL":    {metadata(`{"a":"x\u0000"}`), []string{"metadata"}},
		"NUL behind backslash": {metadata(`{"a":"\\\u0000"}`), []string{"metadata"}},
		"NUL in a name":        {metadata(`{"\u0000":1}`), []string{"metadata"}},
		"metadata too large":   {metadata(`{"a":"` + strings.Repeat("x", sandtrail.MaxMetadataBytes) + `"}`), []string{"metadata"}},
		"metadata too deep":    {metadata(`{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}"), []string{"metadata"}},
		"errors no array":      {metadata(`{"errors":{},"warnings":3}`), []string{"metadata.errors", "metadata.warnings"}},
		"an error is text":     {metadata(`{"errors":[{"message":"x"},"y"]}`), []string{"metadata.errors[1]"}},
		"error without text":   {metadata(`{"warnings":[{"line":1}]}`), []string{"metadata.warnings[0].message"}},
		"line is text":         {metadata(`{"errors":[{"message":"x","line":"1"}]}`), []string{"metadata.errors[0]"}},
		"in the future":        {func(d *sandtrail.Draft) { d.CreatedAt = noon.Add(5*time.Minute + time.Millisecond) }, []string{"createdAt"}},
		"too old":              {func(d *sandtrail.Draft) { d.CreatedAt = noon.Add(-90*24*time.Hour - time.Millisecond) }, []string{"createdAt"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sandtrail.Admission{Now: noon}.Admit(draft(test.change))
			if diff := cmp.Diff(test.want, paths(err)); diff != "" || !errors.Is(err, sandtrail.CodeInvalid) {
				t.Errorf("%v\n(-want +got)\n%s", err, diff)
			}
			_, err = sandtrail.Admission{Now: noon}.Admit(draft(), draft(test.change))
			for _, path := range paths(err) {
				if !strings.HasPrefix(path, "[1].") {
					t.Errorf("in a batch: %s does not say which record", path)
				}
			}
		})
	}
}

func fill(all []string, with string) {
	for i := range all {
		all[i] = with
	}
}

func TestAdmitTimes(t *testing.T) {
	for name, test := range map[string]struct {
		retention time.Duration
		at        time.Time
		ok        bool
	}{
		"to the skew":            {0, noon.Add(sandtrail.MaxClockSkew), true},
		"to the retention":       {0, noon.Add(-sandtrail.DefaultRetention), true},
		"shorter retention":      {time.Hour, noon.Add(-2 * time.Hour), false},
		"any age":                {-1, time.Date(1, 1, 1, 0, 0, 0, 1e6, time.UTC), true},
		"before the first year":  {-1, time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC), false},
		"future, whatever age":   {-1, noon.Add(time.Hour), false},
		"a fraction of the skew": {0, noon.Add(sandtrail.MaxClockSkew + time.Microsecond), true},
	} {
		t.Run(name, func(t *testing.T) {
			admission := sandtrail.Admission{Now: noon, Retention: test.retention}
			_, err := admission.Admit(draft(func(d *sandtrail.Draft) { d.CreatedAt = test.at }))
			if (err == nil) != test.ok {
				t.Errorf("%v: %v", test.at, err)
			}
		})
	}
}

func TestAdmitFillsIn(t *testing.T) {
	zone := time.FixedZone("", 3600)
	for name, test := range map[string]struct {
		change func(*sandtrail.Draft)
		check  func(sandtrail.Admitted) bool
	}{
		"an id of its time": {func(*sandtrail.Draft) {}, func(a sandtrail.Admitted) bool {
			at, ok := a.Execution.ID.Time()
			return ok && at.Equal(noon)
		}},
		"the time": {func(*sandtrail.Draft) {}, func(a sandtrail.Admitted) bool {
			return a.TimeDefaulted && a.Execution.CreatedAt.Equal(noon)
		}},
		"whole milliseconds in UTC": {
			func(d *sandtrail.Draft) { d.CreatedAt = noon.Add(-1).In(zone) },
			func(a sandtrail.Admitted) bool {
				return !a.TimeDefaulted && a.Execution.CreatedAt == noon.Add(-time.Millisecond)
			},
		},
		"counts from metadata": {
			metadata(`{"errors":[{"message":"a"},{"message":"b"}],"warnings":[{"message":"c"}]}`),
			func(a sandtrail.Admitted) bool { return a.Execution.ErrorCount == 2 && a.Execution.WarningCount == 1 },
		},
		"counts as given": {
			func(d *sandtrail.Draft) {
				metadata(`{"errors":[{"message":"a"}],"warnings":null}`)(d)
				d.ErrorCount, d.WarningCount = new(0), new(7)
			},
			func(a sandtrail.Admitted) bool { return a.Execution.ErrorCount == 0 && a.Execution.WarningCount == 7 },
		},
		"compact metadata": {metadata(" {\n \"a\" : 1.0e5 } "), func(a sandtrail.Admitted) bool {
			return string(a.Execution.Metadata) == `{"a":1.0e5}`
		}},
		"no metadata for null":      {metadata("null"), func(a sandtrail.Admitted) bool { return a.Execution.Metadata == nil }},
		"a backslash before u0000":  {metadata(`{"a":"\\u0000"}`), func(a sandtrail.Admitted) bool { return a.Execution.Metadata != nil }},
		"fields a finding may lack": {metadata(`{"errors":[{"message":"","other":1}]}`), func(a sandtrail.Admitted) bool { return a.Execution.ErrorCount == 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			admitted, err := sandtrail.Admission{Now: noon.Add(999)}.Admit(draft(test.change))
			if err != nil || !test.check(admitted[0]) {
				t.Errorf("%+v, %v", admitted, err)
			}
		})
	}
}

func admit(t *testing.T, drafts ...sandtrail.Draft) []sandtrail.Admitted {
	t.Helper()
	batch, err := sandtrail.Admission{Now: noon, Retention: -1}.Admit(drafts...)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func TestMerge(t *testing.T) {
	a := draft(func(d *sandtrail.Draft) { d.ID, d.CreatedAt = sandtrail.ID{1}, noon.Add(-time.Hour) })
	untimed, changed, b := a, a, a
	untimed.CreatedAt, changed.ExecutionTime, b.ID = time.Time{}, new(13), sandtrail.ID{2}
	for name, test := range map[string]struct {
		stored, batch     []sandtrail.Draft
		fresh, duplicates int
		conflicts         []string
	}{
		"nothing":                 {},
		"new":                     {batch: []sandtrail.Draft{a, b}, fresh: 2},
		"stored":                  {stored: []sandtrail.Draft{a}, batch: []sandtrail.Draft{a}, duplicates: 1},
		"stored, without time":    {stored: []sandtrail.Draft{a}, batch: []sandtrail.Draft{untimed}, duplicates: 1},
		"stored, then both forms": {stored: []sandtrail.Draft{a}, batch: []sandtrail.Draft{untimed, a}, duplicates: 2},
		"twice in the batch":      {batch: []sandtrail.Draft{a, b, a}, fresh: 2, duplicates: 1},
		"time first, then not":    {batch: []sandtrail.Draft{a, untimed}, fresh: 1, duplicates: 1},
		"changed":                 {stored: []sandtrail.Draft{a}, batch: []sandtrail.Draft{changed}, conflicts: []string{"id"}},
		"changed in the batch":    {batch: []sandtrail.Draft{b, a, changed}, conflicts: []string{"[2].id"}},
		"changed, and again":      {stored: []sandtrail.Draft{a}, batch: []sandtrail.Draft{changed, b, changed}, conflicts: []string{"[0].id", "[2].id"}},
	} {
		t.Run(name, func(t *testing.T) {
			stored := map[sandtrail.ID]sandtrail.Execution{}
			for _, s := range admit(t, test.stored...) {
				stored[s.Execution.ID] = s.Execution
			}
			batch := admit(t, test.batch...)
			fresh, duplicates, err := database.Merge(batch, stored)
			if diff := cmp.Diff(test.conflicts, paths(err)); diff != "" {
				t.Fatalf("%v\n(-want +got)\n%s", err, diff)
			}
			if err != nil {
				if !errors.Is(err, sandtrail.CodeConflict) {
					t.Errorf("got %v, want a conflict", err)
				}
				return
			}
			done := database.NewAppended(batch, fresh)
			if len(fresh) != test.fresh || duplicates != test.duplicates || done.Accepted != test.fresh || done.Duplicates != test.duplicates {
				t.Errorf("%d fresh, %d duplicates, %+v", len(fresh), duplicates, done)
			}
		})
	}
}

func TestUnknownOwners(t *testing.T) {
	batch := admit(t, draft(), draft(func(d *sandtrail.Draft) { d.UserID = "x" }))
	err := database.UnknownOwners(batch, map[string]bool{"x": true}, map[string]bool{"s": true}, nil)
	if diff := cmp.Diff([]string{"[0].strategyId", "[1].userId", "[1].strategyId"}, paths(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A zero Admission has this machine's clock, not the year 1.
func TestAdmissionWithoutAClock(t *testing.T) {
	d := sandtrail.Draft{UserID: "u", StrategyID: "s", Type: sandtrail.Terminal, Success: new(true), ExecutionTime: new(1)}
	before := sandtrail.Millisecond(time.Now())
	batch, err := sandtrail.Admission{}.Admit(d)
	if err != nil || batch[0].Execution.CreatedAt.Before(before) || batch[0].Execution.CreatedAt.After(time.Now()) {
		t.Errorf("%+v, %v", batch, err)
	}
}

// The time is for the server to judge; all other rules are not.
func TestCheck(t *testing.T) {
	d := sandtrail.Draft{UserID: "u", StrategyID: "s", Type: sandtrail.Terminal, Success: new(true), ExecutionTime: new(1)}
	for _, at := range []time.Time{{}, noon.AddDate(-3, 0, 0), time.Now().AddDate(1, 0, 0)} {
		d.CreatedAt = at
		if err := (sandtrail.Admission{}).Check(d); err != nil {
			t.Errorf("at %s: %v", at, err)
		}
	}
	d.ExecutionTime = nil
	if err := (sandtrail.Admission{}).Check(d); !errors.Is(err, sandtrail.CodeInvalid) {
		t.Errorf("got %v", err)
	}
}
