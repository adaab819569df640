package recorder

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// cause collects what happened to a command besides its own end.
type cause struct {
	timedOut  bool
	cancelled bool
	forwarded map[syscall.Signal]bool // signals passed on to it
}

// verdict fills in how the run ended. state is the main process's, nil if it
// could not be ended.
func (r *Result) verdict(state *os.ProcessState, c cause) {
	if state == nil {
		if r.Status = Cancelled; c.timedOut {
			r.Status = TimedOut
		}
		return
	}
	ws := waitStatus(state)
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

func signalNumber(name string) int { return int(unix.SignalNum(name)) }

// waitStatus is how the process ended, as the kernel says.
func waitStatus(state *os.ProcessState) syscall.WaitStatus {
	return state.Sys().(syscall.WaitStatus)
}
