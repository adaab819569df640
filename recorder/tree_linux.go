package recorder

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tree is the command's main process and everything that comes of it.
type tree struct {
	group   *group   // nil: no cgroup could be had
	gauge   *gauge   // nil: the group does not measure memory
	sampler *sampler // nil before the start
	reaper  *reaper  // nil: this process is no subreaper
	method  Method

	memoryLimit int64              // that holds in the group, bytes; 0: none
	limited     bool               // limits hold in the group, and not outside
	outside     bool               // the command is to start processes outside, as a container's client does
	escaped     map[process]string // who was found outside the group, and the name that it had last
	ticks       int                // samples so far

	terminal    bool // the main process leads the session of a pseudo-terminal
	main        *os.Process
	sharesGroup bool                  // the main process is in our process group, for job control
	ended       chan *os.ProcessState // of the main process, once
	buried      chan os.Signal        // SIGCHLD, when there is a reaper
	release     chan struct{}         // ends the thread that started the main process
	ownPeak     int64                 // our own memory high-water mark, after the start, bytes
	begun       time.Time             // when the main process was started
	notEnforced []string              // the limits that are not
}

// newTree prepares for one command. It must be closed.
func newTree(c Command) (*tree, error) {
	t := &tree{method: Sampling, terminal: c.Terminal != nil, ended: make(chan *os.ProcessState, 1), release: make(chan struct{}), escaped: map[process]string{}}
	if c.Method != Sampling {
		t.group = newGroup(findHierarchies("/proc/self"), c.Method, managerFor(c))
	}
	if t.group != nil {
		t.method, t.gauge = t.group.method, newGauge(t.group)
	} else if c.Method != "" && c.Method != Sampling {
		return nil, fmt.Errorf("this host offers no %s", c.Method)
	}
	if c.OwnProcess {
		// Where it is refused, orphans go to init as without us.
		t.reaper, _ = becomeSubreaper()
	}
	if t.reaper != nil {
		t.buried = make(chan os.Signal, 1)
		signal.Notify(t.buried, syscall.SIGCHLD)
	}
	return t, nil
}

// managerFor is the systemd to ask for a scope. A program that is not ours
// alone is not moved out of the cgroup that it is in.
func managerFor(c Command) manager {
	if !c.OwnProcess {
		return manager{}
	}
	m := findManager("/", os.Getenv("XDG_RUNTIME_DIR"), os.Getuid())
	m.start = c.StartScope
	return m
}

// start starts the command inside the tree, under the limits. The command may
// be replaced by a copy.
func (t *tree) start(cmd *exec.Cmd, l Limits) error {
	t.sharesGroup = inForeground(cmd.Stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid: !t.sharesGroup && !t.terminal,
		Setsid:  t.terminal, Setctty: t.terminal, Ctty: 1, // its stdout
		Pdeathsig: syscall.SIGKILL, // no recorder enforces limits on survivors
	}
	started := make(chan error)
	go t.startOnThread(cmd, l, started)
	if err := <-started; err != nil {
		return err
	}
	// Not before: we grow while we start it.
	t.ownPeak = readMemory(os.Getpid()).highWater
	if t.reaper != nil {
		t.reaper.own[t.main.Pid] = true
	}
	t.sampler = newSampler(t.main.Pid, t.reaper.orphans)
	go func() {
		state, _ := t.main.Wait()
		t.ended <- state
	}()
	return nil
}

// startOnThread starts the command from one thread and keeps it: the main
// process is killed when that thread ends (Pdeathsig).
func (t *tree) startOnThread(cmd *exec.Cmd, l Limits, started chan<- error) {
	runtime.LockOSThread()
	t.begun = time.Now()
	left := true
	err := cmd.Err
	if err == nil && t.group != nil {
		left, err = t.startInGroup(cmd, l)
		if err != nil {
			// The group may have refused, for lack of a permission that only
			// trying tells, or the program: without a group the program alone
			// can.
			t.gauge.close()
			_ = t.group.remove()
			t.group, t.gauge, t.method = nil, nil, Sampling
			cmd = copyOf(cmd)
			cmd.SysProcAttr.UseCgroupFD = false
		}
	}
	if t.group == nil {
		t.notEnforced = (&group{}).limit(l) // one without files
		err = cmd.Start()
	}
	t.main = cmd.Process
	started <- err
	<-t.release
	if left {
		runtime.UnlockOSThread() // otherwise the thread ends with this goroutine
	}
}

// startInGroup starts the command inside the group and reports whether the
// calling thread is outside of it again.
func (t *tree) startInGroup(cmd *exec.Cmd, l Limits) (left bool, err error) {
	t.notEnforced = t.group.limit(l)
	t.limited = len(t.notEnforced) < len((&group{}).limit(l))
	if !slices.Contains(t.notEnforced, "memory") {
		t.memoryLimit = int64(l.MemoryMiB) << 20
	}
	if t.group.v2 != nil {
		cmd.SysProcAttr.UseCgroupFD = true
		cmd.SysProcAttr.CgroupFD = int(t.group.v2.Fd())
	}
	over := t.group.allowStart(l.Pids)
	leave, err := t.group.enter()
	if err == nil {
		t.begun = time.Now() // joining is no part of the run
		err = cmd.Start()
	}
	left = leave() == nil
	over()
	return left, err
}

// copyOf is the command before its start, which happens once.
func copyOf(cmd *exec.Cmd) *exec.Cmd {
	return &exec.Cmd{
		Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir,
		Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr, SysProcAttr: cmd.SysProcAttr,
	}
}

