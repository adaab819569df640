package recorder

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/internal/testneed"
	"github.com/sandtrail/sandtrail/recorder/systemd"
)

// host is a machine with a unified hierarchy, a session that may make no
// groups, and a systemd for the user 1000, all of plain files.
type host struct {
	t       *testing.T
	root    string
	cgroups string
}

func newHost(t *testing.T) host {
	t.Helper()
	root, err := os.MkdirTemp("", "host") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	h := host{t: t, root: root}
	h.cgroups = filepath.Join(h.root, "sys/fs/cgroup")
	h.write("proc/self/mountinfo", "30 20 0:26 / "+h.cgroups+" rw - cgroup2 cgroup2 rw\n")
	h.stand("/user.slice/session-2.scope")
	h.write("sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n")
	h.write("run/user/1000/systemd/private", "")
	return h
}

func (h host) write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		h.t.Fatal(err)
	}
}

func (h host) read(name string) string {
	raw, _ := os.ReadFile(filepath.Join(h.root, name))
	return string(raw)
}

// stand puts this process into a cgroup.
func (h host) stand(group string) { h.write("proc/self/cgroup", "0::"+group+"\n") }

func (h host) manager() manager {
	m := findManager(h.root, "", 1000)
	m.start = systemd.StartScope
	return m
}

