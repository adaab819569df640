package rollup

import (
	"math"
	"time"
)

// Change is one record that came (Sign +1) or went (Sign −1). An update is
// both, with the old values and the new.
type Change struct {
	Sign    int8
	Retired bool // with Sign −1: removed by retention

	UserID, StrategyID string
	CreatedAt          time.Time
	Success, TimedOut  bool
	ExecutionTime      int // milliseconds
	MemoryUsed         *int
	CPUUsage           *float64
	ErrorCount         int
	WarningCount       int
}

// Scope says what a subject is.
type Scope uint8

// The scopes. Their values are stored.
const (
	Global   Scope = 0 // all records
	User     Scope = 1
	Strategy Scope = 2
)

// Subject is what is counted: everything, one user, or one strategy.
type Subject struct {
	Scope Scope
	ID    string // of the user or strategy; "" for Global
}

// Subjects returns the subjects that the change counts for.
func (c Change) Subjects() [3]Subject {
	return [3]Subject{{Scope: Global}, {User, c.UserID}, {Strategy, c.StrategyID}}
}

// Date is a UTC day as the number of days since 1970-01-01. It is what stores
// keep in the key of a day.
type Date int32

const (
	slotMillis = 15 * 60 * 1000
	dayMillis  = SlotsPerDay * slotMillis
)

// SlotsPerDay is how many slots of 15 minutes a UTC day has.
const SlotsPerDay = 96

// DateOf returns the UTC day of an instant.
func DateOf(t time.Time) Date { return Date(floorDiv(t.UnixMilli(), dayMillis)) }

// Time returns the first instant of the day.
func (d Date) Time() time.Time { return time.UnixMilli(int64(d) * dayMillis).UTC() }

// String gives the day as 2006-01-02.
func (d Date) String() string { return d.Time().Format(time.DateOnly) }

// Key names one stored day.
type Key struct {
	Subject
	Date Date
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Bounds of the CPU usage that is summed, in percent; what lies beyond counts
// as the bound, so that no single record can overflow a sum.
const maxCPU = 1e9

// cpuMicros is a CPU usage in millionths of a percent, an integer so that
// what was added can be taken away again exactly.
func cpuMicros(percent float64) int64 {
	return int64(math.Round(1e6 * max(-maxCPU, min(maxCPU, percent))))
}
