package recorder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Run runs the command to its end and returns what is known about it. The
// command's failures, a failed start among them, are in the Result; an error is
// returned only when the command was not even tried.
//
// When the context ends, or the time-out passes, every process of the command
// is sent SIGTERM and SIGCONT and, after the grace period, killed. What the
// main process leaves behind when it ends is ended in the same way. On return
// none of it is alive, and all its output has been written.
func Run(ctx context.Context, c Command) (Result, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return Result{}, errors.New("no command given")
	}
	if c.Env == nil {
		c.Env = Environment(os.Environ(), nil)
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	r := describe(c)
	client, args, err := findContainer(c.Args)
	if err != nil {
		return Result{}, err
	}
	if client != nil {
		defer client.close()
		client.env = c.Env
		r.Container, c.Args, c.Limits = filepath.Base(client.engine), args, Limits{}
	}
	t, err := newTree(c)
	if err != nil {
		return Result{}, err
	}
	t.outside = client != nil
	err = r.run(ctx, c, t)
	if client != nil {
		r.withoutFigures()
		if r.Status == TimedOut || r.Status == Cancelled {
			err = errors.Join(err, client.kill())
		}
	}
	return r, errors.Join(err, t.close())
}

// withoutFigures takes back what is true of a container's client only.
func (r *Result) withoutFigures() {
	r.Method, r.CPUTime, r.MemoryPeak, r.GroupPeak, r.ProcessesPeak = "", nil, nil, nil, nil
	for name, set := range map[string]bool{"memory": r.Limits.MemoryMiB > 0, "cpus": r.Limits.CPUs > 0, "pids": r.Limits.Pids > 0} {
		if set {
			r.NotEnforced = append(r.NotEnforced, name)
		}
	}
	slices.Sort(r.NotEnforced)
	if len(r.NotEnforced) > 0 {
		r.warn("LIMIT", "limits are not enforced in a container of %s (%s): give them to it",
			r.Container, strings.Join(r.NotEnforced, ", "))
	}
}

// describe tells what is known before the start.
func describe(c Command) Result {
	r := Result{Command: filepath.Base(c.Args[0]), Limits: c.Limits, Timeout: c.Timeout}
	if c.RecordArgs {
		r.Args = maskSecrets(c.Args[1:])
	}
	if c.Source != "" {
		source, err := readSource(c.Source)
		if err != nil {
			r.warn("SOURCE", "the source could not be read: %v", err)
		} else {
			r.Source = &source
		}
	}
	return r
}

func (r *Result) run(ctx context.Context, c Command, t *tree) error {
	keep := min(max(c.RecordOutput, 0), maxRecordOutput)
	pipes, err := connect(c, keep)
	if err != nil {
		return err
	}
	defer pipes.terminal.restore()
	err = t.start(pipes.cmd, c.Limits)
	r.Started, r.NotEnforced = t.begun, t.notEnforced
	for _, name := range r.NotEnforced {
		r.warn("LIMIT", "the limit on %s is not enforced: this host offers no cgroup for it", name)
	}
	if err != nil {
		pipes.abandon()
		r.Status, r.Err, r.Ended = StartFailed, err, time.Now()
		r.WallTime = r.Ended.Sub(r.Started)
		return nil
	}
	pipes.started()
	cause, state := r.supervise(ctx, c, t, pipes.terminal)
	if r.LeftBehind = t.settle(); state == nil {
		r.warn("LEFT", "the main process could not be ended, and is left as it is")
	} else if r.LeftBehind > 0 {
		if left := t.terminate(c.Grace); left > 0 {
			r.warn("LEFT", "%d processes of the execution could not be ended", left)
		}
	}
	r.passOn(ctx, c, pipes, cause)
	t.measure(r, state)
	r.verdict(state, cause)
	r.Stdout, r.Stderr = pipes.out.tail.output(keep), pipes.err.output(keep)
	if pipes.terminal == nil {
		r.findVerdict(pipes.out.tail, c.RequireVerdict)
	} else if r.Session, err = pipes.terminal.session.close(r.ExitStatus()); err != nil {
		r.warn("SESSION", "the session is recorded in part only: %v", err)
	}
	return nil
}

// Sampling is dense at first, when short commands live and die.
const (
	firstSamples  = 4 * time.Millisecond
	denseSampling = 200 * time.Millisecond
	laterSamples  = 20 * time.Millisecond
)

// passOn waits until all output has been passed on. Its reader may take its
// time, but not once the run was ended from outside, or is to be now.
func (r *Result) passOn(ctx context.Context, c Command, p *pipes, why cause) {
	done := p.finish()
	defer p.terminal.end()
	patience := c.Grace + pipeDelay
	var giveUp <-chan time.Time
	if why.timedOut || why.cancelled || len(why.forwarded) > 0 {
		giveUp = time.After(patience)
	}
	cancelled := ctx.Done()
	for {
		select {
		case <-done:
			return
		case <-cancelled:
			cancelled, giveUp = nil, time.After(patience)
		case <-c.Signals:
			giveUp = time.After(patience)
		case <-giveUp:
			r.warn("OUTPUT", "the end of the output was not passed on: its reader took nothing for %s", patience)
			return
		}
	}
}

