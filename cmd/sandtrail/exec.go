package main

import (
	"context"
	"encoding/json"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/outbox"
	"github.com/sandtrail/sandtrail/recorder"
)

type execCmd struct {
	User     string   `required:"" placeholder:"ID" help:"On whose behalf the command runs."`
	Strategy string   `required:"" placeholder:"ID" help:"What runs."`
	Type     string   `default:"VALIDATION" enum:"VALIDATION,TERMINAL" placeholder:"TYPE" help:"VALIDATION (the default) or TERMINAL."`
	Timeout  duration `placeholder:"30s" help:"End the command and all its processes after so long; no limit if left out."`
	Memory   int      `placeholder:"MB" help:"Memory limit of the whole process tree in MiB."`
	CPUs     float64  `name:"cpus" placeholder:"N" help:"Limit of CPU time, in cores."`
	Pids     int      `placeholder:"N" help:"Limit of processes and threads."`
	Source   string   `placeholder:"FILE" help:"The code that runs: its hash is recorded, and the classes in it."`

	RecordArgs   bool     `help:"Record the arguments too, secrets masked, not the command's name alone."`
	RecordOutput int      `placeholder:"BYTES" help:"Record so much of the end of the output."`
	Outbox       string   `placeholder:"DIR" env:"SANDTRAIL_OUTBOX" help:"Where records wait while the store is out of reach (default: a directory of this store's below the user's state directory)."`
	DeliverWait  duration `default:"5s" placeholder:"5s" help:"How long the delivery of the record may take before it is left to the next call."`
	retentionFlag

	Command []string `arg:"" passthrough:"" help:"The command and its arguments, after --."`
}

// Help says what the exit status means.
func (execCmd) Help() string {
	return `The command gets this terminal or pipe as its own and its exit status is passed on: 124 after a time-out, 126 or 127 if it cannot be started, 128 plus the number of the signal that ended it. Neither changes when the record cannot be delivered: it then waits in the outbox for the next call.`
}

// Examples shows how it is used.
func (execCmd) Examples() []string {
	return []string{
		"sandtrail exec --user ada --strategy momentum --timeout 30s -- python3 validate.py momentum.py",
		"sandtrail exec --user ada --strategy momentum --memory 256 --source momentum.py -- python3 momentum.py",
		"sandtrail exec --user ada --strategy momentum --type TERMINAL -- bash",
	}
}

// forwarded are the signals that are for the command.
var forwarded = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}

// Run runs the command, then delivers its record.
func (c *execCmd) Run(ctx context.Context, d *deps) error {
	// A signal is for the command; it says itself what comes of it.
	ctx = context.WithoutCancel(ctx)
	signals := make(chan os.Signal, len(forwarded))
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)
	// Somebody who stops reading our output must not end us unrecorded. (To
	// ignore the signal would have the command ignore it too.)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	args := c.Command
	if args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "exec: name the command to run after --")
	}
	run := d.beginRun(c.outboxDir(d), c.beginning(args[0]))
	result, err := recorder.Run(ctx, recorder.Command{
		Args: args, Stdin: d.in, Stdout: d.out, Stderr: d.err,
		Timeout: time.Duration(c.Timeout), Source: c.Source,
		Limits:     recorder.Limits{MemoryMiB: c.Memory, CPUs: c.CPUs, Pids: c.Pids},
		RecordArgs: c.RecordArgs, RecordOutput: c.RecordOutput,
		Signals: signals, OwnProcess: true,
	})
	if err != nil {
		run.end(d)
		return sandtrail.Errorf(sandtrail.CodeInvalid, "exec: %w", err)
	}
	if result.Err != nil {
		d.warn("%s cannot be started: %v", args[0], result.Err)
	}
	deadline, cancel := context.WithTimeout(ctx, time.Duration(c.DeliverWait))
	defer cancel()
	run.deliver(deadline, d, result.Draft(c.User, c.Strategy, sandtrail.ExecutionType(c.Type)), c.retentionFlag)
	return exitStatus(result.ExitStatus())
}

// beginning is what is known of the run before it starts.
func (c *execCmd) beginning(program string) sandtrail.Draft {
	metadata, _ := json.Marshal(map[string]any{ // strings always marshal
		"run": map[string]string{"status": "started", "command": filepath.Base(program)},
	})
	return sandtrail.Draft{
		UserID: c.User, StrategyID: c.Strategy, Type: sandtrail.ExecutionType(c.Type), Metadata: metadata,
	}
}

func (c *execCmd) outboxDir(d *deps) string {
	if c.Outbox != "" {
		return c.Outbox
	}
	return d.outboxDir()
}

