// Package recorder runs a command and tells the truth about it: how it ended,
// how long it took, what memory and CPU its whole process tree used and how
// that was measured, what a validator printed, and which classes a source
// declares.
//
// A figure that cannot be known is absent, never 0.
package recorder

import (
	"io"
	"os"
	"runtime"
	"time"

	"github.com/sandtrail/sandtrail"
)

// Command says what to run and how to look at it. Only Args is required.
type Command struct {
	Args []string // the program, looked up in PATH, and its arguments
	Dir  string   // "": the current directory
	Env  []string // nil: this process's, as Environment leaves it; never recorded

	// Stdin is handed over as it is when it is an *os.File; another reader is
	// copied by a goroutine that ends with the reader. Nil: /dev/null.
	Stdin io.Reader
	// Stdout and Stderr receive the output unchanged. Nil: discarded.
	Stdout, Stderr io.Writer

	// Terminal has the command run on a pseudo-terminal. Nil: on pipes.
	Terminal *Terminal

	Timeout time.Duration // 0: none
	Grace   time.Duration // from SIGTERM to SIGKILL; 0: DefaultGrace
	Limits  Limits

	Source       string // path of the code that runs: hashed, and scanned for classes if it is Python
	RecordArgs   bool   // record the arguments, secrets masked, not the program's name alone
	RecordOutput int    // bytes of the ends of stdout and stderr to record; 0: none

	// RequireVerdict makes a run a failure of which no validator's verdict could
	// be read. On a pseudo-terminal none is looked for.
	RequireVerdict bool

	// Signals are forwarded to the command as they arrive. Nil: none.
	Signals <-chan os.Signal
	// OwnProcess says that this process has no children but the command's:
	// it becomes a child subreaper, so that orphans are found, measured and
	// reaped even where no cgroup can be had.
	OwnProcess bool
	// StartScope is how systemd is asked for a cgroup, where OwnProcess is set
	// and none is at hand: systemd.StartScope, which links D-Bus. Nil: it is not.
	StartScope ScopeStarter
	// Method forces a way of measuring. "": the best that the host offers.
	Method Method
}

// ScopeStarter asks the systemd behind the socket of a message bus for a scope
// around a process, and waits for the answer as long as the patience lasts.
type ScopeStarter func(bus, name string, pid int, patience time.Duration) error

// Terminal is how a command is run on a pseudo-terminal. Its standard output
// and error are one, and arrive at Command.Stdout. If Command.Stdin is a
// terminal the command gets the other one in its place, of the same size and
// with the same modes, and the first is raw until the command has ended;
// otherwise its input is passed as ever.
type Terminal struct {
	// Record is the path of a file to record the session in, which must not
	// exist; directories are made. "": none.
	Record      string
	RecordInput bool  // record also what is typed, passwords among it
	MaxBytes    int64 // of that file; 0: DefaultSessionBytes
}

// Supported returns nil where Run runs commands, which is on Linux.
func Supported() error {
	if runtime.GOOS == "linux" {
		return nil
	}
	return sandtrail.Errorf(sandtrail.CodeInvalid,
		"commands are run and measured on Linux only, not on %s: run this one on Linux, or measure it yourself and record the outcome", runtime.GOOS)
}

// Limits are enforced by cgroups; where none can be had the run goes on
// without, Result.NotEnforced names the limit and the record holds a warning.
type Limits struct {
	MemoryMiB int     // of the whole tree; 0: none
	CPUs      float64 // cores' worth of time; 0: none
	Pids      int     // processes and threads at one time; 0: none
}

// Defaults of a Command, and what is kept of its output.
const (
	DefaultGrace = 2 * time.Second

	maxVerdictBytes = 1 << 20         // of stdout's end searched for a validator's verdict
	pipeDelay       = 1 * time.Second // for output held open by a process that escaped
	maxPipeBytes    = 1 << 20         // what a pipe can hold
	maxRecordOutput = 16 << 10        // per stream, so that a record stays below its limit
)

// Method is a way of measuring a process tree.
type Method string

