package sandtrail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Draft is an execution as a program sent it, before the rules are applied.
// Nil pointers and zero values mean "not given".
type Draft struct {
	ID            ID // zero: a UUIDv7 is made
	UserID        string
	StrategyID    string
	Type          ExecutionType
	Success       *bool // required
	ExecutionTime *int  // required, milliseconds
	MemoryUsed    *int
	CPUUsage      *float64
	TimedOut      bool
	ErrorCount    *int     // nil: the number of metadata.errors
	WarningCount  *int     // nil: the number of metadata.warnings
	Classes       []string // nil: did not look
	Metadata      json.RawMessage
	CreatedAt     time.Time // zero: now
}

// Admitted is an execution that has passed every rule and may be appended.
type Admitted struct {
	Execution Execution
	// TimeDefaulted is set when the draft had no createdAt; a retry of the
	// same record then matches whatever time was stored first.
	TimeDefaulted bool
}

// Admission holds what the rules depend on.
type Admission struct {
	Now       time.Time     // by the clock of the store's machine; zero: this machine's
	Retention time.Duration // 0: DefaultRetention; negative: records of any age

	anyTime bool // the time is for another to judge
	wasRead bool // the drafts come from valid JSON, of which each has a copy of its own
}

// Check applies the rules that every server has: all but those about the time, which
// depend on a server's clock and retention. Errors are those of Admit.
func (a Admission) Check(drafts ...Draft) error {
	a.anyTime = true
	_, err := a.Admit(drafts...)
	return err
}

// Admit applies the rules of the execution to a batch. It returns either all of
// the batch, in order, or an *Error of CodeInvalid that names every broken
// rule by path: "executionTime" for a batch of one, "[3].executionTime" in a
// larger one.
func (a Admission) Admit(drafts ...Draft) ([]Admitted, error) {
	if a.Now.IsZero() {
		a.Now = time.Now()
	}
	admitted := make([]Admitted, len(drafts))
	var all Faults
	for i := range drafts {
		var p Faults
		admitted[i] = a.admit(&drafts[i], &p)
		prefix := ""
		if len(drafts) > 1 && len(p.fields) > 0 {
			prefix = fmt.Sprintf("[%d]", i)
		}
		all.addAll(prefix, p)
	}
	if err := all.Err("invalid execution"); err != nil {
		return nil, err
	}
	return admitted, nil
}

func (a Admission) admit(d *Draft, p *Faults) Admitted {
	e := Execution{
		ID: d.ID, UserID: d.UserID, StrategyID: d.StrategyID, Type: d.Type,
		MemoryUsed: d.MemoryUsed, CPUUsage: d.CPUUsage, TimedOut: d.TimedOut,
		Classes: d.Classes, CreatedAt: Millisecond(d.CreatedAt),
	}
	p.Key("userId", d.UserID)
	p.Key("strategyId", d.StrategyID)
	if d.Type != Validation && d.Type != Terminal {
		p.Addf("executionType", "must be VALIDATION or TERMINAL, got %q", d.Type)
	}
	if d.Success == nil {
		p.Addf("success", "required")
	} else {
		e.Success = *d.Success
	}
	if e.Success && d.TimedOut {
		p.Addf("timedOut", "an execution that timed out did not succeed: success and timedOut are both true")
	}
	if d.ExecutionTime == nil {
		p.Addf("executionTime", "required")
	} else {
		e.ExecutionTime = *d.ExecutionTime
	}
	checkCount(p, "executionTime", d.ExecutionTime)
	checkCount(p, "memoryUsed", d.MemoryUsed)
	checkCount(p, "errorCount", d.ErrorCount)
	checkCount(p, "warningCount", d.WarningCount)
	if c := d.CPUUsage; c != nil && !(*c >= 0 && *c <= MaxCPUUsage) {
		p.Addf("cpuUsage", "must be a percentage from 0 to %.0f, where 100 is one core, got %v", MaxCPUUsage, *c)
	}
	checkClasses(p, d.Classes)

	metadata, nErrors, nWarnings := checkMetadata(p, d.Metadata, a.wasRead)
	e.Metadata = metadata
	e.ErrorCount, e.WarningCount = nErrors, nWarnings
	if d.ErrorCount != nil {
		e.ErrorCount = *d.ErrorCount
	}
	if d.WarningCount != nil {
		e.WarningCount = *d.WarningCount
	}

	now := Millisecond(a.Now)
	if d.CreatedAt.IsZero() {
		e.CreatedAt = now
	} else if !a.anyTime {
		a.checkTime(p, e.CreatedAt, now)
	}
	if e.ID.IsZero() {
		e.ID = NewID(now)
	}
	return Admitted{Execution: e, TimeDefaulted: d.CreatedAt.IsZero()}
}

