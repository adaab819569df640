package recorder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sandtrail/sandtrail"
)

// cause collects what happened to a command besides its own end.
type cause struct {
	timedOut  bool
	cancelled bool
	forwarded map[syscall.Signal]bool // signals passed on to it
}

// verdict fills in how the run ended. ws is the main process's.
func (r *Result) verdict(ws syscall.WaitStatus, c cause) {
	signal := syscall.Signal(-1)
	if ws.Signaled() {
		signal = ws.Signal()
		r.Signal = unix.SignalName(signal)
	} else {
		code := ws.ExitStatus()
		r.ExitCode = &code
		if code > 128 {
			signal = syscall.Signal(code - 128)
		}
	}
	switch {
	case c.cancelled || c.forwarded[signal]:
		r.Status = Cancelled
	case c.timedOut:
		r.Status = TimedOut
	case ws.Signaled() && ws.Signal() == syscall.SIGKILL && r.OOMKills > 0:
		r.Status = OutOfMemory
	case ws.Signaled():
		r.Status = Signaled
	default:
		r.Status = Exited
	}
	if r.OOMKills > 0 && r.Status != OutOfMemory {
		r.warn("OOM_KILL", "%d processes of the run were killed for exceeding its memory, the main one was not", r.OOMKills)
	}
}

func (r *Result) warn(code, format string, args ...any) {
	r.Warnings = append(r.Warnings, sandtrail.Finding{
		Severity: "warning", Code: code, Message: fmt.Sprintf(format, args...),
	})
}

// failure is the error that stands in the record when nobody else said why
// the run did not succeed.
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
		if *r.ExitCode == 0 {
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

func signalNumber(name string) int { return int(unix.SignalNum(name)) }

// waitStatus is how the process ended, as the kernel says.
func waitStatus(state *os.ProcessState) syscall.WaitStatus {
	return state.Sys().(syscall.WaitStatus)
}
