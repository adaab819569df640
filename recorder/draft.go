package recorder

import (
	"encoding/json"
	"math"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Draft is the record of the run. Its time is the end of the run; its id is
// made now, so that every retry to deliver it is known as one.
func (r Result) Draft(userID, strategyID string, kind sandtrail.ExecutionType) sandtrail.Draft {
	success := r.Success()
	elapsed := int(min(r.WallTime.Milliseconds(), sandtrail.MaxInt))
	errs, warnings := r.findings()
	nErrors, nWarnings := len(errs), len(warnings)
	if r.Report != nil {
		nErrors, nWarnings = nErrors+r.Report.MoreErrors, nWarnings+r.Report.MoreWarnings
	}
	return sandtrail.Draft{
		ID: sandtrail.NewID(r.Ended), UserID: userID, StrategyID: strategyID, Type: kind,
		Success: &success, ExecutionTime: &elapsed, TimedOut: r.Status == TimedOut,
		MemoryUsed: r.memoryUsed(), CPUUsage: r.cpuUsage(), Classes: r.classes(),
		ErrorCount: &nErrors, WarningCount: &nWarnings,
		Metadata:  r.metadata(errs, warnings),
		CreatedAt: sandtrail.Millisecond(r.Ended),
	}
}

// findings are the validator's and our own. A failure that no error explains
// is explained by how the run ended.
func (r Result) findings() (errs, warnings []sandtrail.Finding) {
	if r.Report != nil {
		errs, warnings = r.Report.Errors, r.Report.Warnings
	}
	if !r.Success() && len(errs) == 0 {
		errs = []sandtrail.Finding{r.failure()}
	}
	return errs, append(warnings[:len(warnings):len(warnings)], r.Warnings...)
}

// memoryUsed is the peak in MiB, rounded up: what was used is never 0.
func (r Result) memoryUsed() *int {
	if r.MemoryPeak == nil {
		return nil
	}
	mib := int((*r.MemoryPeak + 1<<20 - 1) >> 20)
	return &mib
}

// cpuUsage is the share of one core in percent, to two decimals.
func (r Result) cpuUsage() *float64 {
	if r.CPUTime == nil || r.WallTime <= 0 {
		return nil
	}
	share := math.Round(1e4*float64(*r.CPUTime)/float64(r.WallTime)) / 100
	return &share
}

// classes are those of the source, or else those that the validator found: a
// source cannot lie about them, an output can.
func (r Result) classes() []string {
	switch {
	case r.Source != nil && r.Source.Classes != nil:
		return fitClasses(r.Source.Classes)
	case r.Report != nil && r.Report.Classes != nil:
		return fitClasses(r.Report.Classes)
	}
	return nil
}

// fitClasses drops names beyond what a record holds.
func fitClasses(classes []string) []string {
	total := 0
	for i, name := range classes {
		if total += len(name) + 1; total > sandtrail.MaxMetadataBytes || len(name) > sandtrail.MaxClassBytes {
			return classes[:i]
		}
	}
	return classes
}

// runMetadata is metadata.run. Times are milliseconds.
type runMetadata struct {
	Status          Status         `json:"status"`
	ExitCode        *int           `json:"exitCode"`
	Signal          *string        `json:"signal"`
	Command         string         `json:"command"`
	Args            []string       `json:"args,omitempty"`
	Container       string         `json:"container,omitempty"`
	CPUTime         *float64       `json:"cpuTime"`
	MemoryPeakBytes *int64         `json:"memoryPeakBytes"`
	CgroupPeakBytes *int64         `json:"cgroupPeakBytes,omitempty"`
	ProcessesPeak   *int64         `json:"processesPeak"`
	Method          *Method        `json:"method"`
	OOMKills        int            `json:"oomKills,omitempty"`
	LeftBehind      int            `json:"leftBehind,omitempty"`
	Escaped         []Escaped      `json:"escaped,omitempty"`
	SourceSHA256    *string        `json:"sourceSha256"`
	SourceBytes     *int64         `json:"sourceBytes"`
	Limits          limitsMetadata `json:"limits"`
	Stdout          *Output        `json:"stdout,omitempty"`
	Stderr          *Output        `json:"stderr,omitempty"`
	Session         *Session       `json:"session,omitempty"`
}

// limitsMetadata tells the limits that were set; those not enforced are named.
type limitsMetadata struct {
	Timeout     *float64 `json:"timeout,omitempty"` // milliseconds
	Memory      int      `json:"memory,omitempty"`  // MiB
	CPUs        float64  `json:"cpus,omitempty"`
	Pids        int      `json:"pids,omitempty"`
	NotEnforced []string `json:"notEnforced,omitempty"`
}

func (r Result) runMetadata() runMetadata {
	m := runMetadata{
		Status: r.Status, ExitCode: r.ExitCode, Signal: optional(r.Signal),
		Command: storable(r.Command), Args: r.Args, Container: r.Container,
		CPUTime: milliseconds(r.CPUTime), MemoryPeakBytes: r.MemoryPeak, CgroupPeakBytes: r.GroupPeak,
		ProcessesPeak: r.ProcessesPeak,
		Method:        optional(r.Method), OOMKills: r.OOMKills, LeftBehind: r.LeftBehind, Escaped: r.Escaped,
		Limits: limitsMetadata{
			Memory: r.Limits.MemoryMiB, CPUs: r.Limits.CPUs, Pids: r.Limits.Pids, NotEnforced: r.NotEnforced,
		},
		Stdout: r.Stdout, Stderr: r.Stderr, Session: r.Session,
	}
	if r.Timeout > 0 {
		m.Limits.Timeout = milliseconds(&r.Timeout)
	}
	if r.Source != nil {
		m.SourceSHA256, m.SourceBytes = &r.Source.SHA256, &r.Source.Bytes
	}
	return m
}

func optional[T ~string](s T) *T {
	if s == "" {
		return nil
	}
	return &s
}

func milliseconds(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	ms := float64(d.Microseconds()) / 1000
	return &ms
}

// metadata is the record's metadata. What would make it too large is left out,
// in this order: arguments, tracebacks, findings from the end on. The counts
// of the record still hold all findings.
func (r Result) metadata(errs, warnings []sandtrail.Finding) json.RawMessage {
	run := r.runMetadata()
	for step := 0; ; step++ {
		raw, _ := json.Marshal(struct { // plain values: it cannot fail
			Errors   []sandtrail.Finding `json:"errors"`
			Warnings []sandtrail.Finding `json:"warnings"`
			Run      runMetadata         `json:"run"`
		}{emptyNotNull(errs), emptyNotNull(warnings), run})
		switch {
		case len(raw) <= sandtrail.MaxMetadataBytes:
			return raw
		case step == 0:
			run.Args = nil
		case step == 1:
			errs, warnings = short(errs), short(warnings)
		case step == 2:
			run.Stdout, run.Stderr = nil, nil
		default:
			errs, warnings = errs[:len(errs)*3/4], warnings[:len(warnings)*3/4]
		}
	}
}

func emptyNotNull(findings []sandtrail.Finding) []sandtrail.Finding {
	if findings == nil {
		return []sandtrail.Finding{}
	}
	return findings
}

// short copies findings without their longest parts.
func short(findings []sandtrail.Finding) []sandtrail.Finding {
	const limit = 1000
	out := make([]sandtrail.Finding, len(findings))
	for i, f := range findings {
		f.Traceback = ""
		for _, text := range []*string{&f.Message, &f.Code, &f.Suggestion} {
			if len(*text) > limit {
				*text = storable((*text)[:limit]) + "…"
			}
		}
		out[i] = f
	}
	return out
}
