package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/api"
	"github.com/sandtrail/sandtrail/internal/human"
)

// ExitStatus ends a program with a status, after everything was said.
type ExitStatus int

func (s ExitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

const statusInterrupted = 130

// Report tells a person in a program's name what went wrong, and returns the
// exit status.
func Report(w io.Writer, program string, err error) int {
	if err == nil {
		return 0
	}
	var quiet ExitStatus
	if errors.As(err, &quiet) {
		return int(quiet)
	}
	fmt.Fprintf(w, "%s: %s\n", program, human.VisibleLines(describe(err)+advice(err)))
	return statusOf(err)
}

func statusOf(err error) int {
	if errors.Is(err, context.Canceled) {
		return statusInterrupted
	}
	return api.MeaningOf(sandtrail.CodeOf(err)).Exit
}

// describe writes an error for a person; several fields get a line each.
func describe(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	if sandtrail.CodeOf(err) == sandtrail.CodeUnauthorized {
		return err.Error() + "; here it is given with --key or in SANDTRAIL_KEY"
	}
	var e *sandtrail.Error
	if !errors.As(err, &e) || len(e.Fields) < 2 || e.Error() != err.Error() {
		return err.Error()
	}
	var b strings.Builder
	b.WriteString(e.Message + ":")
	for _, f := range e.Fields {
		b.WriteString("\n  " + (&sandtrail.Error{Fields: []sandtrail.FieldError{f}}).Error())
	}
	return b.String()
}