// supervise waits for the end of the main process and sees to its limits. The
// state is nil if it could not be ended.
func (r *Result) supervise(ctx context.Context, c Command, t *tree, term *terminal) (cause, *os.ProcessState) {
	why := cause{forwarded: map[syscall.Signal]bool{}}
	var deadline <-chan time.Time
	if c.Timeout > 0 {
		timer := time.NewTimer(c.Timeout - time.Since(r.Started))
		defer timer.Stop()
		deadline = timer.C
	}
	ticker := time.NewTicker(firstSamples)
	defer ticker.Stop()
	slowDown := time.AfterFunc(denseSampling, func() { ticker.Reset(laterSamples) })
	defer slowDown.Stop()
	cancelled := ctx.Done()
	for {
		select {
		case state := <-t.ended:
			r.Ended = time.Now()
			r.WallTime = r.Ended.Sub(r.Started)
			return why, state
		case <-deadline:
			// The flag comes before the signal, and only if the command has
			// not ended at the same moment: what follows then is our doing.
			if !t.hasEnded() {
				why.timedOut, cancelled = true, nil
				if t.terminate(c.Grace) > 0 && !t.hasEnded() {
					return why, r.stuck()
				}
			}
		case <-cancelled:
			if cancelled, deadline = nil, nil; !t.hasEnded() {
				why.cancelled = true
				if t.terminate(c.Grace) > 0 && !t.hasEnded() {
					return why, r.stuck()
				}
			}
		case s := <-c.Signals:
			if s, ok := s.(syscall.Signal); ok {
				why.forwarded[s] = true
				t.forward(s)
			}
		case <-term.changes():
			term.adapt()
		case <-t.buried:
			t.reaper.bury()
		case <-ticker.C:
			t.sample()
		}
	}
}

// stuck ends the measurement of a run whose main process not even SIGKILL ends,
// such as one that waits for a file system that does not answer.
func (r *Result) stuck() *os.ProcessState {
	r.Ended = time.Now()
	r.WallTime = r.Ended.Sub(r.Started)
	return nil
}

// pipes connects the command with our streams.
type pipes struct {
	cmd *exec.Cmd
	out *stream
	err *errStream
	in  *os.File // our copy of the command's end of stdin; nil: none to close

	terminal *terminal // nil: none
}

// errStream is stderr: a stream where the recorder has to read it.
type errStream struct{ *stream }

func (s *errStream) output(n int) *Output {
	if s.stream == nil {
		return nil
	}
	return s.tail.output(n)
}

func connect(c Command, keep int) (*pipes, error) {
	p := &pipes{cmd: exec.Command(c.Args[0], c.Args[1:]...), err: &errStream{}}
	p.cmd.Dir, p.cmd.Env = c.Dir, c.Env
	if c.Terminal != nil {
		return p, p.connectTerminal(c, keep)
	}
	var err error
	if p.out, err = newStream(c.Stdout, maxVerdictBytes); err != nil {
		return nil, err
	}
	p.cmd.Stdout = p.out.w
	if file, ok := c.Stderr.(*os.File); ok && keep == 0 {
		p.cmd.Stderr = file
	} else if c.Stderr != nil || keep > 0 {
		if p.err.stream, err = newStream(c.Stderr, keep); err != nil {
			return nil, err
		}
		p.cmd.Stderr = p.err.w
	}
	return p, p.connectStdin(c.Stdin)
}

// connectTerminal puts a pseudo-terminal in the place of stdout, of stderr,
// and of stdin if that is a terminal.
func (p *pipes) connectTerminal(c Command, keep int) (err error) {
	if p.terminal, err = newTerminal(c); err != nil {
		return err
	}
	p.out = p.terminal.stream(c.Stdout, keep)
	p.cmd.Stdout, p.cmd.Stderr = p.out.w, p.out.w
	if p.terminal.outer != nil {
		p.cmd.Stdin = p.out.w
		return nil
	}
	return p.connectStdin(c.Stdin)
}

func (p *pipes) connectStdin(from io.Reader) error {
	if file, ok := from.(*os.File); ok || from == nil {
		if file != nil {
			p.cmd.Stdin = file
		}
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	p.cmd.Stdin, p.in = r, r
	go func() {
		// A command that does not read to the end is no fault.
		_, _ = io.Copy(w, from)
		w.Close()
	}()
	return nil
}

// started closes our copies of the command's ends and begins to copy.
func (p *pipes) started() {
	p.closeEnds()
	p.terminal.takeOver()
	go func() {
		defer p.terminal.restoreIfPanicking()
		p.out.copy()
	}()
	if p.err.stream != nil {
		go p.err.copy()
	}
}

func (p *pipes) closeEnds() {
	if p.terminal == nil {
		p.out.w.Close()
	}
	if p.err.stream != nil {
		p.err.w.Close()
	}
	if p.in != nil {
		p.in.Close()
	}
}

// abandon gives up what connect made, for a command that did not start.
func (p *pipes) abandon() {
	p.closeEnds()
	p.terminal.closeSlave()
	p.terminal.abandonSession()
	p.out.r.Close()
	if p.err.stream != nil {
		p.err.r.Close()
	}
}

// finish has the rest of the output passed on, and tells when it is.
func (p *pipes) finish() (done <-chan struct{}) {
	p.terminal.closeSlave()
	p.out.finish()
	if p.err.stream == nil {
		return p.out.done
	}
	p.err.finish()
	both := make(chan struct{})
	go func() {
		<-p.out.done
		<-p.err.done
		close(both)
	}()
	return both
}
