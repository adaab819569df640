package web

import (
	"cmp"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
)

// filterForm is the filter as it stands in the address and in the form, with
// the names of the API.
type filterForm struct {
	User, Strategy, Type, Outcome string
	Within, Since, Until          string
	MinTime, MaxTime              string
	MinMemory, MaxMemory, Text    string
}

func readForm(q url.Values) filterForm {
	get := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	return filterForm{
		User: get("userId"), Strategy: get("strategyId"), Type: get("executionType"), Outcome: get("outcome"),
		Within: get("within"), Since: get("since"), Until: get("until"),
		MinTime: get("minTime"), MaxTime: get("maxTime"), MinMemory: get("minMemory"), MaxMemory: get("maxMemory"), Text: get("text"),
	}
}

// values is the address of the form without empty fields.
func (f filterForm) values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{
		"userId": f.User, "strategyId": f.Strategy, "executionType": f.Type, "outcome": f.Outcome,
		"within": f.Within, "since": f.Since, "until": f.Until,
		"minTime": f.MinTime, "maxTime": f.MaxTime, "minMemory": f.MinMemory, "maxMemory": f.MaxMemory, "text": f.Text,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// The values of outcome.
const (
	outcomeSucceeded = "succeeded"
	outcomeFailed    = "failed" // time-outs included, as everywhere
	outcomeTimedOut  = "timedOut"
	outcomeCrashed   = "crashed" // failed without a time-out
)

// outcomeWords are the outcomes as a reader sees them, where they differ.
var outcomeWords = map[string]string{outcomeTimedOut: "timed out", outcomeCrashed: "failed, not timed out"}

// filter reads the form; what it cannot read is an *Error of CodeInvalid that
// names the field.
func (f filterForm) filter(loc *time.Location) (sandtrail.Filter, error) {
	out := sandtrail.Filter{UserID: f.User, StrategyID: f.Strategy, Type: sandtrail.ExecutionType(f.Type), Text: f.Text}
	var problems []sandtrail.FieldError
	check := func(path string, err error) {
		if err != nil {
			problems = append(problems, sandtrail.FieldError{Path: path, Message: message(err)})
		}
	}
	var err error
	switch f.Outcome {
	case "":
	case outcomeSucceeded:
		out.Success = new(true)
	case outcomeFailed:
		out.Success = new(false)
	case outcomeTimedOut:
		out.TimedOut = new(true)
	case outcomeCrashed:
		out.Success, out.TimedOut = new(false), new(false)
	default:
		check("outcome", errors.New("must be succeeded, failed (time-outs too), timedOut, or crashed (failed, not timed out)"))
	}
	if f.Type != "" && out.Type != sandtrail.Validation && out.Type != sandtrail.Terminal {
		check("executionType", errors.New("must be VALIDATION or TERMINAL"))
	}
	if f.Within != "" {
		out.Within, err = sandtrail.ParseDuration(f.Within)
		check("within", err)
	}
	out.Since, err = parseTime(f.Since, loc)
	check("since", err)
	out.Until, err = parseTime(f.Until, loc)
	check("until", err)
	if err == nil && !out.Since.IsZero() && !out.Until.IsZero() && out.Until.Before(out.Since) {
		check("until", errors.New("is before since"))
	}
	out.MinTime, err = parseMillis(f.MinTime)
	check("minTime", err)
	out.MaxTime, err = parseMillis(f.MaxTime)
	check("maxTime", err)
	out.MinMemory, err = parseCount(f.MinMemory)
	check("minMemory", err)
	out.MaxMemory, err = parseCount(f.MaxMemory)
	check("maxMemory", err)
	if len(problems) > 0 {
		return sandtrail.Filter{}, &sandtrail.Error{Code: sandtrail.CodeInvalid, Message: "The filter cannot be used as it is.", Fields: problems}
	}
	return out, nil
}

// message is an error without its fields' path, for a form.
func message(err error) string {
	var e *sandtrail.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// localTime is how <input type=datetime-local> writes a time.
const localTime = "2006-01-02T15:04"

// parseTime reads an RFC 3339 time, or a local one in the reader's zone.
func parseTime(s string, loc *time.Location) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return sandtrail.Millisecond(t), nil
	}
	if t, err := sandtrail.ParseDate(s, loc); err == nil {
		return t.UTC(), nil
	}
	for _, layout := range []string{localTime, localTime + ":05"} {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("must be a time such as 2026-11-24T09:30 or 2026-11-24T09:30:00Z")
}

// parseMillis reads milliseconds, bare or as a duration ("2s").
func parseMillis(s string) (*int, error) {
	if n, err := parseCount(s); err == nil {
		return n, nil
	}
	d, err := sandtrail.ParseDuration(s)
	if err != nil || d.Milliseconds() > sandtrail.MaxInt {
		return nil, errors.New("must be a length of time such as 500ms or 2s")
	}
	return new(int(d.Milliseconds())), nil
}

func parseCount(s string) (*int, error) {
	if s == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > sandtrail.MaxInt {
		return nil, errors.New("must be a whole number of at least 0")
	}
	return &n, nil
}

// chip is one active part of the filter, and the address without it.
type chip struct {
	Name, Value string
	Without     string
}

// chips are the active parts that can be taken away.
func (f filterForm) chips(path string) []chip {
	labels := []struct{ param, name string }{
		{"text", "text"},
		{"userId", "user"},
		{"strategyId", "strategy"},
		{"executionType", "type"},
		{"outcome", "outcome"},
		{"within", "within"},
		{"since", "ended since"},
		{"until", "ended before"},
		{"minTime", "execution time ≥"},
		{"maxTime", "execution time ≤"},
		{"minMemory", "memory ≥"},
		{"maxMemory", "memory ≤"},
	}
	var chips []chip
	q := f.values()
	for _, label := range labels {
		value := q.Get(label.param)
		if value == "" {
			continue
		}
		words := value
		if label.param == "outcome" {
			words = cmp.Or(outcomeWords[value], value)
		}
		rest := f.values()
		rest.Del(label.param)
		chips = append(chips, chip{label.name, words, address(path, rest)})
	}
	return chips
}

func address(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// exportQuery is the query that asks the API for exactly these executions.
// Since is given resolved: the API reads no local times.
func exportQuery(f sandtrail.Filter, now time.Time) url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("userId", f.UserID)
	set("strategyId", f.StrategyID)
	set("executionType", string(f.Type))
	set("text", f.Text)
	if f.Success != nil {
		set("success", strconv.FormatBool(*f.Success))
	}
	if f.TimedOut != nil {
		set("timedOut", strconv.FormatBool(*f.TimedOut))
	}
	for name, limit := range map[string]*int{"minTime": f.MinTime, "maxTime": f.MaxTime, "minMemory": f.MinMemory, "maxMemory": f.MaxMemory} {
		if limit != nil {
			set(name, strconv.Itoa(*limit))
		}
	}
	since := f.Since
	if f.Within > 0 && now.Add(-f.Within).After(since) {
		since = sandtrail.Millisecond(now.Add(-f.Within))
	}
	if !since.IsZero() {
		set("since", since.Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		set("until", f.Until.Format(time.RFC3339Nano))
	}
	return q
}
