package sandtrail_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "90d": 90 * day, "2w": 14 * day, "1w2d3h4m5s6ms7us8ns": 9*day + 3*time.Hour + 4*time.Minute + 5*time.Second + 6007008,
		"1h30m": 90 * time.Minute, "1.5d": 36 * time.Hour, "250ms": 250 * time.Millisecond, "5µs": 5000, "5μs": 5000, ".5h": 30 * time.Minute,
	} {
		if got, err := sandtrail.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "90", "d", "-1d", "+1d", "1 d", "1D", "1y", "1e3s", "1..5h", "1d-", "106752d", "20000w", "99999999999999999999d", "300y", "1d1", "∞",
		"15251w", strings.Repeat("9", 400) + "d",
	} {
		if got, err := sandtrail.ParseDuration(text); !errors.Is(err, sandtrail.CodeInvalid) {
			t.Errorf("%q: %v, %v; want it refused", text, got, err)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"90d": 90 * 24 * time.Hour, "1h30m": 90 * time.Minute, "10h": 10 * time.Hour, "10m": 10 * time.Minute, "0s": 0,
		"1h0m5s": time.Hour + 5*time.Second, "36h": 36 * time.Hour, "250ms": 250 * time.Millisecond,
	} {
		if got := sandtrail.FormatDuration(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"90d", "1h30m", "0", "1.5w", "5µs", "-1d", "106751d", "9223372036854775807ns"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := sandtrail.ParseDuration(text)
		if err != nil {
			if !errors.Is(err, sandtrail.CodeInvalid) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if d < 0 {
			t.Fatalf("%q is negative: %v", text, d)
		}
		if again, err := sandtrail.ParseDuration(sandtrail.FormatDuration(d)); err != nil || again != d {
			t.Fatalf("%v is written %q and read %v, %v", d, sandtrail.FormatDuration(d), again, err)
		}
	})
}

func TestIDs(t *testing.T) {
	const text = "0192d3a4-7b1c-7def-8a90-1b2c3d4e5f60"
	for _, form := range []string{text, strings.ToUpper(text)} {
		if id, err := sandtrail.ParseID(form); err != nil || id.String() != text {
			t.Errorf("%s: %v, %v", form, id, err)
		}
	}
	for _, form := range []string{
		"", text[:35], text + "0", "{" + text[:34] + "}", strings.ReplaceAll(text, "-", ""), strings.Replace(text, "0", "g", 1),
		"00000000-0000-0000-0000-000000000000", "0192d3a47-b1c-7def-8a90-1b2c3d4e5f60", "urn:uuid:" + text,
	} {
		if id, err := sandtrail.ParseID(form); !errors.Is(err, sandtrail.CodeInvalid) {
			t.Errorf("%q: %v, %v; want it refused", form, id, err)
		}
	}
	id := sandtrail.NewID(noon)
	if at, ok := id.Time(); !ok || !at.Equal(noon) || id.String()[14] != '7' || !strings.ContainsRune("89ab", rune(id.String()[19])) {
		t.Errorf("%s carries %v, %v", id, at, ok)
	}
	if _, ok := (sandtrail.ID{6: 0x40}).Time(); ok {
		t.Error("a UUIDv4 carries a time")
	}
	if next := sandtrail.NewID(noon.Add(time.Millisecond)); next.String() <= id.String() {
		t.Errorf("%s is not after %s", next, id)
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("0192d3a4-7b1c-7def-8a90-1b2c3d4e5f60")
	f.Add("0192D3A4-7B1C-7DEF-8A90-1B2C3D4E5F6Z")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := sandtrail.ParseID(text)
		if err == nil && id.String() != strings.ToLower(text) {
			t.Fatalf("%q was read as %s", text, id)
		}
	})
}