func (a Admission) checkTime(p *Faults, t, now time.Time) {
	retention := a.Retention
	if retention == 0 {
		retention = DefaultRetention
	}
	switch {
	case t.After(now.Add(MaxClockSkew)):
		p.Addf("createdAt", "%s is more than %s "+inTheFuture+"; check the clocks of the machine that sent it and of the one that stores it",
			t.Format(time.RFC3339Nano), MaxClockSkew)
	case retention > 0 && t.Before(now.Add(-retention)):
		p.Addf("createdAt", "%s is older than the retention window of %s, so the execution would be deleted at once; import older ones with a longer retention",
			t.Format(time.RFC3339Nano), FormatDuration(retention))
	case t.Year() < 1 || t.Year() > 9999:
		p.Addf("createdAt", "the year must be from 1 to 9999")
	}
}

func checkCount(p *Faults, path string, n *int) {
	if n != nil && (*n < 0 || *n > MaxInt) {
		p.Addf(path, "must be an integer from 0 to %d, got %d", MaxInt, *n)
	}
}

func checkClasses(p *Faults, classes []string) {
	for i, name := range classes {
		if isPlainClass(name) {
			continue
		}
		path := fmt.Sprintf("classesFound[%d]", i)
		p.text(path, name, MaxClassBytes)
		if name == "" || name != strings.TrimSpace(name) || strings.Contains(name, ",") {
			p.Addf(path, "must be a class name without commas or surrounding blanks, got %q", name)
		}
	}
	if len(classes) > 0 && len(strings.Join(classes, ",")) > MaxMetadataBytes {
		p.Addf("classesFound", "at most %d bytes in all", MaxMetadataBytes)
	}
}

// isPlainClass reports whether a name is as most are, in which nothing can be wrong.
func isPlainClass(name string) bool {
	for _, c := range []byte(name) {
		if c <= ' ' || c == ',' || c >= utf8.RuneSelf {
			return false
		}
	}
	return name != "" && len(name) <= MaxClassBytes
}

// checkMetadata returns the compact form and the number of errors and
// warnings in it. What was read is valid JSON, and may be kept.
func checkMetadata(p *Faults, raw json.RawMessage, wasRead bool) (compact json.RawMessage, nErrors, nWarnings int) {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || string(raw) == "null" {
		return nil, 0, 0
	}
	if wasRead {
		compact = compactJSON(raw)
	} else {
		if !utf8.Valid(raw) {
			p.Addf("metadata", "not valid UTF-8")
			return nil, 0, 0
		}
		buf := bytes.NewBuffer(make([]byte, 0, len(raw)))
		if err := json.Compact(buf, raw); err != nil {
			p.Addf("metadata", "not valid JSON: %v", err)
			return nil, 0, 0
		}
		compact = buf.Bytes()
	}
	if len(compact) > MaxMetadataBytes {
		p.Addf("metadata", "at most %d bytes of JSON, got %d; store large output elsewhere and keep its hash", MaxMetadataBytes, len(compact))
		return nil, 0, 0
	}
	members, err := validMembers(compact)
	if err != nil {
		p.Addf("metadata", "%v", err)
		return nil, 0, 0
	}
	if deeperThan(MaxNesting, compact) {
		p.Addf("metadata", "at most %d objects and arrays in each other", MaxNesting)
		return nil, 0, 0
	}
	if containsNUL(compact) {
		p.Addf("metadata", "contains a NUL character (\\u0000), which no store can hold")
	}
	for _, m := range members {
		switch m.name {
		case "errors":
			nErrors = checkFindings(p, "metadata.errors", m.value)
		case "warnings":
			nWarnings = checkFindings(p, "metadata.warnings", m.value)
		}
	}
	return compact, nErrors, nWarnings
}

