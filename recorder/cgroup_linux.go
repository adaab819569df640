package recorder

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hierarchies is where this process stands in the host's cgroup hierarchies,
// as absolute directories; "" where there is none.
type hierarchies struct {
	v2      string            // the own group in the unified hierarchy
	v2Mount string            // the top of it
	v1      map[string]string // controller → the own group in its v1 hierarchy
}

// findHierarchies reads /proc/self/mountinfo and /proc/self/cgroup, given by
// their directory.
func findHierarchies(proc string) hierarchies {
	h := hierarchies{v1: map[string]string{}}
	groups := ownGroups(filepath.Join(proc, "cgroup"))
	eachLine(filepath.Join(proc, "mountinfo"), func(line string) {
		before, after, _ := strings.Cut(line, " - ")
		fields, tail := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(tail) < 3 {
			return
		}
		root, mount := fields[3], fields[4]
		switch tail[0] {
		case "cgroup2":
			if own, ok := below(groups[""], root); ok && h.v2 == "" {
				h.v2, h.v2Mount = path.Join(mount, own), mount
			}
		case "cgroup":
			for _, controller := range strings.Split(tail[2], ",") {
				if own, ok := below(groups[controller], root); ok && groups[controller] != "" {
					h.v1[controller] = path.Join(mount, own)
				}
			}
		}
	})
	return h
}

// ownGroups maps each v1 controller, and "" for v2, to this process's group.
func ownGroups(file string) map[string]string {
	groups := map[string]string{}
	eachLine(file, func(line string) {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			return
		}
		for _, controller := range strings.Split(parts[1], ",") {
			groups[controller] = parts[2]
		}
	})
	return groups
}

// below gives the place of group under a mount that shows the hierarchy from
// root on.
func below(group, root string) (string, bool) {
	if root == "/" {
		return group, true
	}
	rest, ok := strings.CutPrefix(group, root)
	return rest, ok && (rest == "" || rest[0] == '/')
}

func eachLine(file string, do func(line string)) {
	f, err := os.Open(file)
	if err != nil {
		return // no such facility on this host
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		do(lines.Text())
	}
}

// group is a cgroup of our own for one command, in one or more hierarchies.
type group struct {
	method Method
	v2     *os.File          // the directory in the unified hierarchy, or nil
	v1     map[string]string // controller → directory
	home   map[string]string // controller → the group this process came from
	locks  []*os.File        // held while we live, so that a sweep knows
	dirs   []string          // to be removed, in this order
}

// groupPrefix begins the names of our groups, for sweeps.
const groupPrefix = "sandtrail-"

// newGroup makes the best group that the host offers, or nil if none. want
// restricts the choice. systemd, if there is one, is asked for a delegated
// group where none is at hand.
func newGroup(h hierarchies, want Method, systemd manager) *group {
	for _, method := range []Method{CgroupV2, CgroupHybrid, CgroupV1, CgroupSampling} {
		if want != "" && want != method {
			continue
		}
		if g := tryGroup(h, method); g != nil {
			return g
		}
		if method != CgroupV2 {
			continue
		}
		// Why it could not be had is told by the method that is used instead.
		if scope, _ := systemd.delegate(h); scope != "" {
			h.v2 = scope
			if g := tryGroup(h, method); g != nil {
				return g
			}
		}
	}
	return nil
}

func tryGroup(h hierarchies, method Method) *group {
	g := &group{method: method, v1: map[string]string{}, home: h.v1}
	name := groupPrefix + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	ok := false
	switch method {
	case CgroupV2:
		parent := h.delegatedParent()
		ok = parent != "" && g.makeV2(filepath.Join(parent, name), "memory.peak", "cpu.stat", "cgroup.kill")
	case CgroupHybrid:
		ok = h.v2 != "" && h.v1["memory"] != "" &&
			g.makeV2(filepath.Join(h.v2, name), "cpu.stat", "cgroup.kill") &&
			g.makeV1(h, name, "memory")
	case CgroupV1:
		ok = h.v1["memory"] != "" && h.v1["cpuacct"] != "" &&
			g.makeV1(h, name, "memory") && g.makeV1(h, name, "cpuacct")
	case CgroupSampling:
		ok = h.v2 != "" && g.makeV2(filepath.Join(h.v2, name), "cpu.stat", "cgroup.kill")
	}
	if !ok {
		g.remove()
		return nil
	}
	if len(g.v1) > 0 { // limits and counts that are nice to have
		g.makeV1(h, name, "pids")
		g.makeV1(h, name, "cpu")
	}
	return g
}