// recording is a run under way: its trace outlives us.
type recording struct {
	box   *outbox.Outbox // nil: there is none
	trace *outbox.Trace  // nil: there is none
	stop  chan struct{}
	done  chan struct{}
}

// beginRun leaves a trace of the run, so that a killed recorder is noticed.
// Without an outbox the run goes on.
func (d *deps) beginRun(dir string, begun sandtrail.Draft) *recording {
	r := &recording{stop: make(chan struct{}), done: make(chan struct{})}
	box, err := outbox.Open(dir, outbox.Options{Now: d.now})
	if err == nil {
		r.box = box
		r.trace, err = box.Begin(begun)
	}
	if err != nil {
		d.warn("%v; the record has no place to wait if the store is out of reach", err)
	}
	go r.beat(d)
	return r
}

// beat notes every now and then that the run goes on.
func (r *recording) beat(d *deps) {
	defer close(r.done)
	ticker := time.NewTicker(outbox.Beat)
	defer ticker.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-ticker.C:
			if r.trace == nil {
				continue
			}
			if err := r.trace.Beat(d.now()); err != nil {
				d.warn("%v", err)
				return
			}
		}
	}
}

// end takes the trace away.
func (r *recording) end(d *deps) {
	close(r.stop)
	<-r.done
	if r.trace == nil {
		return
	}
	if err := r.box.End(r.trace); err != nil {
		d.warn("%v", err)
	}
}

// deliver makes the record durable in the outbox, then hands over everything
// that waits there. Nothing here changes the outcome of the run: what goes
// wrong is said.
func (r *recording) deliver(ctx context.Context, d *deps, draft sandtrail.Draft, retention retentionFlag) {
	if r.trace != nil {
		draft.ID = r.trace.ID()
	}
	kept := false
	if r.box != nil {
		_, err := r.box.Put(draft)
		if kept = err == nil; !kept {
			d.warn("%v", err)
		}
	}
	r.end(d)
	if kept {
		d.flush(ctx, r.box, retention)
		return
	}
	if err := d.appendOne(ctx, draft, retention); err != nil {
		d.warn("the run is not recorded: %v", err)
	}
}

func (d *deps) appendOne(ctx context.Context, draft sandtrail.Draft, retention retentionFlag) error {
	admitted, err := retention.admission(d.now()).Admit(draft)
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

// flush delivers what waits in an outbox.
func (d *deps) flush(ctx context.Context, box *outbox.Outbox, retention retentionFlag) {
	if _, err := box.Sweep(lost); err != nil {
		d.warn("%v", err)
	}
	store, err := d.store(ctx)
	if err != nil {
		d.warn("the record waits in %s for the next call: %v", box.Dir(), err)
		return
	}
	delivery, err := box.Flush(ctx, store, retention.admission(d.now()))
	switch {
	case err != nil:
		d.warn("the record waits in %s for the next call: %v", box.Dir(), err)
	case delivery.Stayed > 0:
		d.warn("%s waiting in %s: %v; the next call delivers then", human.Plural(int64(delivery.Stayed), "record"), box.Dir(), delivery.Why)
	}
	if delivery.Refused > 0 || delivery.Damaged > 0 {
		d.warn("%d refused by the store and %d damaged on disk were set aside in %s", delivery.Refused, delivery.Damaged, box.Dir())
	}
	d.maintain(ctx)
}

// lost is the record of a run whose recorder has died.
func lost(begun sandtrail.Draft, seen time.Duration) sandtrail.Draft {
	success, elapsed := false, int(min(seen.Milliseconds(), sandtrail.MaxInt))
	begun.Success, begun.ExecutionTime = &success, &elapsed
	var metadata struct {
		Run    map[string]any      `json:"run"`
		Errors []sandtrail.Finding `json:"errors"`
	}
	if json.Unmarshal(begun.Metadata, &metadata) != nil || metadata.Run == nil {
		metadata.Run = map[string]any{}
	}
	metadata.Run["status"] = "lost"
	metadata.Errors = []sandtrail.Finding{{
		Severity: "error",
		Message:  "the recorder ended before the run did: how it went on is not known, the time is how long it was seen",
	}}
	begun.Metadata, _ = json.Marshal(metadata) // strings and numbers always marshal
	return begun
}

// outboxDir is where records for this command's store wait by default. Each
// store has its own, so that records do not end up in another.
func (d *deps) outboxDir() string {
	state := d.getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			home = os.TempDir()
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "sandtrail", "outbox-"+d.targetDigest())
}