// bus runs a message bus where the user's is.
func (h host) bus() {
	h.t.Helper()
	address := "unix:path=" + filepath.Join(h.root, "run/user/1000/bus")
	daemon := exec.Command(testneed.Program(h.t, "dbus-daemon", "dbus-daemon"), "--session", "--nofork", "--nopidfile", "--print-address", "--address="+address)
	out, err := daemon.StdoutPipe()
	if err == nil {
		err = daemon.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	if said, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(said, address) {
		h.t.Fatalf("dbus-daemon: %q, %v", said, err)
	}
}

// asked is a call of StartTransientUnit.
type asked struct {
	Name, Mode string
	Properties map[string]any
	Auxiliary  int
}

// systemd answers on the bus as the user's manager does, and does what answer does.
func (h host) systemd(answer func(asked) *dbus.Error) {
	h.t.Helper()
	conn, err := dbus.Connect("unix:path=" + filepath.Join(h.root, "run/user/1000/bus"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	start := func(name, mode string, properties []property, auxiliary []unit) (dbus.ObjectPath, *dbus.Error) {
		call := asked{name, mode, map[string]any{}, len(auxiliary)}
		for _, p := range properties {
			call.Properties[p.Name] = p.Value.Value()
		}
		return "/org/freedesktop/systemd1/job/7", answer(call)
	}
	err = conn.ExportMethodTable(map[string]any{"StartTransientUnit": start}, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
	if err != nil {
		h.t.Fatal(err)
	}
	if reply, err := conn.RequestName("org.freedesktop.systemd1", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		h.t.Fatal(reply, err)
	}
}

const slice = "/user.slice/user@1000.service/app.slice/"

// makeScope does what systemd and the kernel do.
func (h host) makeScope(name string) {
	scope := "sys/fs/cgroup" + slice + name
	h.write(scope+"/cgroup.subtree_control", "")
	h.write(scope+"/recorder/cgroup.procs", "")
	h.stand(slice + name)
}

// property and unit are arguments of StartTransientUnit.
type property struct {
	Name  string
	Value dbus.Variant
}

type unit struct {
	Name       string
	Properties []property
}

func TestSystemdDelegatesAScope(t *testing.T) {
	h := newHost(t)
	h.bus()
	calls := make(chan asked, 2)
	h.systemd(func(call asked) *dbus.Error {
		h.makeScope(call.Name)
		calls <- call
		return nil
	})
	m := h.manager()
	dir, err := m.delegate(findHierarchies(m.proc))
	pid := os.Getpid()
	name := fmt.Sprintf("sandtrail-%d.scope", pid)
	if want := filepath.Join(h.cgroups, slice, name); err != nil || dir != want {
		t.Fatalf("got %q, %v, want %q", dir, err, want)
	}
	want := asked{Name: name, Mode: "fail", Properties: map[string]any{
		"Description": "Runs that sandtrail records", "PIDs": []uint32{uint32(pid)}, "Delegate": true, "CollectMode": "inactive-or-failed",
	}}
	if diff := cmp.Diff(want, <-calls); diff != "" {
		t.Errorf("systemd was asked (-want +got)\n%s", diff)
	}
	scope := "sys/fs/cgroup" + slice + name
	if procs := h.read(scope + "/recorder/cgroup.procs"); procs != strconv.Itoa(pid) {
		t.Errorf("in the leaf: %q, want %d", procs, pid)
	}
	if control := h.read(scope + "/cgroup.subtree_control"); !strings.Contains(control, "+cpu") {
		t.Errorf("handed to children: %q", control)
	}
}

func TestSystemdThatDelegatesNothing(t *testing.T) {
	refuse := func(asked) *dbus.Error {
		return dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", []any{"no"})
	}
	for name, test := range map[string]struct {
		prepare func(h host)
		says    string
		moved   bool // we are in a scope all the same
	}{
		"none runs":            {func(h host) { _ = os.RemoveAll(filepath.Join(h.root, "run")) }, "no systemd", false},
		"memory is not its":    {func(h host) { h.write("sys/fs/cgroup/cgroup.controllers", "cpu pids") }, "no systemd", false},
		"no bus":               {func(host) {}, "no such file", false},
		"a bus without it":     {host.bus, "org.freedesktop.systemd1", false},
		"it refuses":           {func(h host) { h.bus(); h.systemd(refuse) }, "ask systemd for a scope: no", false},
		"it does not move us":  {func(h host) { h.bus(); h.systemd(func(asked) *dbus.Error { return nil }) }, "did not move us", false},
		"it never answers":     {deafBus, "ask systemd for a scope", false},
		"it has no controller": {barren, "cgroup.subtree_control", true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			test.prepare(h)
			m := h.manager()
			m.patience = 300 * time.Millisecond
			dir, err := m.delegate(findHierarchies(m.proc))
			if err == nil || !strings.Contains(err.Error(), test.says) || (dir != "") != test.moved {
				t.Errorf("got %q, %v", dir, err)
			}
			if g := newGroup(findHierarchies(m.proc), CgroupV2, m); g != nil {
				t.Errorf("a group came of it: %+v", g)
			}
		})
	}
}

// deafBus is a socket that takes calls and never answers.
func deafBus(h host) {
	listener, err := net.Listen("unix", filepath.Join(h.root, "run/user/1000/bus"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { listener.Close() })
}

// barren is a systemd whose scope has nothing to hand on.
func barren(h host) {
	h.bus()
	h.systemd(func(call asked) *dbus.Error {
		h.makeScope(call.Name)
		if err := os.Remove(filepath.Join(h.cgroups, slice, call.Name, "cgroup.subtree_control")); err != nil {
			return dbus.MakeFailedError(err)
		}
		return nil
	})
}

func TestFindManager(t *testing.T) {
	h := newHost(t)
	h.write("run/systemd/private", "")
	h.write("elsewhere/systemd/private", "")
	elsewhere := filepath.Join(h.root, "elsewhere")
	for _, test := range []struct {
		name, runtimeDir string
		uid              int
		want             string
	}{
		{"the user's", "", 1000, "run/user/1000/bus"},
		{"the user's by its variable", elsewhere, 1001, "elsewhere/bus"},
		{"the system's", elsewhere, 0, "run/dbus/system_bus_socket"},
		{"none", "", 1001, ""},
	} {
		got := findManager(h.root, test.runtimeDir, test.uid).bus
		if test.want != "" {
			test.want = filepath.Join(h.root, test.want)
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
