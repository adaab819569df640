package recorder

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"

	"github.com/sandtrail/sandtrail"
)

func (r *Result) warn(code, format string, args ...any) {
	r.Warnings = append(r.Warnings, sandtrail.Finding{
		Severity: "warning", Code: code, Message: fmt.Sprintf(format, args...),
	})
}

// failure is the error of a record whose run failed without an error of its own.
func (r Result) failure() sandtrail.Finding {
	f := sandtrail.Finding{Severity: "error", Code: string(r.Status)}
	switch r.Status {
	case StartFailed:
		f.Message = fmt.Sprintf("could not be started: %v", r.Err)
	case Cancelled:
		f.Message = "cancelled before it ended"
	case TimedOut:
		f.Message = fmt.Sprintf("timed out after %s", r.Timeout)
	case OutOfMemory:
		f.Message = "killed for exceeding its memory"
		if r.Limits.MemoryMiB > 0 {
			f.Message = fmt.Sprintf("killed for exceeding its memory of %d MiB", r.Limits.MemoryMiB)
		}
	case Signaled:
		f.Message = "ended by " + r.Signal
	case Exited:
		f.Message = fmt.Sprintf("exited with status %d", *r.ExitCode)
		switch {
		case *r.ExitCode != 0:
		case r.VerdictMissing && r.Unreadable != "":
			f.Message = "the validator's verdict could not be read, and one is required: " + r.Unreadable
		case r.VerdictMissing:
			f.Message = "no validator's verdict was found in the output, and one is required"
		default:
			f.Message = "the validator reported a failure without naming an error"
		}
	}
	return f
}

func startFailure(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return 127
	}
	return 126
}