func TestOwnersRefused(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want []string
	}{
		"empty user":        {sandtrail.User{}.Validate(), []string{"id", "email"}},
		"blank user":        {sandtrail.User{ID: " \t", Email: "a@b"}.Validate(), []string{"id"}},
		"unseen user":       {sandtrail.User{ID: "\u200b\u00a0", Email: "a@b"}.Validate(), []string{"id"}},
		"blank strategy":    {sandtrail.Strategy{ID: " ", Name: "S"}.Validate(), []string{"id"}},
		"no address":        {sandtrail.User{ID: "u", Email: "nobody"}.Validate(), []string{"email"}},
		"no domain":         {sandtrail.User{ID: "u", Email: "nobody@"}.Validate(), []string{"email"}},
		"no mailbox":        {sandtrail.User{ID: "u", Email: "@example.com"}.Validate(), []string{"email"}},
		"name with NUL":     {sandtrail.User{ID: "u", Email: "a@b", Name: new("\x00")}.Validate(), []string{"name"}},
		"empty strategy":    {sandtrail.Strategy{}.Validate(), []string{"id", "name"}},
		"long name":         {sandtrail.Strategy{ID: "s", Name: strings.Repeat("x", 1025)}.Validate(), []string{"name"}},
		"a user":            {sandtrail.User{ID: "u", Email: "a@b", Name: new("")}.Validate(), nil},
		"a strategy":        {sandtrail.Strategy{ID: "s", Name: "S"}.Validate(), nil},
		"a long identifier": {sandtrail.Strategy{ID: strings.Repeat("x", 256), Name: "S"}.Validate(), []string{"id"}},
	} {
		if diff := cmp.Diff(test.want, paths(test.err)); diff != "" {
			t.Errorf("%s: %v\n%s", name, test.err, diff)
		}
	}
}