// deeperThan reports whether valid JSON nests further than that.
func deeperThan(limit int, raw []byte) bool {
	if bytes.Count(raw, []byte("["))+bytes.Count(raw, []byte("{")) <= limit {
		return false // as nearly all do not
	}
	for i, depth := 0, 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i += valueEnd(raw[i:]) - 1
		case '{', '[':
			if depth++; depth > limit {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

// containsNUL reports whether compact JSON holds the escape \u0000.
func containsNUL(compact []byte) bool {
	for rest := compact; ; {
		i := bytes.Index(rest, []byte(`\u0000`))
		if i < 0 {
			return false
		}
		backslashes := 0
		for j := i - 1; j >= 0 && rest[j] == '\\'; j-- {
			backslashes++
		}
		if backslashes%2 == 0 {
			return true
		}
		rest = rest[i+2:]
	}
}

func checkFindings(p *Faults, path string, raw json.RawMessage) int {
	if len(raw) == 0 || string(raw) == "null" {
		return 0
	}
	if raw[0] != '[' {
		p.Addf(path, "must be an array of objects such as {\"severity\":\"error\",\"message\":\"…\"}")
		return 0
	}
	n := 0
	for element := range elements(raw) {
		n++
		if isPlainFinding(element) {
			continue
		}
		if element[0] != '{' && len(p.fields) >= MaxFaults {
			p.more++ // without reading it
			continue
		}
		at := fmt.Sprintf("%s[%d]", path, n-1)
		var f struct {
			Severity   *string `json:"severity"`
			Message    *string `json:"message"`
			Line       *int    `json:"line"`
			Column     *int    `json:"column"`
			Code       *string `json:"code"`
			Traceback  *string `json:"traceback"`
			Suggestion *string `json:"suggestion"`
		}
		if err := json.Unmarshal(element, &f); err != nil {
			p.Addf(at, "must be an object with a message: %v", typeError(err))
		} else if f.Message == nil {
			p.Addf(joinPath(at, "message"), "required")
		}
	}
	return n
}

// typeError words a json error for a person.
func typeError(err error) string {
	if te, ok := err.(*json.UnmarshalTypeError); ok {
		if te.Field != "" {
			return fmt.Sprintf("%s may not be a JSON %s", te.Field, te.Value)
		}
		return "got a JSON " + te.Value
	}
	return err.Error()
}

// SameContent reports whether an execution that arrives under an id already
// stored is a retry of it: every field equal, metadata compared as JSON, the
// time left out when the retry brought none.
func (a Admitted) SameContent(stored Execution) bool {
	e := a.Execution
	return e.ID == stored.ID && e.UserID == stored.UserID && e.StrategyID == stored.StrategyID &&
		e.Type == stored.Type && e.Success == stored.Success && e.ExecutionTime == stored.ExecutionTime &&
		equalPtr(e.MemoryUsed, stored.MemoryUsed) && equalPtr(e.CPUUsage, stored.CPUUsage) &&
		e.TimedOut == stored.TimedOut && e.ErrorCount == stored.ErrorCount && e.WarningCount == stored.WarningCount &&
		(e.Classes == nil) == (stored.Classes == nil) && slices.Equal(e.Classes, stored.Classes) &&
		equalJSON(e.Metadata, stored.Metadata) &&
		(a.TimeDefaulted || e.CreatedAt.Equal(stored.CreatedAt))
}

func equalPtr[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func equalJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if a == nil || b == nil {
		return false
	}
	x, errX := decodeExact(a)
	y, errY := decodeExact(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// decodeExact keeps numbers as they are written.
func decodeExact(raw []byte) (value any, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return value, nil
}
