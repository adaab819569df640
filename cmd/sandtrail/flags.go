package main

import (
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/cmdline"
	"github.com/sandtrail/sandtrail/runner"
)

// Types of flags that the small recorder has too.
type (
	duration = cmdline.Duration
	inFile   = cmdline.InFile
	input    = cmdline.Input
	outFile  = cmdline.OutFile
)

// millis are the whole milliseconds of a duration, nil when it was not given.
func millis(v *duration) *int {
	if v == nil {
		return nil
	}
	return new(int(time.Duration(*v).Milliseconds()))
}

// moment is a point in time: a length of time back from now, or a date.
type moment struct {
	ago   time.Duration
	exact time.Time // zero: ago counts
	given bool
}

// dates are the ways to write a moment besides a duration; without a zone,
// UTC.
var dates = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly}

// UnmarshalText reads a flag.
func (m *moment) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	*m = moment{given: true}
	for _, layout := range dates {
		if t, err := time.Parse(layout, s); err == nil {
			m.exact = t.UTC()
			return nil
		}
	}
	ago, err := sandtrail.ParseDuration(s)
	if err != nil {
		return sandtrail.Errorf(sandtrail.CodeInvalid,
			"must be a duration back from now such as 7d or 1h30m, a date such as 2026-11-24 or a time such as 2026-11-24T09:30:00Z, got %q", s)
	}
	m.ago = ago
	return nil
}

// at is the moment as a time; zero when it was not given.
func (m moment) at(now time.Time) time.Time {
	switch {
	case !m.given:
		return time.Time{}
	case !m.exact.IsZero():
		return m.exact
	}
	return sandtrail.Millisecond(now.Add(-m.ago))
}

// webAddress is an address to send to.
type webAddress string

// UnmarshalText reads a flag. The address may hold a secret: it is not
// repeated.
func (a *webAddress) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "must be a URL such as https://example.com/alerts")
	}
	*a = webAddress(text)
	return nil
}

// hostPort is an address to listen on.
type hostPort string

// UnmarshalText reads a flag.
func (h *hostPort) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if err != nil {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "must be HOST:PORT such as 127.0.0.1:8471, got %q", text)
	}
	if n, err := strconv.Atoi(port); err == nil && (n < 0 || n > math.MaxUint16) {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "must be HOST:PORT such as 127.0.0.1:8471, with a port up to 65535, got %q", text)
	}
	*h = hostPort(text)
	return nil
}

// scope are the flags that narrow an answer to a user or a strategy.
type scope struct {
	User     string `placeholder:"ID" help:"Only this user's."`
	Strategy string `placeholder:"ID" help:"Only this strategy's."`
}

// selection are the flags that select executions.
type selection struct {
	scope
	Type     string `placeholder:"TYPE" help:"VALIDATION or TERMINAL."`
	TimedOut bool   `help:"Only those that ran into their time limit."`
	Text     string `placeholder:"TEXT" help:"Only those whose metadata contains this text, such as an error's; upper or lower case of ASCII letters does not matter."`
	Since    moment `placeholder:"WHEN" help:"From then on: a duration back from now (7d), a date or an RFC 3339 time."`
	Until    moment `placeholder:"WHEN" help:"Before then."`

	MinTime   *duration `placeholder:"2s" help:"Only those that took at least so long."`
	MaxTime   *duration `placeholder:"2s" help:"Only those that took at most so long."`
	MinMemory *int      `placeholder:"MIB" help:"Only those that used at least so much memory."`
	MaxMemory *int      `placeholder:"MIB" help:"Only those that used at most so much memory."`
}

// filter is what the flags ask for. A since that is a duration is resolved by
// the store, once for all pages.
func (s selection) filter(now time.Time) sandtrail.Filter {
	filter := sandtrail.Filter{
		UserID: s.User, StrategyID: s.Strategy, Text: s.Text,
		Type:  sandtrail.ExecutionType(strings.ToUpper(s.Type)),
		Since: s.Since.exact, Within: s.Since.ago, Until: s.Until.at(now),
		MinTime: millis(s.MinTime), MaxTime: millis(s.MaxTime), MinMemory: s.MinMemory, MaxMemory: s.MaxMemory,
	}
	if filter.Within == 0 {
		filter.Since = s.Since.at(now) // 0 is no time at all, not all of it
	}
	if s.TimedOut {
		filter.TimedOut = &s.TimedOut
	}
	return filter
}

// filterFlags select a page of executions.
type filterFlags struct {
	selection
	Limit  int    `default:"50" help:"At most so many, up to 1000."`
	Cursor string `placeholder:"CURSOR" help:"Go on after the page that named this cursor."`
}

// query is the page that the flags ask for.
func (f filterFlags) query(now time.Time) (sandtrail.Query, error) {
	// The store takes 0 for its default.
	if f.Limit < 1 || f.Limit > sandtrail.MaxLimit {
		return sandtrail.Query{}, sandtrail.Errorf(sandtrail.CodeInvalid, "--limit: must be 1 to %d, got %d", sandtrail.MaxLimit, f.Limit)
	}
	return sandtrail.Query{Filter: f.filter(now), Limit: f.Limit, Cursor: f.Cursor}, f.check(now)
}

// again is what to add to the command for the next page.
func (f filterFlags) again(q sandtrail.Query, cursor string) string {
	flags := "--cursor " + cursor
	if f.Until.given && f.Until.exact.IsZero() {
		// Until moves with the clock; a cursor belongs to the time it was.
		flags = "--until " + q.Filter.Until.Format(time.RFC3339Nano) + " " + flags
	}
	return flags
}

// periodFlags give types and strategies periods of their own.
type periodFlags struct {
	KeepType     map[string]duration `env:"SANDTRAIL_KEEP_TYPE" placeholder:"TYPE=365d" help:"Keep executions of a type so long instead; 0 for ever. Can be repeated."`
	KeepStrategy map[string]duration `env:"SANDTRAIL_KEEP_STRATEGY" placeholder:"ID=7d" help:"Keep executions of a strategy so long instead. Of a type's and a strategy's period the longer counts."`
}

// periods are those periods beside that of all others.
func (f periodFlags) periods(others time.Duration) (sandtrail.Periods, error) {
	p := sandtrail.Periods{Keep: others, Types: map[sandtrail.ExecutionType]time.Duration{}, Strategies: map[string]time.Duration{}}
	for name, keep := range f.KeepType {
		p.Types[sandtrail.ExecutionType(strings.ToUpper(name))] = time.Duration(keep)
	}
	for id, keep := range f.KeepStrategy {
		p.Strategies[id] = time.Duration(keep)
	}
	if err := p.Cutoff(time.Time{}).Validate(); err != nil {
		return p, sandtrail.Errorf(sandtrail.CodeInvalid, "--keep-type, --keep-strategy: %w", err)
	}
	return p, nil
}

// retentionFlag says how old records may be.
type retentionFlag = runner.RetentionFlag