// delegatedParent is the nearest group of the unified hierarchy, from our own
// upwards, that hands the memory controller to its children. Whether we may
// make some there is seen by trying.
func (h hierarchies) delegatedParent() string {
	for dir := h.v2; ; dir = filepath.Dir(dir) {
		if slices.Contains(words(filepath.Join(dir, "cgroup.subtree_control")), "memory") {
			return dir
		}
		if len(dir) <= len(h.v2Mount) {
			return ""
		}
	}
}

func (g *group) makeV2(dir string, files ...string) bool {
	if !g.make(dir) {
		return false
	}
	for _, file := range files {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			return false
		}
	}
	f, err := os.Open(dir)
	g.v2 = f
	return err == nil
}

func (g *group) makeV1(h hierarchies, name, controller string) bool {
	own := h.v1[controller]
	if own == "" {
		return false
	}
	dir := filepath.Join(own, name)
	if !slices.Contains(g.dirs, dir) && !g.make(dir) { // cpu and cpuacct may share one
		return false
	}
	g.v1[controller] = dir
	return true
}

func (g *group) make(dir string) bool {
	sweepGroups(filepath.Dir(dir))
	if os.Mkdir(dir, 0o755) != nil {
		return false
	}
	g.dirs = append(g.dirs, dir)
	lock, err := lockDir(dir)
	if err != nil {
		return false
	}
	g.locks = append(g.locks, lock)
	return true
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sweepGroups ends and removes the groups under parent whose recorder was
// killed. Young ones are left alone: their recorder may be about to lock them.
func sweepGroups(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, groupPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if lock, err := lockDir(dir); err == nil {
			killGroup(dir)
			_ = removeGroup(dir)
			lock.Close()
		}
	}
}

// enter moves the calling thread into the v1 groups, so that what it starts is
// born there, and returns how to move it back. The unified hierarchy is joined
// by the new process alone, through UseCgroupFD. A process that joined by
// itself would have been measured, and would have run, outside at first.
func (g *group) enter() (leave func() error, err error) {
	tid := []byte(strconv.Itoa(syscall.Gettid()))
	leave = func() error {
		var errs []error
		for controller := range g.v1 {
			errs = append(errs, os.WriteFile(filepath.Join(g.home[controller], "tasks"), tid, 0))
		}
		return errors.Join(errs...)
	}
	for _, dir := range g.v1 {
		if err := os.WriteFile(filepath.Join(dir, "tasks"), tid, 0); err != nil {
			return leave, fmt.Errorf("join the cgroup: %w", err)
		}
	}
	return leave, nil
}

// allowStart lets a command start that is to be alone, where the thread that
// starts it is a member of the group at first, and returns what ends that. A
// command that is quick can start one process more meanwhile.
func (g *group) allowStart(pids int) (over func()) {
	if pids != 1 || g.v1["pids"] == "" {
		return func() {}
	}
	g.write("pids", "pids.max", "2")
	return func() { g.write("pids", "pids.max", "1") }
}

// limit sets the limits and returns the names of those that it could not.
func (g *group) limit(l Limits) (missing []string) {
	set := func(name string, wanted bool, ok func() bool) {
		if wanted && !ok() {
			missing = append(missing, name)
		}
	}
	bytes := strconv.Itoa(l.MemoryMiB << 20)
	set("memory", l.MemoryMiB > 0, func() bool {
		// Swap would hide the limit; where it is not accounted there is nothing to set.
		if g.method == CgroupV2 {
			_ = g.write("", "memory.swap.max", "0")
			return g.write("", "memory.max", bytes)
		}
		ok := g.write("memory", "memory.limit_in_bytes", bytes)
		_ = g.write("memory", "memory.memsw.limit_in_bytes", bytes)
		return ok
	})
	set("cpus", l.CPUs > 0, func() bool {
		const period = 100_000 // microseconds
		quota := strconv.Itoa(int(l.CPUs * period))
		return g.write("", "cpu.max", quota+" "+strconv.Itoa(period)) ||
			g.write("cpu", "cpu.cfs_period_us", strconv.Itoa(period)) && g.write("cpu", "cpu.cfs_quota_us", quota)
	})
	set("pids", l.Pids > 0, func() bool {
		return g.write("", "pids.max", strconv.Itoa(l.Pids)) || g.write("pids", "pids.max", strconv.Itoa(l.Pids))
	})
	return missing
}

