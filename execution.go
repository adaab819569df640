package sandtrail

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// ExecutionType says which kind of command an execution is of.
type ExecutionType string

// The execution types.
const (
	Validation ExecutionType = "VALIDATION" // a strategy is checked or run
	Terminal   ExecutionType = "TERMINAL"   // an interactive session
)

// Limits of an execution.
const (
	MaxMetadataBytes = 64 << 10
	MaxClassBytes    = 255
	MaxInt           = 1<<31 - 1 // the integer columns are 32 bits wide
	MaxNesting       = 1000      // objects and arrays of metadata in each other

	// MaxClockSkew is how far ahead of our clock an execution's time may be.
	MaxClockSkew = 5 * time.Minute
	// DefaultRetention is how long executions are kept, and how old a new one
	// may be.
	DefaultRetention = 90 * 24 * time.Hour
)

// MaxCPUUsage is the greatest cpuUsage in percent, that of ten thousand busy cores.
// A greater one is no measurement: it would make every average over it worthless.
// Costs leave it out where another writer stored it.
const MaxCPUUsage = 1e6

// Execution is one stored run: who ran what, when, with what result and at
// what cost. It is immutable once appended. docs/reference/record.md
// has its fields, limits and forms.
type Execution struct {
	ID            ID            `json:"id"`
	UserID        string        `json:"userId"`
	StrategyID    string        `json:"strategyId"`
	Type          ExecutionType `json:"executionType"`
	Success       bool          `json:"success"`
	ExecutionTime int           `json:"executionTime"` // wall time, milliseconds
	MemoryUsed    *int          `json:"memoryUsed"`    // peak of the process tree, MiB; nil: not measured
	CPUUsage      *float64      `json:"cpuUsage"`      // 100 = one core busy; nil: not measured
	TimedOut      bool          `json:"timedOut"`
	ErrorCount    int           `json:"errorCount"`
	WarningCount  int           `json:"warningCount"`
	// Classes found in the source; nil: the source was not searched, empty: it has none.
	Classes []string `json:"classesFound"`
	// Metadata is a compact JSON object, or nil.
	Metadata  json.RawMessage `json:"metadata"`
	CreatedAt time.Time       `json:"createdAt"` // its end, UTC, whole milliseconds

	// User and Strategy are set on reads.
	User     *User     `json:"user,omitempty"`
	Strategy *Strategy `json:"strategy,omitempty"`
}

// EncodeJSON is json.Marshal without its escapes for HTML, so that metadata
// arrives byte by byte as it was stored.
func EncodeJSON(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Finding is one error or warning about an execution, an element of
// metadata.errors or metadata.warnings.
type Finding struct {
	Severity   string `json:"severity"` // "error" or "warning" by convention
	Message    string `json:"message"`
	Line       *int   `json:"line,omitempty"`
	Column     *int   `json:"column,omitempty"`
	Code       string `json:"code,omitempty"`
	Traceback  string `json:"traceback,omitempty"`
	Suggestion string `json:"suggestion,omitempty"`
}

// Findings returns metadata.errors and metadata.warnings; a part that is
// absent or of another shape is empty.
func (e Execution) Findings() (errs, warnings []Finding) {
	var m map[string]json.RawMessage
	if json.Unmarshal(e.Metadata, &m) != nil {
		return nil, nil
	}
	return findings(m["errors"]), findings(m["warnings"])
}

func findings(raw json.RawMessage) []Finding {
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return nil
	}
	out := make([]Finding, 0, len(elements))
	for _, element := range elements {
		var f Finding
		if json.Unmarshal(element, &f) != nil {
			f = Finding{Message: string(element)}
		}
		out = append(out, f)
	}
	return out
}

// SplitClasses reads the column classes_found: nil for NULL. Blanks around names and
// empty names, which other programs write, are left out.
func SplitClasses(column *string) []string {
	if column == nil {
		return nil
	}
	classes := []string{}
	for name := range strings.SplitSeq(*column, ",") {
		if name = strings.TrimSpace(name); name != "" {
			classes = append(classes, name)
		}
	}
	return classes
}

// Millisecond returns t in UTC cut to the precision that is stored.
func Millisecond(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// CeilMillisecond returns the first whole millisecond at or after t, in UTC.
// An execution lies at or after t, or before it, exactly when it does so for this
// instant: stores compare with it.
func CeilMillisecond(t time.Time) time.Time {
	whole := Millisecond(t)
	if whole.Before(t) {
		whole = whole.Add(time.Millisecond)
	}
	return whole
}
