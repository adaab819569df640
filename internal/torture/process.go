//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that the campaign has started. It ends with the campaign,
// however that ends.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu     sync.Mutex
	output bytes.Buffer // the end of what it printed
	killed bool         // by a fault
}

// maxOutput is how much of what a process prints is kept.
const maxOutput = 64 << 10

// Write keeps the end of what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.output.Write(b)
	if extra := p.output.Len() - maxOutput; extra > 0 {
		p.output.Next(extra)
	}
	return len(b), nil
}

// said is what the process printed.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// start runs a command. Its output is kept where the command names no other place.
func start(name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true // a terminal's ^C is for the campaign
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.WaitDelay = 5 * time.Second
	if cmd.Stdout == nil {
		cmd.Stdout = p
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = cmd.Wait() // its state is asked for
		close(p.done)
	}()
	return p, nil
}

// running reports whether the process has not ended.
func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends a signal to the process; one that has ended gets none.
func (p *process) signal(s syscall.Signal) {
	if !p.running() {
		return
	}
	p.mu.Lock()
	p.killed = p.killed || s == syscall.SIGKILL
	p.mu.Unlock()
	_ = p.cmd.Process.Signal(s) // it may end meanwhile
}

// kill ends the process without a word.
func (p *process) kill() {
	if p == nil {
		return
	}
	p.signal(syscall.SIGKILL)
	<-p.done // SIGKILL is always obeyed
}

// end asks the process to end, and reports whether it did in time.
func (p *process) end(within time.Duration) bool {
	if !p.running() {
		return true
	}
	p.signal(syscall.SIGCONT)
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return true
	case <-time.After(within):
		p.kill()
		return false
	}
}

// wasKilled reports whether a fault ended the process.
func (p *process) wasKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}

// memory is the most memory that the process has had, in bytes.
func (p *process) memory() int64 { return statusField(p.cmd.Process.Pid, "VmHWM:") << 10 }

// statusField is a number of /proc/PID/status, 0 for a process that has ended.
func statusField(pid int, name string) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64) // a number, says proc(5)
			return n
		}
	}
	return 0
}

// waited is for how long the threads of the process have waited for a processor:
// the second number of /proc/PID/task/TID/schedstat, in nanoseconds.
func (p *process) waited() (sum time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid)) // no thread: it has ended
	for _, thread := range threads {
		stat, _ := os.ReadFile(thread)
		if fields := strings.Fields(string(stat)); len(fields) > 1 {
			n, _ := strconv.ParseInt(fields[1], 10, 64) // a number, says the kernel's sched-stats.rst
			sum += time.Duration(n)
		}
	}
	return sum
}

// descriptors is how many files the process has open.
func (p *process) descriptors() int {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		return 0 // it has ended
	}
	return len(open)
}

// children are the processes whose parent a process is.
func children(pid int) (found []int) {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil // the pattern is valid
	}
	for _, dir := range all {
		n, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && statusField(n, "PPid:") == int64(pid) {
			found = append(found, n)
		}
	}
	return found
}

// call runs a command to its end, for a minute at most, and returns what it printed
// and its exit status, -1 where a signal ended it.
func call(ctx context.Context, cmd *exec.Cmd) (said string, status int, err error) {
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	p, err := start(filepath.Base(cmd.Path), cmd)
	if err != nil {
		return "", 0, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.kill()
	case <-time.After(callTime):
		p.kill()
		return output.String(), -1, fmt.Errorf("%s has not ended after %s", strings.Join(cmd.Args, " "), callTime)
	}
	return output.String(), cmd.ProcessState.ExitCode(), ctx.Err()
}

const callTime = 2 * time.Minute

// pause waits, or returns early when the context ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// until asks again and again whether something has come true, and gives up after
// a time.
func until(ctx context.Context, most time.Duration, ask func() bool) bool {
	for end := time.Now().Add(most); ; pause(ctx, 25*time.Millisecond) {
		if ask() {
			return true
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return false
		}
	}
}

// upTo draws a time shorter than most.
func upTo(rng *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(most)))
}
