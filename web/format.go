package web

import (
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
)

// nb joins a number and its unit: a narrow no-break space.
const nb = "\u202f"

// joined keeps a figure and its unit on one line.
func joined(figure string) string { return strings.ReplaceAll(figure, " ", nb) }

func formatPercent(p *float64) string    { return joined(human.Opt(p, human.Percent)) }
func formatMillis(ms *float64) string    { return joined(human.Opt(ms, human.Millis)) }
func formatMemory(mib *float64) string   { return joined(human.Opt(mib, human.MiB)) }
func formatCPUTime(s *float64) string    { return joined(human.Opt(s, human.Seconds)) }
func formatMemoryTime(n *float64) string { return joined(human.Opt(n, human.MiBSeconds)) }
func formatBytes(n int64) string         { return joined(human.Bytes(n)) }
func formatMean(f *float64) string       { return human.Opt(f, human.Number) }

// plural is "1 error", "2 errors".
func plural[N int | int64](n N, word string) string { return human.Plural(int64(n), word) }

func float(n *int) *float64 {
	if n == nil {
		return nil
	}
	return new(float64(*n))
}

// stamp is an instant as the page shows it.
type stamp struct {
	ISO   string // for machines
	Exact string // in the reader's zone
	Ago   string
}

// Stamp is the stamp of t, empty for the zero time.
func (f *frame) Stamp(t time.Time) stamp {
	if t.IsZero() {
		return stamp{Exact: "never", Ago: "never"}
	}
	return stamp{
		ISO:   t.UTC().Format("2006-01-02T15:04:05.000Z"),
		Exact: t.In(f.loc).Format("Mon 2 Jan 2006, 15:04:05.000 MST"),
		Ago:   human.Ago(f.Now, t),
	}
}

// outcome is the verdict about an execution in one word.
type outcome struct {
	Class string // for colours and icons
	Label string
}

var (
	succeeded = outcome{"ok", "Succeeded"}
	failed    = outcome{"fail", "Failed"}
	timedOut  = outcome{"timeout", "Timed out"}
)

func outcomeOf(e sandtrail.Execution) outcome {
	switch {
	case e.Success:
		return succeeded
	case e.TimedOut:
		return timedOut
	}
	return failed
}

func typeLabel(t sandtrail.ExecutionType) string {
	if t == sandtrail.Terminal {
		return "Terminal"
	}
	return "Validation"
}
