package rollup

import (
	"math"

	"github.com/sandtrail/sandtrail"
)

// Counts are what a cell counts beside the distribution of times. All of them
// are sums, so that they can be added and subtracted.
type Counts struct {
	Total    int64
	Success  int64
	TimedOut int64
	Time     int64 // sum of execution times, milliseconds

	MemoryN int64 // records with a measured memory
	Memory  int64 // their sum, MiB
	CPUN    int64 // records with a measured CPU usage
	CPU     int64 // their sum, millionths of a percent

	Errors   int64
	Warnings int64

	CPUTimeN    int64 // records whose CPU time is known
	CPUTime     wide  // their sum, microseconds
	MemoryTimeN int64 // records whose memory × time is known
	MemoryTime  wide  // their sum, MiB × milliseconds
}

// fields lists the counters in the order of their encoding.
func (c *Counts) fields() [16]*int64 {
	return [16]*int64{
		&c.Total, &c.Success, &c.TimedOut, &c.Time,
		&c.MemoryN, &c.Memory, &c.CPUN, &c.CPU, &c.Errors, &c.Warnings,
		&c.CPUTimeN, &c.CPUTime.low, &c.CPUTime.high,
		&c.MemoryTimeN, &c.MemoryTime.low, &c.MemoryTime.high,
	}
}

// costFields is how many of the fields, the last ones, are about costs.
const costFields = 6

func (c *Counts) merge(other *Counts, factor int64) {
	theirs := other.fields()
	for i, field := range c.fields() {
		*field += factor * *theirs[i]
	}
}

// Cell counts executions and sketches how long they took. The zero cell is
// empty.
type Cell struct {
	Counts
	times sketch
}

// Add counts the record of a change, whatever its sign.
func (c *Cell) Add(change Change) { c.apply(&change, 1) }

// Sub takes the record of a change away, whatever its sign.
func (c *Cell) Sub(change Change) { c.apply(&change, -1) }

// Merge adds what other counts. It keeps nothing of other.
func (c *Cell) Merge(other Cell) {
	c.Counts.merge(&other.Counts, 1)
	c.times.merge(&other.times, 1)
}

// Subtract takes away what other counts.
func (c *Cell) Subtract(other Cell) {
	c.Counts.merge(&other.Counts, -1)
	c.times.merge(&other.times, -1)
}

// IsEmpty reports whether the cell counts nothing.
func (c Cell) IsEmpty() bool { return c.Counts == Counts{} && len(c.times.bins) == 0 }

func (c *Cell) apply(change *Change, factor int64) {
	c.Total += factor
	if change.Success {
		c.Success += factor
	}
	if change.TimedOut {
		c.TimedOut += factor
	}
	c.Time += factor * int64(change.ExecutionTime)
	if m := change.MemoryUsed; m != nil {
		c.MemoryN += factor
		c.Memory += factor * int64(*m)
	}
	if u := change.CPUUsage; u != nil && !math.IsNaN(*u) {
		c.CPUN += factor
		c.CPU += factor * cpuMicros(*u)
	}
	cost := sandtrail.Execution{ExecutionTime: change.ExecutionTime, CPUUsage: change.CPUUsage, MemoryUsed: change.MemoryUsed}
	if n, measured := cost.CPUMicroseconds(); measured {
		c.CPUTimeN += factor
		c.CPUTime.add(n, factor)
	}
	if n, measured := cost.MemoryMiBMilliseconds(); measured {
		c.MemoryTimeN += factor
		c.MemoryTime.add(n, factor)
	}
	c.Errors += factor * int64(change.ErrorCount)
	c.Warnings += factor * int64(change.WarningCount)
	c.times.add(int64(change.ExecutionTime), factor)
}

// Quantile returns the execution time in milliseconds of the nearest rank:
// the smallest with at least that percentage of the times at or below it. It
// is exact while the cell has seen at most ExactTimes different times, and
// within Accuracy afterwards. Nil over nothing.
func (c Cell) Quantile(percent int64) *float64 {
	if c.Total <= 0 {
		return nil
	}
	rank := (percent*c.Total + 99) / 100
	return c.times.at(max(rank, 1))
}
