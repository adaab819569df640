// Package notify tells people and programs that an alert rule fires, or no
// longer does.
package notify

import (
	"context"
	"log/slog"
	"time"

	"github.com/sandtrail/sandtrail/alert"
)

// Notice is a change of a rule's state. It may be delivered more than once,
// when an outcome is lost, and then has the same ID.
type Notice struct {
	ID      string // of the rule and the time of the change
	Firing  bool   // false: resolved
	Since   time.Time
	Verdict alert.Verdict // of now
}

// NewNotice says that a rule fires, or no longer does, since a time.
func NewNotice(firing bool, since time.Time, v alert.Verdict) Notice {
	return Notice{
		ID: v.Rule.Name + "@" + since.UTC().Format(time.RFC3339Nano), Firing: firing, Since: since, Verdict: v,
	}
}

func (n Notice) status() string {
	if n.Firing {
		return "firing"
	}
	return "resolved"
}

// Channel delivers notices.
type Channel interface {
	// Name tells channels apart, without secrets. It stays the same over
	// restarts.
	Name() string
	// Notify returns when the notice has been taken, or with why it was not.
	Notify(ctx context.Context, n Notice) error
}

// Forgetful is a channel that forgets what fires unless it is told again
// every few minutes.
type Forgetful interface {
	Channel
	Forgets() bool
}

// Log writes notices as log lines.
type Log struct{ Logger *slog.Logger }

// Name is part of Channel.
func (Log) Name() string { return "log" }

// Notify is part of Channel.
func (l Log) Notify(ctx context.Context, n Notice) error {
	level := slog.LevelInfo
	if n.Firing {
		level = slog.LevelWarn
	}
	l.Logger.Log(ctx, level, "alert "+n.status(), "rule", n.Verdict.Rule.Name, "since", n.Since, "message", n.Verdict.Message)
	return nil
}
