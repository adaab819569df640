package api

import (
	"net/url"
	"strconv"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Values is the query of a request.
type Values url.Values

// Text sets a value, unless it is empty.
func (v Values) Text(name, value string) {
	if value != "" {
		url.Values(v).Set(name, value)
	}
}

// Limit sets how many are asked for; 0 leaves that to the server.
func (v Values) Limit(n int) {
	if n != 0 {
		url.Values(v).Set("limit", strconv.Itoa(n))
	}
}

// Times sets bounds of time; the zero time is none.
func (v Values) Times(since, until time.Time) {
	if !since.IsZero() {
		v.Text("since", FormatTime(since))
	}
	if !until.IsZero() {
		v.Text("until", FormatTime(until))
	}
}

// Owners sets a user and a strategy; "" is any.
func (v Values) Owners(userID, strategyID string) {
	v.Text("userId", userID)
	v.Text("strategyId", strategyID)
}

// FormatTime writes a bound of time.
func FormatTime(t time.Time) string { return Bound(t).Format(time.RFC3339Nano) }

// Bound is a bound of time as it can be written. One outside of the years
// that RFC 3339 knows stands for their end: no execution lies beyond.
func Bound(t time.Time) time.Time {
	switch t = t.UTC(); {
	case t.Year() < 0:
		return time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	case t.Year() > 9999:
		return time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	}
	return t
}

// FilterValues is the query that a filter is sent as.
func FilterValues(f sandtrail.Filter) Values {
	v := Values{}
	v.Owners(f.UserID, f.StrategyID)
	v.Text("executionType", string(f.Type))
	v.Times(f.Since, f.Until)
	v.Text("text", f.Text)
	if f.Within != 0 {
		v.Text("within", f.Within.String())
	}
	for name, flag := range map[string]*bool{"success": f.Success, "timedOut": f.TimedOut} {
		if flag != nil {
			v.Text(name, strconv.FormatBool(*flag))
		}
	}
	for name, limit := range map[string]*int{"minTime": f.MinTime, "maxTime": f.MaxTime, "minMemory": f.MinMemory, "maxMemory": f.MaxMemory} {
		if limit != nil {
			v.Text(name, strconv.Itoa(*limit))
		}
	}
	return v
}
