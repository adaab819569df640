package recorder

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process identifies one for ever: numbers are used again, start times differ.
type process struct {
	pid   int
	start uint64 // clock ticks since boot
}

// sampler follows a process tree through /proc. It finds members as children
// of members, as orphans that fell to this process (if it is a subreaper), and
// by having seen them before.
type sampler struct {
	root    int
	orphans func() []int // children of this process that it did not start
	seen    map[process]bool

	last map[int]memory // of the processes, in the last sample
	peak int64          // the most memory that was held in any sample, bytes
	mark int64          // the highest high-water mark of a process, bytes
	file int64          // the largest share of mapped files of a process, bytes
}

func newSampler(root int, orphans func() []int) *sampler {
	return &sampler{root: root, orphans: orphans, seen: map[process]bool{}}
}

// members lists the processes that are alive now.
func (s *sampler) members() []int {
	found := map[int]bool{}
	var visit func(pid int)
	visit = func(pid int) {
		stat, ok := readStat(pid)
		if !ok || found[pid] {
			return
		}
		found[pid] = stat.alive()
		s.seen[process{pid, stat.start}] = true
		for _, child := range children(pid) {
			visit(child)
		}
	}
	visit(s.root)
	for _, pid := range s.orphans() {
		visit(pid)
	}
	for p := range s.seen {
		if stat, ok := readStat(p.pid); !ok || stat.start != p.start {
			delete(s.seen, p)
		} else {
			visit(p.pid)
		}
	}
	maps.DeleteFunc(found, func(_ int, alive bool) bool { return !alive })
	return slices.Sorted(maps.Keys(found))
}

// sample measures the memory of the given processes. What they share with each
// other is counted once, as the largest share of any; files that they map are
// not. A process alone also has a high-water mark, which no sample can miss, but
// mapped files are part of it: those of this sample and the last are taken off.
func (s *sampler) sample(pids []int) {
	var private, shared, alone int64
	now := make(map[int]memory, len(pids))
	for _, pid := range pids {
		m, last := readMemory(pid), s.last[pid]
		private += m.anon
		shared = max(shared, m.shmem)
		if m.highWater > last.highWater {
			alone = max(alone, m.highWater-max(m.file, last.file))
		}
		s.mark, s.file = max(s.mark, m.highWater), max(s.file, m.file)
		now[pid] = m
	}
	s.last = now
	s.peak = max(s.peak, private+shared, alone)
}

type procStat struct {
	name  string // chosen by the process
	state byte
	ppid  int
	pgrp  int
	flags uint64 // PF_… of the kernel
	start uint64
}

func (p procStat) alive() bool { return p.state != 'Z' && p.state != 'X' }

// exiting reports whether the process is about to end: it runs none of its
// program any more, and the kernel shows it at the root of every cgroup v1.
func (p procStat) exiting() bool {
	const pfExiting = 0x4
	return p.flags&pfExiting != 0
}

func readStat(pid int) (procStat, bool) {
	raw, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return procStat{}, false
	}
	// The name in parentheses may hold anything, parentheses too.
	end := strings.LastIndexByte(string(raw), ')')
	begin := strings.IndexByte(string(raw), '(')
	fields := strings.Fields(string(raw[end+1:]))
	if begin < 0 || end < begin || len(fields) < 20 {
		return procStat{}, false
	}
	ppid, _ := strconv.Atoi(fields[1])
	pgrp, _ := strconv.Atoi(fields[2])
	flags, _ := strconv.ParseUint(fields[6], 10, 64)
	start, err := strconv.ParseUint(fields[19], 10, 64)
	name := string(raw[begin+1 : end])
	return procStat{name: name, state: fields[0][0], ppid: ppid, pgrp: pgrp, flags: flags, start: start}, err == nil
}

// children lists the direct children of a process, zombies too.
func children(pid int) (pids []int) {
	lists, _ := filepath.Glob(procPath(pid, "task/*/children"))
	for _, list := range lists {
		raw, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(raw)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// memory of one process, in bytes.
type memory struct{ anon, file, shmem, highWater int64 }

func readMemory(pid int) (m memory) {
	into := map[string]*int64{
		"RssAnon": &m.anon, "RssFile": &m.file, "RssShmem": &m.shmem, "VmHWM": &m.highWater,
	}
	eachLine(procPath(pid, "status"), func(line string) {
		name, value, _ := strings.Cut(line, ":")
		if to := into[name]; to != nil {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			*to = kib << 10
		}
	})
	return m
}

func procPath(pid int, file string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), file)
}

// reaper buries the orphans that fall to this process as a subreaper, and adds
// up the CPU time that they and their buried children used.
type reaper struct {
	own map[int]bool // processes that other code waits for
	cpu time.Duration
}

// becomeSubreaper makes this process the one to which orphans below it fall.
func becomeSubreaper() (*reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	return &reaper{own: map[int]bool{}}, nil
}

func (r *reaper) orphans() (pids []int) {
	if r == nil {
		return nil
	}
	for _, pid := range children(os.Getpid()) {
		if !r.own[pid] {
			pids = append(pids, pid)
		}
	}
	return pids
}

// bury reaps every orphan that has ended.
func (r *reaper) bury() {
	for _, pid := range r.orphans() {
		var usage syscall.Rusage
		var ws syscall.WaitStatus
		if got, err := syscall.Wait4(pid, &ws, syscall.WNOHANG, &usage); err == nil && got == pid {
			r.cpu += cpuOf(&usage)
		}
	}
}

func cpuOf(u *syscall.Rusage) time.Duration {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