// The methods, in the order they are preferred. docs/recording.md says what
// each can see.
const (
	CgroupV2     Method = "cgroup-v2"     // a cgroup v2 with the memory controller
	CgroupHybrid Method = "cgroup-hybrid" // memory from cgroup v1, CPU from a v2 without controllers
	CgroupV1     Method = "cgroup-v1"     // memory and CPU from cgroup v1
	// CgroupSampling: membership and CPU from a cgroup that has no memory
	// controller, memory from samples of its processes.
	CgroupSampling Method = "cgroup-sampling"
	Sampling       Method = "sampling" // samples of the processes in /proc and their resource usage
)

// Status says how a run ended.
type Status string

// The statuses, in the order they are decided: the first that applies is the
// run's.
const (
	StartFailed Status = "start_failed"  // the program could not be started
	Cancelled   Status = "cancelled"     // we were told to end it
	TimedOut    Status = "timed_out"     // it was still running at its deadline
	OutOfMemory Status = "out_of_memory" // it was killed for exceeding its memory
	Signaled    Status = "signaled"      // a signal ended it
	Exited      Status = "exited"        // it ended by itself
)

// Result is what is known about a command that has ended.
type Result struct {
	Status   Status
	ExitCode *int   // nil: it did not exit by itself
	Signal   string // such as "SIGKILL"; "": it was not ended by a signal
	Err      error  // why it could not be started

	Started  time.Time
	Ended    time.Time
	WallTime time.Duration // monotonic, from before the start to the end of the main process

	Method        Method         // "": nothing was measured
	CPUTime       *time.Duration // of the whole tree; nil: not known
	MemoryPeak    *int64         // bytes that the whole tree held, page cache apart; nil: not known
	GroupPeak     *int64         // bytes charged to its cgroup, page cache and all; nil: not known
	ProcessesPeak *int64         // processes and threads at one time; nil: not known (only cgroup v2 tells)
	OOMKills      int            // processes killed for memory
	LeftBehind    int            // processes that outlived the main one and were ended
	// Escaped are processes that left the run's cgroup; they were ended with the
	// others.
	Escaped []Escaped

	Limits      Limits
	Timeout     time.Duration
	NotEnforced []string // the limits that the host could not enforce

	Command string // base name of the program
	// Container is the engine that the command is a client of, such as
	// "docker": the figures would be the client's and are left out.
	Container string
	Args      []string // nil: not recorded
	Source    *Source  // nil: none was named
	Report    *Report  // what a validator printed; nil: none did

	// Unreadable says why something that looks like a verdict could not be read;
	// "": there is no such thing.
	Unreadable     string
	VerdictMissing bool // one was required and is not there, or could not be read

	Stdout, Stderr *Output // nil: not recorded
	// Session is the recording of what was seen on the terminal; nil: there
	// is none.
	Session *Session

	// Warnings of the recorder itself.
	Warnings []sandtrail.Finding
}

// Escaped is a process that was found outside the run's cgroup.
type Escaped struct {
	PID     int    `json:"pid"`
	Command string `json:"command"` // as the process calls itself
}

// Output is the end of what a stream carried.
type Output struct {
	Tail  string `json:"tail"`
	Bytes int64  `json:"bytes"` // in all
}

// Success reports whether the command exited with 0 and no validator found
// fault with it, and none is missing.
func (r Result) Success() bool {
	return r.Status == Exited && *r.ExitCode == 0 && (r.Report == nil || r.Report.Success) && !r.VerdictMissing
}

// ExitStatus is what a shell would see: the command's own status, 124 after a
// time-out, 126 or 127 if it could not be started, 128 plus the number of the
// signal that ended it.
func (r Result) ExitStatus() int {
	switch {
	case r.Status == StartFailed:
		return startFailure(r.Err)
	case r.Status == TimedOut:
		return 124
	case r.ExitCode != nil:
		return *r.ExitCode
	}
	if r.Signal == "" {
		return 137 // not even SIGKILL has ended it
	}
	return 128 + signalNumber(r.Signal)
}
