// Package notify tells people and programs that an alert rule fires, or no
// longer does.
package notify

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Notice is a change of a rule's state. It may be delivered more than once,
// when an outcome is lost, and then has the same ID.
type Notice struct {
	ID      string // of the rule and the time of the change
	Firing  bool   // false: resolved
	Since   time.Time
	Verdict sandtrail.Verdict
}

// NewNotice describes the change of a rule to what its verdict says.
func NewNotice(v sandtrail.Verdict, since time.Time) Notice {
	return Notice{
		ID: v.Rule.Name + "@" + since.UTC().Format(time.RFC3339Nano), Firing: v.Firing, Since: since, Verdict: v,
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
	// Notify returns when the notice has been taken, or with why it was not.
	Notify(ctx context.Context, n Notice) error
}

// All delivers to every channel. When one fails the others have been tried.
type All []Channel

// Notify is part of Channel.
func (all All) Notify(ctx context.Context, n Notice) error {
	var failed []error
	for _, c := range all {
		failed = append(failed, c.Notify(ctx, n))
	}
	return errors.Join(failed...)
}

// Log writes notices as log lines.
type Log struct{ Logger *slog.Logger }

// Notify is part of Channel.
func (l Log) Notify(ctx context.Context, n Notice) error {
	level := slog.LevelInfo
	if n.Firing {
		level = slog.LevelWarn
	}
	l.Logger.Log(ctx, level, "alert "+n.status(), "rule", n.Verdict.Rule.Name, "since", n.Since, "message", n.Verdict.Message)
	return nil
}
