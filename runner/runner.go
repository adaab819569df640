// Package runner is what the programs that record runs have in common: the
// flags, the run under the recorder, its trace and record in the outbox, and
// the delivery to a store.
package runner

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/recorder"
)

// Program is a program that records runs. Every field down to Target is required.
type Program struct {
	Name     string // begins what it says
	In       io.Reader
	Out, Err io.Writer
	Terminal bool // In and Out are a terminal
	Getenv   func(string) string
	Now      func() time.Time
	Target   Target

	// Open opens the store that the target names, once the command has ended.
	// Nil: the records are left in the outbox, for a program that delivers.
	Open func(context.Context) (sandtrail.Appender, error)
	// StartScope is recorder.Command's.
	StartScope recorder.ScopeStarter
}

// Warn tells on standard error of what does not end the run.
func (p *Program) Warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			text += advice(err)
		}
	}
	fmt.Fprintf(p.Err, "%s: warning: %s\n", p.Name, human.VisibleLines(text))
}
