package sandtrail

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// StrategyStats sums up all stored executions of a strategy. Averages skip values that were not measured and are nil when
// there is none; rates are percentages and nil over nothing.
type StrategyStats struct {
	StrategyID    string      `json:"strategyId"`
	Count         int64       `json:"count"`
	SuccessCount  int64       `json:"successCount"`
	SuccessRate   *float64    `json:"successRate"`
	TimedOutCount int64       `json:"timedOutCount"`
	Avg           Averages    `json:"avg"`
	Sum           Sums        `json:"sum"`
	Measured      Measured    `json:"measured"`
	Percentiles   Percentiles `json:"percentiles"`
}

// Averages are arithmetic means of the measured values.
type Averages struct {
	ExecutionTime *float64 `json:"executionTime"` // milliseconds
	MemoryUsed    *float64 `json:"memoryUsed"`    // MiB
	CPUUsage      *float64 `json:"cpuUsage"`      // percent
}

// Sums are totals over all executions.
type Sums struct {
	ErrorCount   int64 `json:"errorCount"`
	WarningCount int64 `json:"warningCount"`
	Costs
}

// Percentiles of a distribution.
type Percentiles struct {
	ExecutionTime Quantiles `json:"executionTime"`
}

// Quantiles in milliseconds by nearest rank: the smallest recorded value with
// at least that share of the values at or below it. Nil over nothing.
type Quantiles struct {
	P50 *float64 `json:"p50"`
	P95 *float64 `json:"p95"`
	P99 *float64 `json:"p99"`
}

// StrategyHealth looks at the last n executions of a strategy.
type StrategyHealth struct {
	StrategyID       string     `json:"strategyId"`
	SuccessRate      *float64   `json:"successRate"`
	AvgErrors        *float64   `json:"avgErrors"`
	AvgWarnings      *float64   `json:"avgWarnings"`
	LastValidated    *time.Time `json:"lastValidated"`    // newest createdAt
	TotalValidations int64      `json:"totalValidations"` // how many were looked at
}

// MarshalJSON writes the time as Execution's does, and all in the order of the
// fields.
func (h StrategyHealth) MarshalJSON() ([]byte, error) {
	type plain StrategyHealth
	return EncodeJSON(struct {
		plain
		LastValidated    *Time `json:"lastValidated"`
		TotalValidations int64 `json:"totalValidations"`
	}{plain(h), timeOrNil(h.LastValidated), h.TotalValidations})
}

// UnmarshalJSON reads a health as MarshalJSON writes it.
func (h *StrategyHealth) UnmarshalJSON(raw []byte) error {
	type plain StrategyHealth
	into := struct {
		*plain
		LastValidated *Time `json:"lastValidated"`
	}{plain: (*plain)(h)}
	err := json.Unmarshal(raw, &into)
	if h.LastValidated = nil; into.LastValidated != nil {
		h.LastValidated = &into.LastValidated.Time
	}
	return err
}

// Limits of StrategyHealth's last.
const (
	DefaultHealthLast = 100
	MaxHealthLast     = 10000
)

// UserStats sums up all stored executions of a user, and their costs.
type UserStats struct {
	UserID           string   `json:"userId"`
	TotalExecutions  int64    `json:"totalExecutions"`
	SuccessRate      *float64 `json:"successRate"`
	AvgExecutionTime *float64 `json:"avgExecutionTime"` // milliseconds
	Sum              Costs    `json:"sum"`
	Measured         Measured `json:"measured"`
}

// Rate is 100 × part/whole, nil over nothing.
func Rate(part, whole int64) *float64 {
	if whole == 0 {
		return nil
	}
	rate := 100 * float64(part) / float64(whole)
	return &rate
}

// Bucket is the width of a trend's buckets.
type Bucket string

// The bucket widths.
const (
	Day  Bucket = "day"
	Hour Bucket = "hour"
)

// TrendQuery asks for executions per bucket from Since until Until. The
// window is exact: its oldest bucket is counted from Since on.
type TrendQuery struct {
	Since, Until time.Time      // inclusive, exclusive
	Location     *time.Location // nil: UTC
	Bucket       Bucket         // "": Day
	UserID       string         // "" all
	StrategyID   string         // "" all
}

