package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/outbox"
	"github.com/sandtrail/sandtrail/recorder"
)

type execCmd struct {
	User     string   `required:"" placeholder:"ID" help:"On whose behalf it runs."`
	Strategy string   `required:"" placeholder:"ID" help:"What runs."`
	Type     string   `default:"VALIDATION" enum:"VALIDATION,TERMINAL" placeholder:"VALIDATION" help:"VALIDATION or TERMINAL."`
	Source   string   `placeholder:"FILE" help:"The strategy's source: its SHA-256 and size are recorded, and the classes of a Python file."`
	Timeout  duration `placeholder:"DURATION" help:"End the command and all it started after that time, such as 30s; without it there is no limit."`
	Grace    duration `default:"2s" help:"From SIGTERM to SIGKILL."`

	Memory int     `placeholder:"MB" help:"Limit the memory of the whole process tree, in MiB, where a cgroup can."`
	CPUs   float64 `name:"cpus" placeholder:"N" help:"Limit the CPU time to that of N cores, where a cgroup can."`
	Pids   int     `placeholder:"N" help:"Limit the processes and threads at one time, where a cgroup can."`

	RecordArgs     bool `help:"Record the command's arguments, what looks like a secret masked; without it only its name."`
	RecordOutput   int  `placeholder:"BYTES" help:"Record the ends of standard output and error, up to 16384 bytes each."`
	RequireVerdict bool `help:"Record a failure when no validator's verdict can be read in the output."`

	PassEnv    []string `placeholder:"NAME" help:"Pass this variable on although it is one of Sandtrail's own: SANDTRAIL_*, AWS_*, OTEL_* and those of PostgreSQL's clients are kept from the command. Can be repeated."`
	PassFD     []int    `name:"pass-fd" placeholder:"N" help:"Pass this open file descriptor on, 3 or higher; others are not inherited. Can be repeated."`
	RecordFile string   `xor:"record" placeholder:"FILE" help:"Write the record as JSON to this file in place of a store."`
	RecordFD   int      `name:"record-fd" xor:"record" placeholder:"N" help:"The same to this open file descriptor, 3 or higher."`

	RecordSession bool `help:"Record what is seen on the terminal as an asciicast; with --type TERMINAL."`
	RecordInput   bool `help:"Record also what is typed, passwords among it; with --record-session."`
	SessionLimit  int  `default:"64" help:"Stop recording a session at this size of its file, in MiB."`
	sessionsFlag

	outboxFlag
	DeliverWait duration `default:"5s" help:"How long delivery may take before the record is left to the next call."`
	retentionFlag

	Command []string `arg:"" optional:"" passthrough:"partial" help:"The command, behind --."`
}

// Help tells what scripts rely on.
func (execCmd) Help() string {
	return `The exit status is the command's own, whatever becomes of the record: 124 after a time-out, 126 or 127 when it could not be started, 128 plus the number of the signal that ended it. A record that cannot be delivered at once waits in the outbox; the next call brings it along.`
}

// Examples shows how it is used.
func (execCmd) Examples() []string {
	return []string{
		"sandtrail exec --user ada --strategy momentum --timeout 30s --source momentum.py -- python3 momentum.py",
		"sandtrail exec --user ada --strategy momentum --memory 256 --pids 64 -- bwrap --ro-bind / / python3 momentum.py",
		"sandtrail exec --user ada --strategy momentum --record-file record.json -- ./validate momentum.py",
		"sandtrail exec --user ada --strategy momentum --type TERMINAL --record-session -- bash",
	}
}

// Run runs the command and ends with its status.
func (c *execCmd) Run(ctx context.Context, d *deps) error {
	if err := recorder.Supported(); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	if !c.writesRecord() {
		if err := d.checkTarget(); err != nil {
			return err
		}
	}
	// Signals are the command's: it decides what becomes of it, and the record
	// is delivered in any case.
	ctx = context.WithoutCancel(ctx)
	record, err := c.handOver(d)
	if err != nil {
		return err
	}
	defer record.close()
	if err := recorder.Seal(d.secrets(), c.PassFD); err != nil {
		d.warn("%v", err)
	}
	signals := make(chan os.Signal, 8)
	if of := forwarded(); len(of) > 0 { // none would mean all
		signal.Notify(signals, of...)
	}
	defer signal.Stop(signals)
	signal.Notify(make(chan os.Signal, 1), survived...)

	id := sandtrail.NewID(d.now())
	command := c.command(d, signals)
	if command.Terminal, err = c.terminal(d, id); err != nil {
		return err
	}
	box, trace, err := c.begin(d, id, command)
	if err != nil {
		return err
	}
	stop := beat(d, trace)
	result, err := recorder.Run(ctx, command)
	stop()
	if err != nil && result.Status == "" {
		return errors.Join(err, endTrace(box, trace))
	}
	if err != nil {
		d.warn("%v", err)
	}
	for _, w := range result.Warnings {
		d.warn("%s", w.Message)
	}
	if result.Status == recorder.StartFailed {
		d.warn("%v", result.Err)
	}
	draft := result.Draft(c.User, c.Strategy, sandtrail.ExecutionType(c.Type))
	draft.ID = id
	if c.writesRecord() {
		err = record.write(draft, time.Duration(c.DeliverWait))
	} else {
		err = c.keep(ctx, d, box, trace, draft)
	}
	if err != nil {
		d.warn("%v", err)
	}
	if status := result.ExitStatus(); status != 0 {
		return exitStatus(status)
	}
	return nil
}

