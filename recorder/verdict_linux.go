package recorder

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
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
		r.Signal = signalName(signal)
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
	case r.OOMKills > 0 && !state.Success():
		// Behind a wrapper, such as a shell or bwrap, the main process is not the
		// one that was killed: it fails because that one was.
		r.Status = OutOfMemory
	case ws.Signaled():
		r.Status = Signaled
	default:
		r.Status = Exited
	}
	if r.OOMKills > 0 && r.Status != OutOfMemory {
		r.warn("OOM_KILL", "%d processes of the execution were killed for exceeding its memory, which did not keep it from going on", r.OOMKills)
	}
}

// maxEscaped bounds those that a record names.
const maxEscaped = 20

// escape notes who left the group.
func (r *Result) escape(escaped map[process]string) {
	if len(escaped) == 0 {
		return
	}
	for p, name := range escaped {
		r.Escaped = append(r.Escaped, Escaped{PID: p.pid, Command: storable(name)})
	}
	slices.SortFunc(r.Escaped, func(a, b Escaped) int { return a.PID - b.PID })
	r.Escaped = r.Escaped[:min(len(r.Escaped), maxEscaped)]
	var names []string
	for _, e := range r.Escaped {
		names = append(names, fmt.Sprintf("%s (%d)", e.Command, e.PID))
	}
	r.warn("ESCAPED", "%d of the execution's processes left its cgroup, and with it the figures and limits: %s", len(escaped), strings.Join(names, ", "))
}

// firstRealTime is SIGRTMIN as the C library counts: it keeps 32 and 33.
const firstRealTime, lastRealTime = 34, 64

// signalName also names real-time signals, as SIGRTMIN+n.
func signalName(s syscall.Signal) string {
	name := unix.SignalName(s)
	switch {
	case name != "":
	case s == firstRealTime:
		return "SIGRTMIN"
	case s > firstRealTime && s <= lastRealTime:
		return "SIGRTMIN+" + strconv.Itoa(int(s)-firstRealTime)
	default:
		return "SIG" + strconv.Itoa(int(s))
	}
	return name
}

func signalNumber(name string) int {
	for s := syscall.Signal(1); s <= lastRealTime; s++ {
		if signalName(s) == name {
			return int(s)
		}
	}
	return 0
}

// waitStatus is how the process ended, as the kernel says.
func waitStatus(state *os.ProcessState) syscall.WaitStatus {
	return state.Sys().(syscall.WaitStatus)
}
