package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
)

// none stands for a value that was not measured or an average over nothing.
const none = "–"

// nb joins a number and its unit: a narrow no-break space.
const nb = "\u202f"

// formatCount groups the digits of n by thousands.
func formatCount(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// formatPercent shows a percentage with one decimal, and none where the
// percentage is whole to the eye. 99.97 is not rounded up to 100.
func formatPercent(p *float64) string {
	if p == nil {
		return none
	}
	if *p > 99.9 && *p < 100 {
		return "99.9" + nb + "%"
	}
	if *p > 0 && *p < 0.1 {
		return "<" + nb + "0.1" + nb + "%"
	}
	return trimZero(*p) + nb + "%"
}

func trimZero(f float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}

// formatMillis shows milliseconds as a person would say them.
func formatMillis(ms *float64) string {
	switch {
	case ms == nil:
		return none
	case *ms > 0 && *ms < 1:
		return "<" + nb + "1" + nb + "ms"
	case *ms < 999.5:
		return strconv.FormatFloat(math.Round(*ms), 'f', 0, 64) + nb + "ms"
	case *ms < 9_995:
		return strconv.FormatFloat(*ms/1000, 'f', 2, 64) + nb + "s"
	case *ms < 59_950:
		return strconv.FormatFloat(*ms/1000, 'f', 1, 64) + nb + "s"
	}
	d := time.Duration(*ms * float64(time.Millisecond)).Round(time.Second)
	if d < time.Hour {
		return fmt.Sprintf("%d%smin %d%ss", int(d.Minutes()), nb, int(d.Seconds())%60, nb)
	}
	return fmt.Sprintf("%d%sh %d%smin", int(d.Hours()), nb, int(d.Minutes())%60, nb)
}

// formatMemory shows MiB.
func formatMemory(mib *float64) string {
	switch {
	case mib == nil:
		return none
	case *mib < 1023.5:
		return strconv.FormatFloat(math.Round(*mib), 'f', 0, 64) + nb + "MiB"
	}
	return strconv.FormatFloat(*mib/1024, 'f', 2, 64) + nb + "GiB"
}

// formatBytes shows a size on disk.
func formatBytes(n int64) string {
	size := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if size < 1000 {
			return trimZero(size) + nb + unit
		}
		size /= 1024
	}
	return trimZero(size) + nb + "TiB"
}

// formatCPU shows the share of one core.
func formatCPU(p *float64) string {
	if p == nil {
		return none
	}
	return strconv.FormatFloat(math.Round(*p), 'f', 0, 64) + nb + "%"
}

// formatMean shows an average of small counts.
func formatMean(f *float64) string {
	if f == nil {
		return none
	}
	return strconv.FormatFloat(*f, 'f', 2, 64)
}

func float(n *int) *float64 {
	if n == nil {
		return nil
	}
	return new(float64(*n))
}

// plural is "1 error", "2 errors".
func plural(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return formatCount(int64(n)) + " " + word
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
		Ago:   ago(f.Now.Sub(t)),
	}
}

// ago is the length of time in its largest unit.
func ago(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < -time.Minute:
		return "in " + strings.TrimSuffix(ago(-max(d, -math.MaxInt64)), " ago")
	case d < 5*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < day:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d d ago", int(d/day))
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