// Validate takes the -- off the command. The parser calls it before it looks
// for missing flags.
func (c *execCmd) Validate() error {
	switch at := slices.Index(c.Command, "--"); {
	case at == 0:
		c.Command = c.Command[1:]
	case at > 0: // a slip, and -- comes later: it is not to run as a command
		return fmt.Errorf("unexpected argument %s: only flags stand before --, and the command behind it", c.Command[0])
	}
	return nil
}

// check finds what is wrong with the flags before anything runs.
func (c *execCmd) check() error {
	invalid := func(format string, args ...any) error {
		return sandtrail.Errorf(sandtrail.CodeInvalid, format, args...)
	}
	switch {
	case len(c.Command) == 0 || c.Command[0] == "":
		return invalid("exec: no command given; put it behind --")
	case c.Memory < 0 || c.CPUs < 0 || c.Pids < 0:
		return invalid("--memory, --cpus, --pids: must be more than 0")
	case c.Grace <= 0:
		return invalid("--grace: must be more than 0, such as 100ms")
	case c.DeliverWait <= 0:
		return invalid("--deliver-wait: must be more than 0, such as 5s")
	case c.RecordOutput < 0:
		return invalid("--record-output: must be a number of bytes")
	case c.RecordSession && c.Type != string(sandtrail.Terminal):
		return invalid("--record-session: a session belongs to --type TERMINAL, not %s", c.Type)
	case c.RequireVerdict && c.Type == string(sandtrail.Terminal):
		return invalid("--require-verdict: none is looked for in a run of --type TERMINAL")
	case c.RecordInput && !c.RecordSession:
		return invalid("--record-input: give --record-session too")
	case c.SessionLimit < 1:
		return invalid("--session-limit: must be 1 MiB or more, got %d", c.SessionLimit)
	case slices.ContainsFunc(c.PassEnv, func(name string) bool { return name == "" || strings.Contains(name, "=") }):
		return invalid("--pass-env: must be the name of a variable alone, such as AWS_REGION")
	case slices.ContainsFunc(c.PassFD, func(fd int) bool { return !isOpen(fd) }):
		return invalid("--pass-fd: must be an open file descriptor of 3 or higher, got %d", c.PassFD)
	case c.RecordFD != 0 && slices.Contains(c.PassFD, c.RecordFD):
		return invalid("--pass-fd: %d is --record-fd, and the command may not write its own record", c.RecordFD)
	case c.RecordFD >= 3 && !isOpen(c.RecordFD):
		return invalid("--record-fd: %d is not an open file descriptor", c.RecordFD)
	case c.RecordFD != 0 && c.RecordFD < 3:
		return invalid("--record-fd: must be 3 or higher, got %d; 0 to 2 are the command's", c.RecordFD)
	}
	if c.RecordFile != "" {
		if info, err := os.Stat(filepath.Dir(c.RecordFile)); err != nil || !info.IsDir() {
			return invalid("--record-file: there is no folder %s: make it first", filepath.Dir(c.RecordFile))
		}
	}
	// The rules of the record hold for the names too; better now than later.
	success, elapsed := true, 0
	return sandtrail.CheckDrafts(sandtrail.Draft{
		UserID: c.User, StrategyID: c.Strategy, Type: sandtrail.ExecutionType(c.Type), Success: &success, ExecutionTime: &elapsed,
	})
}

func (c *execCmd) command(d *deps, signals <-chan os.Signal) recorder.Command {
	return recorder.Command{
		Args: c.Command, Env: recorder.Environment(os.Environ(), c.PassEnv), Stdin: d.in, Stdout: d.out, Stderr: d.err,
		Timeout: time.Duration(c.Timeout), Grace: time.Duration(c.Grace),
		Limits: recorder.Limits{MemoryMiB: c.Memory, CPUs: c.CPUs, Pids: c.Pids},
		Source: c.Source, RecordArgs: c.RecordArgs, RecordOutput: c.RecordOutput,
		RequireVerdict: c.RequireVerdict, Signals: signals, OwnProcess: true,
	}
}