// MaxTrendBuckets bounds an answer.
const MaxTrendBuckets = 10000

// TrendBucket is one element of a trend.
type TrendBucket struct {
	// Date is the local calendar day ("2026-11-24") or the start of the hour
	// with its offset ("2026-11-24T13:00:00+01:00", "…Z" in UTC).
	Date       string   `json:"date"`
	Total      int64    `json:"total"`
	Successful int64    `json:"successful"`
	Failed     int64    `json:"failed"` // not successful, time-outs included
	TimedOut   int64    `json:"timedOut"`
	AvgTime    *float64 `json:"avgTime"`   // milliseconds
	AvgMemory  *float64 `json:"avgMemory"` // MiB, of those measured
	P95Time    *float64 `json:"p95Time"`   // milliseconds
	Sum        Costs    `json:"sum"`
	Measured   Measured `json:"measured"`
}

// LastDays is the window of a trend: days of 24 hours back from now. It ends with the current millisecond. An execution of the future counts
// when its time has come.
func LastDays(now time.Time, days int) (since, until time.Time) {
	now = Millisecond(now)
	return now.Add(-time.Duration(days) * 24 * time.Hour), now.Add(time.Millisecond)
}

// Known returns the answer of a store, or CodeNotFound where nothing counts in it
// and the user or strategy of q does not exist.
func (q TrendQuery) Known(ctx context.Context, trend []TrendBucket, owners Owners) ([]TrendBucket, error) {
	if slices.ContainsFunc(trend, func(b TrendBucket) bool { return b.Total > 0 }) {
		return trend, nil
	}
	if q.UserID != "" {
		if _, err := owners.User(ctx, q.UserID); err != nil {
			return nil, err
		}
	}
	if q.StrategyID != "" {
		if _, err := owners.Strategy(ctx, q.StrategyID); err != nil {
			return nil, err
		}
	}
	return trend, nil
}

// Edges returns the instants that separate the query's buckets, ascending:
// bucket i is [edges[i], edges[i+1]). The first edge is Since, the last is
// Until; all between begin local days or local hours.
func (q TrendQuery) Edges() ([]time.Time, error) {
	if q.Bucket != Day && q.Bucket != Hour && q.Bucket != "" {
		return nil, Errorf(CodeInvalid, "bucket: must be day or hour, got %q", q.Bucket)
	}
	if !q.Since.Before(q.Until) {
		return nil, Errorf(CodeInvalid, "since must be before until")
	}
	edges := []time.Time{q.Since.UTC()}
	for edge := q.next(q.Since); edge.Before(q.Until); edge = q.next(edge) {
		if len(edges) == MaxTrendBuckets {
			return nil, Errorf(CodeInvalid, "more than %d buckets; ask for fewer days or for day buckets", MaxTrendBuckets)
		}
		edges = append(edges, edge.UTC())
	}
	return append(edges, q.Until.UTC()), nil
}

// Label is the Date of the bucket that contains t.
func (q TrendQuery) Label(t time.Time) string {
	local := t.In(q.location())
	if q.Bucket != Hour {
		return local.Format(time.DateOnly)
	}
	// With the offset of t, also where the hour began with another.
	_, offset := local.Zone()
	local = local.In(time.FixedZone("", offset))
	return local.Add(-sinceFullHour(local)).Format(time.RFC3339)
}

func (q TrendQuery) location() *time.Location {
	if q.Location == nil {
		return time.UTC
	}
	return q.Location
}

// next is the first start of a local day or of a full hour after t. Hours can be
// cut short where clocks are changed.
func (q TrendQuery) next(t time.Time) time.Time {
	local := t.In(q.location())
	_, change := local.ZoneBounds()
	if q.Bucket == Hour {
		full := local.Add(time.Hour - sinceFullHour(local))
		if !change.IsZero() && change.Before(full) {
			return change
		}
		return full
	}
	return endOfDay(local)
}

