package web

import (
	"net/url"
	"time"

	"github.com/sandtrail/sandtrail"
)

// window is the stretch of time that a page looks at.
type window struct {
	Name         string // 1h, 24h, 7d, 30d, 90d or custom
	Since, Until time.Time
	Choices      []choice
	From, To     string // of a custom window, as the form writes them
	Path         string
	Problem      string // what is wrong with a custom window; the default is shown
}

// choice is a link that changes one parameter.
type choice struct {
	Label, Href string
	Current     bool
}

var windowLengths = []struct {
	name   string
	length time.Duration
}{
	{"1h", time.Hour},
	{"24h", 24 * time.Hour},
	{"7d", 7 * 24 * time.Hour},
	{"30d", 30 * 24 * time.Hour},
	{"90d", 90 * 24 * time.Hour},
}

// readWindow reads the window from the address; fallback is used without one.
// It ends one millisecond from now, so that what was stored just now counts.
func readWindow(u *url.URL, fallback string, now time.Time, loc *time.Location) window {
	now = sandtrail.Millisecond(now).Add(time.Millisecond)
	q := u.Query()
	w := window{Name: fallback, Path: u.Path, From: q.Get("since"), To: q.Get("until")}
	if w.From != "" || w.To != "" {
		w.custom(now, loc)
	} else if asked := q.Get("window"); asked != "" {
		w.Name = asked
	}
	for range 2 { // again when the name is not known
		for _, known := range windowLengths {
			if w.Name == known.name {
				w.Since, w.Until = now.Add(-known.length), now
			}
		}
		if !w.Since.IsZero() {
			break
		}
		w.Name = fallback
	}
	if w.Name != "custom" {
		w.From, w.To = w.Since.In(loc).Format(localTime), w.Until.In(loc).Format(localTime)
	}
	for _, known := range windowLengths {
		w.Choices = append(w.Choices, choice{known.name, address(u.Path, url.Values{"window": {known.name}}), w.Name == known.name})
	}
	return w
}

func (w *window) custom(now time.Time, loc *time.Location) {
	since, err := parseTime(w.From, loc)
	if err != nil {
		w.Problem = "From: " + err.Error()
		return
	}
	until, err := parseTime(w.To, loc)
	switch {
	case err != nil:
		w.Problem = "To: " + err.Error()
		return
	case until.IsZero():
		until = now
	}
	if since.IsZero() || !since.Before(until) {
		w.Problem = "The window must begin before it ends."
		return
	}
	if until.Sub(since) > sandtrail.MaxTrendBuckets*time.Hour {
		w.Problem = "The window is too long; choose one of less than a year."
		return
	}
	w.Name, w.Since, w.Until = "custom", since, until
}

// before is the window of the same length that ends where this one begins.
func (w window) before() sandtrail.Window {
	return sandtrail.Window{Since: w.Since.Add(-w.Until.Sub(w.Since)), Until: w.Since}
}

// bucket is the width of the bars of a chart over this window.
func (w window) bucket() sandtrail.Bucket {
	if w.Until.Sub(w.Since) <= 8*24*time.Hour {
		return sandtrail.Hour
	}
	return sandtrail.Day
}

// Words names the window in a sentence.
func (w window) Words() string {
	if w.Name == "custom" {
		return "the chosen time"
	}
	return map[string]string{
		"1h": "the last hour", "24h": "the last 24 hours", "7d": "the last 7 days",
		"30d": "the last 30 days", "90d": "the last 90 days",
	}[w.Name]
}

// query is the window as parameters of the list of executions.
func (w window) query() url.Values {
	if w.Name == "custom" {
		return url.Values{"since": {w.Since.Format(time.RFC3339Nano)}, "until": {w.Until.Format(time.RFC3339Nano)}}
	}
	return url.Values{"within": {w.Name}}
}