// terminal decides whether the command gets a pseudo-terminal: in the place of
// the one that we are used from, or for the sake of recording a session.
func (c *execCmd) terminal(d *deps, id sandtrail.ID) (*recorder.Terminal, error) {
	if c.Type != string(sandtrail.Terminal) || !c.RecordSession && !(d.inTTY && d.outTTY) {
		return nil, nil
	}
	t := &recorder.Terminal{RecordInput: c.RecordInput, MaxBytes: int64(c.SessionLimit) << 20}
	if !c.RecordSession {
		return t, nil
	}
	dir, err := c.sessionDir(d)
	t.Record = sessionPath(dir, id)
	return t, err
}

// maxRetries is how many records of earlier runs, which the store would not take
// then, a run tries to deliver once more: they are not to slow it down.
const maxRetries = 50

// begin opens the outbox and leaves a trace of the run there. The run goes on
// without either, but not with an outbox that others may write to.
func (c *execCmd) begin(d *deps, id sandtrail.ID, command recorder.Command) (*outbox.Outbox, *outbox.Trace, error) {
	if c.writesRecord() {
		return nil, nil, nil
	}
	box, err := c.openFor(d, maxRetries)
	if errors.Is(err, durable.ErrNotPrivate) {
		return nil, nil, err
	}
	if err != nil {
		d.warn("no outbox: %v", err)
		return nil, nil, nil
	}
	begun := recorder.Begun(command, c.User, c.Strategy, sandtrail.ExecutionType(c.Type))
	begun.ID = id
	trace, err := box.Begin(begun)
	if err != nil {
		d.warn("%v", err)
	}
	return box, trace, nil
}

// beat tells the trace that the run goes on, until stop is called.
func beat(d *deps, trace *outbox.Trace) (stop func()) {
	if trace == nil {
		return func() {}
	}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(outbox.Beat)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				_ = trace.Beat(d.now()) // the next one may succeed
			}
		}
	}()
	return func() { close(done); <-stopped }
}

func endTrace(box *outbox.Outbox, trace *outbox.Trace) error {
	if trace == nil {
		return nil
	}
	return box.End(trace)
}

// keep sees to it that the record cannot be lost while it is delivered.
func (c *execCmd) keep(ctx context.Context, d *deps, box *outbox.Outbox, trace *outbox.Trace, draft sandtrail.Draft) error {
	if trace == nil {
		c.deliver(ctx, d, box, draft)
		return nil
	}
	err := box.Finish(trace, draft)
	if !c.deliver(ctx, d, box, draft) && err == nil {
		d.warn("it stays in %s, beside the run's trace: the next call tries again", box.Dir())
		return nil
	}
	return errors.Join(err, box.End(trace))
}

// deliver brings the record to the store, or, when that is not to be done now,
// into the outbox. Nothing of it changes the exit status. It reports whether
// there is no more to be done, be it that a full outbox has refused the record.
func (c *execCmd) deliver(ctx context.Context, d *deps, box *outbox.Outbox, draft sandtrail.Draft) (settled bool) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.DeliverWait))
	defer cancel()
	admission := c.admission(d.now())
	err := c.append(ctx, d, draft, admission)
	if err == nil {
		if box == nil {
			return true
		}
		sessions, _ := c.sessionDir(d) // without a home there are none
		done, err := d.deliverWaiting(ctx, box, sessions, d.opened, admission)
		if err == nil {
			err = done.Why
		}
		if err != nil {
			d.warn("records of earlier runs still wait in %s: %v", box.Dir(), err)
		}
		return true
	}
	if box == nil {
		d.warn("the record is lost: %v", err)
		return true
	}
	if _, putErr := box.Put(draft); sandtrail.CodeOf(putErr) == sandtrail.CodeTooLarge {
		d.warn("the record is lost: %v; %v", err, putErr)
		return true
	} else if putErr != nil {
		d.warn("the record could not be delivered, nor put into the outbox: %v; %v", err, putErr)
		return false
	}
	d.warn("the record waits in %s: %v", box.Dir(), err)
	return true
}

func (c *execCmd) append(ctx context.Context, d *deps, draft sandtrail.Draft, admission sandtrail.Admission) error {
	admitted, err := admission.Admit(draft)
	if err != nil {
		return err
	}
	store, err := d.store(ctx)
	if err != nil {
		return err
	}
	_, err = store.Append(ctx, admitted)
	return err
}
