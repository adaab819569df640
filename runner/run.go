package runner

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/outbox"
	"github.com/sandtrail/sandtrail/recorder"
)

// Record runs the command, records it and ends with its status.
func (f *Flags) Record(ctx context.Context, p *Program) error {
	if err := recorder.Supported(); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	if !f.writesRecord() {
		if err := p.Target.Check(p.Getenv); err != nil {
			return err
		}
	}
	record, err := f.handOver()
	if err != nil {
		return err
	}
	defer record.close()
	if err := recorder.Seal(p.Target.Secrets(), f.PassFD); err != nil {
		p.Warn("%v", err)
	}
	signals := make(chan os.Signal, 8)
	if of := forwarded(); len(of) > 0 { // none would mean all
		signal.Notify(signals, of...)
	}
	defer signal.Stop(signals)
	signal.Notify(make(chan os.Signal, 1), survived...)

	r := run{Flags: f, Program: p, id: sandtrail.NewID(p.Now())}
	command := f.command(p, signals)
	if command.Terminal, err = r.terminal(); err != nil {
		return err
	}
	if err := r.begin(command); err != nil {
		return err
	}
	// Signals are the command's: it decides what becomes of it, and the record
	// is delivered in any case.
	return r.record(context.WithoutCancel(ctx), command, record)
}

// run is one run of a command.
type run struct {
	*Flags
	*Program
	id    sandtrail.ID
	box   *outbox.Outbox // nil: there is none
	trace *outbox.Trace  // nil: none was left
}

// record runs the command and hands over what is known of it.
func (r *run) record(ctx context.Context, command recorder.Command, record handOver) error {
	stop := r.beat()
	result, err := recorder.Run(ctx, command)
	stop()
	if err != nil && result.Status == "" {
		return errors.Join(err, r.endTrace())
	}
	if err != nil {
		r.Warn("%v", err)
	}
	for _, w := range result.Warnings {
		r.Warn("%s", w.Message)
	}
	if result.Status == recorder.StartFailed {
		r.Warn("%v", result.Err)
	}
	draft := result.Draft(r.User, r.Strategy, sandtrail.ExecutionType(r.Type))
	draft.ID = r.id
	if r.writesRecord() {
		err = record.write(draft, time.Duration(r.DeliverWait))
	} else {
		err = r.keep(ctx, draft)
	}
	if err != nil {
		r.Warn("%v", err)
	}
	if status := result.ExitStatus(); status != 0 {
		return ExitStatus(status)
	}
	return nil
}

func (f *Flags) command(p *Program, signals <-chan os.Signal) recorder.Command {
	return recorder.Command{
		Args: f.Command, Env: recorder.Environment(os.Environ(), f.PassEnv), Stdin: p.In, Stdout: p.Out, Stderr: p.Err,
		Timeout: time.Duration(f.Timeout), Grace: time.Duration(f.Grace),
		Limits: recorder.Limits{MemoryMiB: f.Memory, CPUs: f.CPUs, Pids: f.Pids},
		Source: f.Source, RecordArgs: f.RecordArgs, RecordOutput: f.RecordOutput,
		RequireVerdict: f.RequireVerdict, Signals: signals, OwnProcess: true, StartScope: p.StartScope,
	}
}

// terminal decides whether the command gets a pseudo-terminal: in the place of
// the one that we are used from, or for the sake of recording a session.
func (r *run) terminal() (*recorder.Terminal, error) {
	if r.Type != string(sandtrail.Terminal) || !r.RecordSession && !r.Program.Terminal {
		return nil, nil
	}
	t := &recorder.Terminal{RecordInput: r.RecordInput, MaxBytes: int64(r.SessionLimit) << 20}
	if !r.RecordSession {
		return t, nil
	}
	dir, err := r.SessionsFlag.Dir(r.Program)
	t.Record = filepath.Join(dir, recorder.SessionName(r.id))
	return t, err
}

// maxRetries is how many batches of earlier runs, which the store would not take
// then, a run tries to deliver once more: they are not to slow it down.
const maxRetries = 50

// begin opens the outbox and leaves a trace of the run there. Where a store
// takes the record the run goes on without either, but not with an outbox that
// others may write to.
func (r *run) begin(command recorder.Command) error {
	if r.writesRecord() {
		return nil
	}
	box, err := r.OutboxFlag.Open(r.Program, maxRetries)
	if errors.Is(err, durable.ErrNotPrivate) || err != nil && r.Program.Open == nil {
		return err
	}
	if err != nil {
		r.Warn("no outbox: %v", err)
		return nil
	}
	r.box = box
	begun := recorder.Begun(command, r.User, r.Strategy, sandtrail.ExecutionType(r.Type))
	begun.ID = r.id
	if r.trace, err = box.Begin(begun); err != nil {
		r.Warn("%v", err)
	}
	return nil
}

// beat tells the trace that the run goes on, until stop is called.
func (r *run) beat() (stop func()) {
	if r.trace == nil {
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
				_ = r.trace.Beat(r.Now()) // the next one may succeed
			}
		}
	}()
	return func() { close(done); <-stopped }
}

func (r *run) endTrace() error {
	if r.trace == nil {
		return nil
	}
	return r.box.End(r.trace)
}