// path names a file of a controller's v1 group, or of the v2 group for "".
func (g *group) path(controller, file string) string {
	dir := g.v1[controller]
	if controller == "" && g.v2 != nil {
		dir = g.v2.Name()
	}
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, file)
}

func (g *group) write(controller, file, value string) bool {
	return writeFile(g.path(controller, file), value) == nil
}

// number reads a file that holds one number, or the value of key in one that
// holds "key value" lines; nil if there is none.
func (g *group) number(controller, file, key string) (value *int64) {
	eachLine(g.path(controller, file), func(line string) {
		name, text, keyed := strings.Cut(line, " ")
		if !keyed {
			name, text = "", line
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && name == key {
			value = &n
		}
	})
	return value
}

func (g *group) cpuTime() *time.Duration {
	unit, n := time.Microsecond, g.number("", "cpu.stat", "usage_usec")
	if g.method == CgroupV1 {
		unit, n = time.Nanosecond, g.number("cpuacct", "cpuacct.usage", "")
	}
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * unit
	return &d
}

// processesPeak is not to be had from v1, where the thread that starts the
// command was a member too.
func (g *group) processesPeak() *int64 { return g.number("", "pids.peak", "") }

func (g *group) oomKills() int {
	n := g.number("memory", "memory.oom_control", "oom_kill")
	if g.method == CgroupV2 {
		n = g.number("", "memory.events", "oom_kill")
	}
	if n == nil {
		return 0
	}
	return int(*n)
}

// dir is where membership is read: one hierarchy is as good as another.
func (g *group) dir() string {
	if g.v2 != nil {
		return g.v2.Name()
	}
	return g.v1["memory"]
}

func (g *group) members() []int { return groupMembers(g.dir()) }

// holds reports whether a process is in the group in every hierarchy; one of
// which nothing is known is.
func (g *group) holds(pid int) bool {
	groups := ownGroups(procPath(pid, "cgroup"))
	if len(groups) == 0 {
		return true
	}
	inside := func(controller string) bool {
		return slices.Contains(strings.Split(groups[controller], "/"), filepath.Base(g.dir()))
	}
	for controller := range g.v1 {
		if !inside(controller) {
			return false
		}
	}
	return g.v2 == nil || inside("")
}

func (g *group) kill() { killGroup(g.dir()) }

// groupMembers lists the processes of a group and of those below it, which the
// command may have made.
func groupMembers(dir string) (pids []int) {
	eachLine(filepath.Join(dir, "cgroup.procs"), func(line string) {
		if pid, err := strconv.Atoi(line); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	})
	for _, sub := range subgroups(dir) {
		pids = append(pids, groupMembers(sub)...)
	}
	return pids
}

func subgroups(dir string) (subs []string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() {
			subs = append(subs, filepath.Join(dir, entry.Name()))
		}
	}
	return subs
}

func killGroup(dir string) {
	if os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) == nil {
		return
	}
	for _, pid := range groupMembers(dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// remove deletes the group, which must be empty.
func (g *group) remove() error {
	var errs []error
	for _, dir := range g.dirs {
		errs = append(errs, removeGroup(dir))
	}
	for _, lock := range g.locks {
		lock.Close()
	}
	if g.v2 != nil {
		g.v2.Close()
	}
	return errors.Join(errs...)
}

// removeGroup deletes a group and those below it. A group stays busy for a
// moment after its last process is gone.
func removeGroup(dir string) error {
	for _, sub := range subgroups(dir) {
		if err := removeGroup(sub); err != nil {
			return err
		}
	}
	var err error
	waitUntil(2*time.Second, func() bool {
		err = os.Remove(dir)
		return err == nil || !errors.Is(err, syscall.EBUSY)
	})
	return err
}