// endOfDay is the first instant after t of another calendar day in its zone. A
// day ends at midnight by the clock that it ends with: one that is set back to
// midnight repeats a piece of the same day, as in date(… AT TIME ZONE …) of
// PostgreSQL, and one that is set over midnight begins the day late or skips it.
func endOfDay(t time.Time) time.Time {
	day := t.Format(time.DateOnly)
	for {
		midnight := t.Add(24*time.Hour - sinceMidnight(t))
		_, change := t.ZoneBounds()
		if change.IsZero() || midnight.Before(change) {
			return midnight
		}
		if t = change; t.Format(time.DateOnly) != day {
			return t
		}
	}
}

// ParseDate reads a calendar day (2006-01-02) as the instant at which it begins
// in a zone; of a day that the zone skipped, as the beginning of the next.
func ParseDate(text string, zone *time.Location) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, err
	}
	t := day.Add(-36 * time.Hour).In(zone) // some day before
	for t.Format(time.DateOnly) < text {
		t = endOfDay(t)
	}
	return t, nil
}

func sinceMidnight(local time.Time) time.Duration {
	return time.Duration(local.Hour())*time.Hour + sinceFullHour(local)
}

func sinceFullHour(local time.Time) time.Duration {
	return time.Duration(local.Minute())*time.Minute + time.Duration(local.Second())*time.Second +
		time.Duration(local.Nanosecond())
}

// WindowStats summarises one window, for alerts and overviews.
type WindowStats struct {
	Total      int64    `json:"total"`
	Successful int64    `json:"successful"`
	Failed     int64    `json:"failed"`
	TimedOut   int64    `json:"timedOut"`
	AvgTime    *float64 `json:"avgTime"`   // milliseconds
	AvgMemory  *float64 `json:"avgMemory"` // MiB
	P95Time    *float64 `json:"p95Time"`   // milliseconds
}

// FailureRate is the share of failed executions in percent, nil over nothing.
func (w WindowStats) FailureRate() *float64 { return Rate(w.Failed, w.Total) }

// Window selects executions for WindowStats.
type Window struct {
	Since, Until time.Time // inclusive, exclusive; zero: no bound
	UserID       string    // "" all
	StrategyID   string    // "" all
}

// Subject is what a ranking ranks.
type Subject string

// The subjects.
const (
	Strategies Subject = "strategy"
	Users      Subject = "user"
)

// RankQuery asks which users or strategies stand out in a window.
type RankQuery struct {
	Subject      Subject
	Since, Until time.Time // inclusive, exclusive; zero: no bound
	Order        RankOrder // "": MostExecutions
	Limit        int       // 1 to MaxLimit; 0: 10
}

// Plan checks the query and fills in its defaults.
func (q RankQuery) Plan() (RankQuery, error) {
	var p Faults
	if q.Limit == 0 {
		q.Limit = 10
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		p.Addf("limit", "must be 1 to %d, got %d", MaxLimit, q.Limit)
	}
	if q.Order == "" {
		q.Order = MostExecutions
	}
	if q.Order != MostExecutions && q.Order != MostFailures {
		p.Addf("order", "must be executions or failures, got %q", q.Order)
	}
	if q.Subject != Strategies && q.Subject != Users {
		p.Addf("subject", "must be strategy or user, got %q", q.Subject)
	}
	return q, p.Err("invalid ranking")
}

// RankOrder is what a ranking is ordered by, descending; ties by id.
type RankOrder string

// The orders.
const (
	MostExecutions RankOrder = "executions"
	MostFailures   RankOrder = "failures"
)

// Rank is one line of a ranking: a subject with at least one execution in the
// window.
type Rank struct {
	ID     string `json:"id"`
	Name   string `json:"name"` // of the strategy; the user's e-mail
	Total  int64  `json:"total"`
	Failed int64  `json:"failed"`
}

// ParseLocation finds a time zone by its IANA name; "" is UTC. "Local" is
// refused: an answer may not depend on the machine that gives it.
func ParseLocation(name string) (*time.Location, error) {
	var p Faults
	if name == "Local" {
		p.Addf("tz", "name the zone, such as Europe/Paris")
		return nil, p.Err("")
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		p.Addf("tz", "unknown time zone %q: it must be an IANA name such as Europe/Paris", name)
		return nil, &Error{Code: CodeInvalid, Fields: p.fields, Err: err}
	}
	return location, nil
}
