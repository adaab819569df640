package sample

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/sandtrail/sandtrail"
)

// profile is how a strategy usually behaves.
type profile struct {
	medianTime   float64 // milliseconds
	medianMemory float64 // MiB
	cpu          float64 // percent
	failure      float64 // share, 0.03 to 0.30
	limit        int     // time limit, milliseconds
	classes      []string
	sha          string
}

func newProfile(rng *rand.Rand) profile {
	median := 90 * math.Exp(3.6*rng.Float64())
	return profile{
		medianTime:   median,
		medianMemory: 48 * math.Exp(2.4*rng.Float64()),
		cpu:          25 + 120*rng.Float64(),
		failure:      0.03 + 0.27*math.Pow(rng.Float64(), 2.5),
		limit:        int(math.Ceil(median*8/5000)) * 5000,
		classes:      classSets[rng.IntN(len(classSets))],
		sha:          fmt.Sprintf("%016x%016x%016x%016x", rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64()),
	}
}

// run is one execution in the making.
type run struct {
	rng            *rand.Rand
	profile        profile
	at             time.Time
	user, strategy int
	broken         bool
}

type metadata struct {
	Errors   []sandtrail.Finding `json:"errors,omitempty"`
	Warnings []sandtrail.Finding `json:"warnings,omitempty"`
	Run      measured            `json:"run"`
}

type measured struct {
	Status          string `json:"status"`
	ExitCode        *int   `json:"exitCode,omitempty"`
	Signal          string `json:"signal,omitempty"`
	Command         string `json:"command"`
	CPUTime         int    `json:"cpuTime"`
	MemoryPeakBytes int64  `json:"memoryPeakBytes"`
	Method          string `json:"method"`
	SourceSHA256    string `json:"sourceSha256"`
	Limits          limits `json:"limits"`
}

type limits struct {
	Timeout int `json:"timeout"`
	Memory  int `json:"memory"`
}

func (r run) draft() sandtrail.Draft {
	failed := r.broken || r.rng.Float64() < r.profile.failure
	timedOut := failed && !r.broken && r.rng.Float64() < 0.2
	elapsed := int(r.profile.medianTime * math.Exp(0.35*r.rng.NormFloat64()))
	if failed {
		elapsed = elapsed/3 + 1
	}
	if timedOut {
		elapsed = r.profile.limit + r.rng.IntN(40)
	}
	memory := int(r.profile.medianMemory*math.Exp(0.2*r.rng.NormFloat64())) + 1
	cpu := math.Round(10*r.profile.cpu*(0.8+0.4*r.rng.Float64())) / 10

	d := sandtrail.Draft{
		ID: newID(r.rng, r.at), CreatedAt: r.at,
		UserID: fmt.Sprintf("u-%04d", r.user+1), StrategyID: fmt.Sprintf("s-%04d", r.strategy+1),
		Type: sandtrail.Validation, Success: new(!failed), ExecutionTime: &elapsed,
		MemoryUsed: &memory, CPUUsage: &cpu, TimedOut: timedOut, Classes: r.profile.classes,
	}
	if r.rng.Float64() < 0.08 {
		d.Type, d.Classes = sandtrail.Terminal, nil
	}
	if r.rng.Float64() < 0.04 {
		d.MemoryUsed, d.CPUUsage = nil, nil
	}
	d.Metadata = r.metadata(failed, timedOut, elapsed, memory, cpu)
	return d
}

func (r run) metadata(failed, timedOut bool, elapsed, memory int, cpu float64) json.RawMessage {
	m := metadata{Run: measured{
		Status: "exited", ExitCode: new(0), Command: "python3",
		CPUTime: int(float64(elapsed) * cpu / 100), MemoryPeakBytes: int64(memory)<<20 + int64(r.rng.IntN(1<<20)),
		Method: "cgroup2", SourceSHA256: r.profile.sha, Limits: limits{Timeout: r.profile.limit, Memory: 1024},
	}}
	switch {
	case timedOut:
		m.Run.Status, m.Run.ExitCode, m.Run.Signal = "timedOut", nil, "SIGKILL"
		m.Errors = []sandtrail.Finding{{
			Severity: "error", Code: "TIMEOUT",
			Message:    fmt.Sprintf("stopped after %.0f s, the time limit", float64(r.profile.limit)/1000),
			Suggestion: "Bound the loop or raise --timeout.",
		}}
	case failed:
		m.Run.ExitCode = new(1)
		m.Errors = r.findings()
	}
	if r.rng.Float64() < 0.18 {
		w := warnings[r.rng.IntN(len(warnings))]
		w.Line = new(1 + r.rng.IntN(180))
		m.Warnings = append(m.Warnings, w)
	}
	raw, _ := json.Marshal(m) // holds nothing that JSON cannot
	return raw
}

func (r run) findings() []sandtrail.Finding {
	if r.broken {
		return []sandtrail.Finding{importError}
	}
	found := make([]sandtrail.Finding, 1+r.rng.IntN(3)/2)
	for i := range found {
		found[i] = failures[r.rng.IntN(len(failures))]
		line := 1 + r.rng.IntN(220)
		found[i].Line, found[i].Column = &line, new(1+r.rng.IntN(40))
		if found[i].Traceback != "" {
			found[i].Traceback = fmt.Sprintf(found[i].Traceback, line)
		}
	}
	return found
}