// inForeground reports whether stdin is a terminal that is ours to use. A
// command that reads it has to stay in our process group.
func inForeground(stdin any) bool {
	f, ok := stdin.(*os.File)
	if !ok || f == nil {
		return false
	}
	pgrp, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil && pgrp == unix.Getpgrp()
}

// members lists the processes of the tree that are alive now: those in the
// group, and the descendants of the command.
func (t *tree) members() []int {
	if t.reaper != nil {
		t.reaper.bury()
	}
	switch {
	case t.group == nil:
		return t.sampler.members()
	case t.outside:
		return t.group.members()
	}
	all := append(t.group.members(), t.sampler.members()...)
	slices.Sort(all)
	return slices.Compact(all)
}

// ticksPerLook is how many samples of a group are taken for each look at who
// left it, which costs more.
const ticksPerLook = 10

func (t *tree) sample() {
	if t.gauge != nil {
		t.gauge.look()
	} else {
		t.sampler.sample(t.members())
	}
	if t.ticks++; t.ticks%ticksPerLook == 0 {
		t.findEscaped()
	}
}

// findEscaped notes which processes of the tree are not in the group. One that is
// outside at a second look is killed, if it left limits behind: otherwise it would
// be without them until the run ends.
func (t *tree) findEscaped() {
	if t.group == nil || t.outside {
		return
	}
	for _, pid := range t.sampler.members() {
		if t.group.holds(pid) {
			continue
		}
		// Read afterwards: a process that ends meanwhile has not left.
		if stat, ok := readStat(pid); ok && stat.alive() && !stat.exiting() {
			p := process{pid, stat.start}
			if _, again := t.escaped[p]; again && t.limited {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			t.escaped[p] = stat.name
		}
	}
}

// hasEnded reports whether the main process has ended, also before it was waited for.
func (t *tree) hasEnded() bool {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, t.main.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err != nil || info.Signo != 0
		}
	}
}

// forward passes on a signal that was sent to us. One that the terminal sent
// has reached our process group, and so the command, already.
func (t *tree) forward(s syscall.Signal) {
	switch {
	case !t.sharesGroup:
		_ = syscall.Kill(-t.main.Pid, s)
	case s != syscall.SIGINT && s != syscall.SIGQUIT:
		_ = t.main.Signal(s)
	}
}

// signal sends to every process of the tree, wherever it went.
func (t *tree) signal(s syscall.Signal) {
	if !t.sharesGroup {
		_ = syscall.Kill(-t.main.Pid, s) // at once, so that no fork slips through
	}
	for _, pid := range t.members() {
		if stat, ok := readStat(pid); ok && (t.sharesGroup || stat.pgrp != t.main.Pid) {
			_ = syscall.Kill(pid, s)
		}
	}
}

func (t *tree) empty() bool { return len(t.members()) == 0 }

// terminate ends every process of the tree: politely, then surely. It returns
// how many resisted even that.
func (t *tree) terminate(grace time.Duration) (left int) {
	t.findEscaped()
	if t.terminal {
		t.signal(syscall.SIGHUP) // an interactive shell ignores SIGTERM
	}
	t.signal(syscall.SIGTERM)
	t.signal(syscall.SIGCONT) // a stopped process gets no other signal
	if waitUntil(grace, t.empty) {
		return 0
	}
	const patience = 10 * time.Second // for processes in uninterruptible waits
	waitUntil(patience, func() bool {
		if t.group != nil {
			t.group.kill() // at once, so that no fork slips through
		}
		t.signal(syscall.SIGKILL)
		return t.empty()
	})
	return len(t.members())
}

// settle waits a moment for processes that are ending by themselves and
// returns how many stay.
func (t *tree) settle() int {
	waitUntil(20*time.Millisecond, t.empty)
	t.findEscaped()
	return len(t.members())
}

// measure fills in the figures. The main process has been waited for.
func (t *tree) measure(r *Result, state *os.ProcessState) {
	usage := &syscall.Rusage{}
	if state != nil {
		usage = state.SysUsage().(*syscall.Rusage)
	}
	r.Method = t.method
	r.escape(t.escaped)
	if t.group != nil {
		r.CPUTime = t.group.cpuTime()
		r.ProcessesPeak, r.OOMKills = t.group.processesPeak(), t.group.oomKills()
	} else if state != nil && (t.reaper != nil || r.LeftBehind == 0) {
		// Without a subreaper the time of what was left behind went to init.
		cpu := cpuOf(usage)
		if t.reaper != nil {
			cpu += t.reaper.cpu
		}
		r.CPUTime = &cpu
	}
	if t.gauge != nil {
		t.gauge.look()
		if r.OOMKills > 0 {
			t.gauge.filled(t.memoryLimit)
		}
		r.MemoryPeak, r.GroupPeak = measuredBytes(t.gauge.held), measuredBytes(t.gauge.peak)
		return
	}
	peak := t.sampler.peak
	// The kernel's own mark starts at our size, not at 0: it speaks of the
	// command only above that, and what is behind both is counted in haste.
	const imprecision = 1 << 20
	if mark := usage.Maxrss << 10; mark > max(t.ownPeak, t.sampler.mark)+imprecision {
		peak = max(peak, mark-t.sampler.file)
	}
	r.MemoryPeak = measuredBytes(peak)
}

// measuredBytes is nil for 0: something that runs holds memory.
func measuredBytes(n int64) *int64 {
	if n <= 0 {
		return nil
	}
	return &n
}

// close removes what the tree needed. All its processes are gone.
func (t *tree) close() error {
	close(t.release)
	if t.reaper != nil {
		signal.Stop(t.buried)
		t.reaper.bury()
	}
	t.gauge.close()
	if t.group != nil {
		return t.group.remove()
	}
	return nil
}