func TestColumns(t *testing.T) {
	for name, test := range map[string]struct {
		classes []string
		column  *string
	}{
		"did not look": {nil, nil}, "none": {[]string{}, new("")}, "two": {[]string{"A", "B"}, new("A,B")},
	} {
		if got := database.JoinClasses(test.classes); !cmp.Equal(got, test.column) {
			t.Errorf("%s: joined to %v", name, got)
		}
		if got := sandtrail.SplitClasses(test.column); !cmp.Equal(got, test.classes) {
			t.Errorf("%s: split to %#v", name, got)
		}
	}
	for name, test := range map[string]struct {
		column *string
		want   string
	}{
		"null": {nil, ""}, "object": {new(` {"a":1}`), ` {"a":1}`}, "array": {new(`[1]`), `{"text":"[1]"}`},
		"text": {new("no \"JSON\""), `{"text":"no \"JSON\""}`}, "broken": {new(`{"a"`), `{"text":"{\"a\""}`}, "empty": {new(""), `{"text":""}`},
	} {
		if got := string(database.MetadataFromColumn(test.column)); got != test.want {
			t.Errorf("metadata %s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestFindings(t *testing.T) {
	errs, warnings := sandtrail.Execution{Metadata: []byte(`{"errors":[{"message":"a","line":3},"b"],"warnings":{"x":1}}`)}.Findings()
	if want := []sandtrail.Finding{{Message: "a", Line: new(3)}, {Message: `"b"`}}; !cmp.Equal(want, errs) || warnings != nil {
		t.Errorf("got %+v and %+v", errs, warnings)
	}
	if errs, warnings := (sandtrail.Execution{}).Findings(); errs != nil || warnings != nil {
		t.Errorf("of nothing: %v, %v", errs, warnings)
	}
}

func TestCeilMillisecond(t *testing.T) {
	for by, want := range map[time.Duration]time.Duration{0: 0, 1: time.Millisecond, time.Millisecond - 1: time.Millisecond, -1: 0, time.Millisecond: time.Millisecond} {
		if got := sandtrail.CeilMillisecond(noon.Add(by)); !got.Equal(noon.Add(want)) {
			t.Errorf("%v after noon: got %v", by, got)
		}
	}
	if !sandtrail.CeilMillisecond(time.Time{}).IsZero() {
		t.Error("no time became one")
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("while testing: %w", sandtrail.Errorf(sandtrail.CodeUnavailable, "out of reach: %w", cause))
	if !errors.Is(err, sandtrail.CodeUnavailable) || !errors.Is(err, cause) || errors.Is(err, sandtrail.CodeInvalid) {
		t.Errorf("%v is not what it wraps", err)
	}
	for _, test := range []struct {
		err  error
		want sandtrail.Code
	}{{nil, ""}, {cause, sandtrail.CodeInternal}, {err, sandtrail.CodeUnavailable}} {
		if got := sandtrail.CodeOf(test.err); got != test.want {
			t.Errorf("%v has code %q, want %q", test.err, got, test.want)
		}
	}
	field := &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "invalid", Fields: []sandtrail.FieldError{{Path: "a", Message: "x"}, {Path: "[0]", Message: "y"}, {Message: "z"}}}
	if diff := cmp.Diff([]string{"body[3].a", "body[3][0]", "body[3]"}, paths(sandtrail.UnderPath("body[3]", fmt.Errorf("wrapped: %w", field)))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := field.Error(); got != "invalid: a: x; [0]: y; z" {
		t.Errorf("got %q", got)
	}
	field.Private = "at 10.0.0.7"
	if all, public := field.Error(), field.Public(); all != public+": at 10.0.0.7" || public != "invalid: a: x; [0]: y; z" {
		t.Errorf("got %q, in public %q", all, public)
	}
	if got := sandtrail.CodeHeld.Error(); got != "held" {
		t.Errorf("got %q", got)
	}
	if sandtrail.UnderPath("x", cause) != cause {
		t.Error("an error without fields was changed")
	}
}

// A CPU usage that no machine has would make every average over it nonsense.
func TestAdmittedCPUIsBounded(t *testing.T) {
	for cpu, want := range map[float64]bool{0: true, 1600: true, sandtrail.MaxCPUUsage: true, 1.1e6: false, 1e308: false, math.MaxFloat64: false, -1: false} {
		_, err := (sandtrail.Admission{Now: noon}).Admit(draft(func(d *sandtrail.Draft) { d.CPUUsage = &cpu }))
		if got := err == nil; got != want {
			t.Errorf("%v: admitted %t, want %t: %v", cpu, got, want, err)
		}
		if err != nil && !strings.Contains(err.Error(), "1000000") {
			t.Errorf("%v: does not name the bound: %v", cpu, err)
		}
	}
}

// An error does not grow with the number of faults that it is about.
func TestFaultsAreCounted(t *testing.T) {
	drafts := make([]sandtrail.Draft, 5000) // six rules broken by each
	_, err := (sandtrail.Admission{Now: noon}).Admit(drafts...)
	var e *sandtrail.Error
	if !errors.As(err, &e) || len(e.Fields) != sandtrail.MaxFaults {
		t.Fatalf("%T with %d fields", err, len(e.Fields))
	}
	if faults := len(e.Fields) + e.More; faults%5000 != 0 || !strings.HasSuffix(e.Error(), fmt.Sprintf("; and %d more", e.More)) {
		t.Errorf("%d faults: …%s", faults, e.Error()[len(e.Error())-40:])
	}
	findings := json.RawMessage(`{"errors":[` + strings.Repeat("0,", 30_000) + `0]}`)
	_, err = (sandtrail.Admission{Now: noon}).Admit(draft(func(d *sandtrail.Draft) { d.Metadata = findings }))
	if !errors.As(err, &e) || len(e.Fields) != sandtrail.MaxFaults || e.More != 30_001-sandtrail.MaxFaults {
		t.Errorf("%d fields and %d more", len(e.Fields), e.More)
	}
}

func TestMetadataNestsOnlySoDeep(t *testing.T) {
	for depth, want := range map[int]bool{sandtrail.MaxNesting: true, sandtrail.MaxNesting + 1: false} {
		nested := json.RawMessage(`{"a\"[[[":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + "}")
		_, err := (sandtrail.Admission{Now: noon}).Admit(draft(func(d *sandtrail.Draft) { d.Metadata = nested }))
		if got := err == nil; got != want {
			t.Errorf("%d levels: admitted %t, want %t: %v", depth, got, want, err)
		}
	}
}
