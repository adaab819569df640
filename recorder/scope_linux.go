package recorder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// manager is a systemd that can be asked to delegate a cgroup to us: the
// user's own, or for root that of the system.
type manager struct {
	bus      string        // its socket; "": there is none
	proc     string        // where we see which cgroup we are in
	patience time.Duration // for each step
	start    ScopeStarter  // nil: it is asked for nothing
}

// scopePatience is how long a manager may take. Usually it is some
// milliseconds; one that hangs must not keep the command from being run.
const scopePatience = 2 * time.Second

// findManager looks for the socket that only a running systemd has.
func findManager(root, runtimeDir string, uid int) manager {
	if runtimeDir == "" {
		runtimeDir = filepath.Join(root, "run/user", strconv.Itoa(uid))
	}
	private, bus := filepath.Join(runtimeDir, "systemd/private"), filepath.Join(runtimeDir, "bus")
	if uid == 0 {
		private, bus = filepath.Join(root, "run/systemd/private"), filepath.Join(root, "run/dbus/system_bus_socket")
	}
	m := manager{proc: filepath.Join(root, "proc/self"), patience: scopePatience}
	if _, err := os.Stat(private); err == nil {
		m.bus = bus
	}
	return m
}

// delegate asks for a scope around this process and returns its cgroup, in
// which others can be made; with controllers if there is no error. It is worth
// asking only where the unified hierarchy has a memory controller.
func (m manager) delegate(h hierarchies) (dir string, err error) {
	if m.bus == "" || m.start == nil || !slices.Contains(words(filepath.Join(h.v2Mount, "cgroup.controllers")), "memory") {
		return "", fmt.Errorf("no systemd that could delegate a cgroup")
	}
	name := fmt.Sprintf("%s%d.scope", groupPrefix, os.Getpid())
	if err := m.start(m.bus, name, os.Getpid(), m.patience); err != nil {
		return "", fmt.Errorf("ask systemd for a scope: %w", err)
	}
	// The answer came when the job was queued; it is done when we are there.
	if !waitUntil(m.patience, func() bool {
		dir = findHierarchies(m.proc).v2
		return filepath.Base(dir) == name
	}) {
		return "", fmt.Errorf("systemd did not move us into %s", name)
	}
	return dir, settleIn(dir)
}

// settleIn moves this process into a leaf of its scope: only a group without
// processes of its own can hand controllers to its children.
func settleIn(scope string) error {
	leaf := filepath.Join(scope, "recorder")
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := writeFile(filepath.Join(leaf, "cgroup.procs"), strconv.Itoa(os.Getpid())); err != nil {
		return err
	}
	control := filepath.Join(scope, "cgroup.subtree_control")
	if err := writeFile(control, "+memory"); err != nil {
		return err
	}
	for _, limit := range []string{"+pids", "+cpu"} {
		_ = writeFile(control, limit) // what cannot be limited is told when a limit is asked for
	}
	return nil
}

// words are those of a small file; none if it cannot be read.
func words(file string) []string {
	raw, _ := os.ReadFile(file)
	return strings.Fields(string(raw))
}

// writeFile writes to a file of a cgroup. One that is not there is a controller
// that is not there, and is not created.
func writeFile(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}
