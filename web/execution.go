package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/human"
)

type executionPage struct {
	*frame
	Row        row
	Measures   []measure
	Errors     []sandtrail.Finding
	Warnings   []sandtrail.Finding
	Run        []fact // how it was measured
	SHA256     string // of the source
	SameSource string
	Metadata   *node
	Looked     bool // the source was searched for classes
	Older      *row
	Newer      *row
	Proven     *proven
	Session    *terminalSession // of a terminal that was recorded
}

// measure is one figure of an execution against the strategy's usual.
type measure struct {
	Label, Value, Usual string
	Scale               *scale
}

// scale places a value beside what is usual.
type scale struct {
	Value, Median, P95 string
	Beyond             bool // slower than 95 % of the strategy's executions
	Title              string
}

// executionInPath is the execution that the address names.
func (v *view) executionInPath() (sandtrail.Execution, error) {
	var id sandtrail.ID
	if id.UnmarshalText([]byte(v.r.PathValue("id"))) != nil {
		return sandtrail.Execution{}, sandtrail.Errorf(sandtrail.CodeNotFound, "%q is not the id of an execution.", v.r.PathValue("id"))
	}
	return v.store.execution(v.r.Context(), id)
}

// maxUnfolded is how much metadata is shown without being asked for, in bytes.
const maxUnfolded = 4 << 10

func execution(v *view) error {
	e, err := v.executionInPath()
	if err != nil {
		return err
	}
	usual, err := v.store.strategyStats(v.r.Context(), e.StrategyID)
	if err != nil {
		return err
	}
	older, newer, err := v.store.neighbours(v.r.Context(), e)
	if err != nil {
		return err
	}
	p := executionPage{frame: v.frame("Execution", "executions")}
	if p.Proven, err = v.proven(e); err != nil {
		return err
	}
	p.Row = v.row(p.frame, e)
	if err := p.replay(v, e); err != nil {
		return err
	}
	p.Title = p.Row.Outcome.Label + ": " + p.Row.StrategyLabel()
	p.Measures, p.Looked = measures(e, usual), e.Classes != nil
	p.Errors, p.Warnings = e.Findings()
	p.Metadata = parseTree(e.Metadata)
	if len(e.Metadata) > maxUnfolded {
		p.Metadata.fold()
	}
	for _, key := range []string{"errors", "warnings", "run"} {
		if n := p.Metadata.child(key); n != nil {
			n.Told = true
		}
	}
	p.Run, p.SHA256 = runFacts(p.Metadata)
	if e.MemoryUsed != nil { // the same peak, rounded up, stands above
		p.Run = slices.DeleteFunc(p.Run, func(f fact) bool { return f.Name == runNames["memoryPeakBytes"] })
	}
	if p.SHA256 != "" {
		p.SameSource = address("/executions", url.Values{"text": {p.SHA256}, "strategyId": {e.StrategyID}})
	}
	if older != nil {
		p.Older = new(v.row(p.frame, *older))
	}
	if newer != nil {
		p.Newer = new(v.row(p.frame, *newer))
	}
	v.render(http.StatusOK, "execution", p)
	return nil
}

func measures(e sandtrail.Execution, usual sandtrail.StrategyStats) []measure {
	elapsed := float(&e.ExecutionTime)
	q := usual.Percentiles.ExecutionTime
	costs := e.Costs()
	findings := plural(e.ErrorCount, "error") + ", " + plural(e.WarningCount, "warning")
	return []measure{
		{Label: "Execution time", Value: formatMillis(elapsed), Usual: against("p50", formatMillis(q.P50)), Scale: newScale(elapsed, q)},
		{Label: "Peak memory", Value: formatMemory(float(e.MemoryUsed)), Usual: against("average", formatMemory(usual.Avg.MemoryUsed)) + also(formatMemoryTime(costs.MemoryMiBSeconds))},
		{Label: "CPU", Value: formatPercent(e.CPUUsage), Usual: against("average", formatPercent(usual.Avg.CPUUsage)) + also(formatCPUTime(costs.CPUSeconds), "of CPU time")},
		{
			Label: "Findings", Value: findings,
			Usual: against("errors on average:", formatMean(database.Mean(float64(usual.Sum.ErrorCount), usual.Count))),
		},
	}
}

func against(what, value string) string {
	if value == human.None {
		return "nothing to compare with yet"
	}
	return what + " " + value
}

// also adds a value that was measured to a sentence.
func also(value string, what ...string) string {
	if value == human.None {
		return ""
	}
	return "; " + strings.Join(append([]string{value}, what...), " ")
}

func newScale(value *float64, q sandtrail.Quantiles) *scale {
	if value == nil || q.P50 == nil || q.P95 == nil || q.P99 == nil {
		return nil
	}
	end := 1.25 * max(*value, *q.P95, 1)
	return &scale{
		Value: share(100 * *value / end), Median: share(100 * *q.P50 / end), P95: share(100 * *q.P95 / end),
		Beyond: *value > *q.P95,
		Title:  "p50 " + formatMillis(q.P50) + ", p95 " + formatMillis(q.P95) + ", p99 " + formatMillis(q.P99),
	}
}
