package runner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/cmdline"
)

// Flags say what to run, how to look at it and where its record goes.
type Flags struct {
	User     string           `required:"" placeholder:"ID" help:"On whose behalf it runs."`
	Strategy string           `required:"" placeholder:"ID" help:"What runs."`
	Type     string           `default:"VALIDATION" enum:"VALIDATION,TERMINAL" placeholder:"VALIDATION" help:"VALIDATION or TERMINAL."`
	Source   string           `placeholder:"FILE" help:"The strategy's source: its SHA-256 and size are recorded, and the classes of a Python file."`
	Timeout  cmdline.Duration `placeholder:"DURATION" help:"End the command and all it started after that time, such as 30s; without it there is no limit."`
	Grace    cmdline.Duration `default:"2s" help:"From SIGTERM to SIGKILL."`

	Memory int     `placeholder:"MB" help:"Limit the memory of the whole process tree, in MiB, where a cgroup can."`
	CPUs   float64 `name:"cpus" placeholder:"N" help:"Limit the CPU time to that of N cores, where a cgroup can."`
	Pids   int     `placeholder:"N" help:"Limit the processes and threads at one time, where a cgroup can."`

	RecordArgs     bool `help:"Record the command's arguments, what looks like a secret masked; without it only its name."`
	RecordOutput   int  `placeholder:"BYTES" help:"Record the ends of standard output and error, up to 16384 bytes each."`
	RequireVerdict bool `help:"Record a failure when no validator's verdict can be read in the output."`

	PassEnv    []string `placeholder:"NAME" help:"Pass this variable on although it is one of Sandtrail's own: SANDTRAIL_*, AWS_*, OTEL_* and those of PostgreSQL's clients are kept from the command. Can be repeated."`
	PassFD     []int    `name:"pass-fd" placeholder:"N" help:"Pass this open file descriptor on, 3 or higher; others are not inherited. Can be repeated."`
	RecordFile string   `xor:"record" placeholder:"FILE" help:"Write the execution as JSON to this file in place of a store."`
	RecordFD   int      `name:"record-fd" xor:"record" placeholder:"N" help:"The same to this open file descriptor, 3 or higher."`

	RecordSession bool `help:"Record what is seen on the terminal as an asciicast; with --type TERMINAL."`
	RecordInput   bool `help:"Record also what is typed, passwords among it; with --record-session."`
	SessionLimit  int  `default:"64" help:"Stop recording a session at this size of its file, in MiB."`
	SessionsFlag

	OutboxFlag
	DeliverWait cmdline.Duration `default:"5s" help:"How long delivery may take before the execution is left to the next call."`
	RetentionFlag

	Command []string `arg:"" optional:"" passthrough:"partial" help:"The command, behind --."`
}

// Help tells what scripts rely on.
func (Flags) Help() string {
	return `The exit status is the command's own, also where the execution could not be recorded: 124 after a time-out, 126 or 127 when it could not be started, 128 plus the number of the signal that ended it. An execution that cannot be delivered at once waits in the outbox; the next call brings it along.`
}

// ExamplesFor shows how a program with these flags is used.
func ExamplesFor(program string) []string {
	return []string{
		program + " --user ada --strategy momentum --timeout 30s --source momentum.py -- python3 momentum.py",
		program + " --user ada --strategy momentum --memory 256 --pids 64 -- bwrap --ro-bind / / python3 momentum.py",
		program + " --user ada --strategy momentum --record-file record.json -- ./validate momentum.py",
		program + " --user ada --strategy momentum --type TERMINAL --record-session -- bash",
	}
}

// Validate takes the -- off the command. The parser calls it before it looks
// for missing flags.
func (f *Flags) Validate() error {
	switch at := slices.Index(f.Command, "--"); {
	case at == 0:
		f.Command = f.Command[1:]
	case at > 0: // a slip, and -- comes later: it is not to run as a command
		return fmt.Errorf("unexpected argument %s: only flags stand before --, and the command behind it", f.Command[0])
	}
	return nil
}

// check finds what is wrong with the flags before anything runs.
func (f *Flags) check() error {
	invalid := func(format string, args ...any) error {
		return sandtrail.Errorf(sandtrail.CodeInvalid, format, args...)
	}
	switch {
	case len(f.Command) == 0 || f.Command[0] == "":
		return invalid("no command given; put it behind --")
	case f.Memory < 0 || f.CPUs < 0 || f.Pids < 0:
		return invalid("--memory, --cpus, --pids: must be more than 0")
	case f.Grace <= 0:
		return invalid("--grace: must be more than 0, such as 100ms")
	case f.DeliverWait <= 0:
		return invalid("--deliver-wait: must be more than 0, such as 5s")
	case f.RecordOutput < 0:
		return invalid("--record-output: must be a number of bytes")
	case f.RecordSession && f.Type != string(sandtrail.Terminal):
		return invalid("--record-session: a session belongs to --type TERMINAL, not %s", f.Type)
	case f.RequireVerdict && f.Type == string(sandtrail.Terminal):
		return invalid("--require-verdict: none is looked for with --type TERMINAL")
	case f.RecordInput && !f.RecordSession:
		return invalid("--record-input: give --record-session too")
	case f.SessionLimit < 1:
		return invalid("--session-limit: must be 1 MiB or more, got %d", f.SessionLimit)
	case slices.ContainsFunc(f.PassEnv, func(name string) bool { return name == "" || strings.Contains(name, "=") }):
		return invalid("--pass-env: must be the name of a variable alone, such as AWS_REGION")
	case slices.ContainsFunc(f.PassFD, func(fd int) bool { return !isOpen(fd) }):
		return invalid("--pass-fd: must be an open file descriptor of 3 or higher, got %d", f.PassFD)
	case f.RecordFD != 0 && slices.Contains(f.PassFD, f.RecordFD):
		return invalid("--pass-fd: %d is --record-fd, and the command may not write its own record", f.RecordFD)
	case f.RecordFD >= 3 && !isOpen(f.RecordFD):
		return invalid("--record-fd: %d is not an open file descriptor", f.RecordFD)
	case f.RecordFD != 0 && f.RecordFD < 3:
		return invalid("--record-fd: must be 3 or higher, got %d; 0 to 2 are the command's", f.RecordFD)
	}
	if f.RecordFile != "" {
		if err := cmdline.Writable(f.RecordFile); err != nil {
			return invalid("--record-file: %w", err)
		}
	}
	if f.Source != "" {
		if err := cmdline.Readable(f.Source); err != nil {
			return invalid("--source: %w", err)
		}
	}
	// The rules of the record hold for the names too; better now than later.
	success, elapsed := true, 0
	return sandtrail.Admission{}.Check(sandtrail.Draft{
		UserID: f.User, StrategyID: f.Strategy, Type: sandtrail.ExecutionType(f.Type), Success: &success, ExecutionTime: &elapsed,
	})
}
