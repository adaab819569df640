//go:build linux

package recorder_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/recorder"
)

// enforcing runs a test for each method whose cgroup can enforce a limit.
func enforcing(t *testing.T, limit string, test func(t *testing.T, prepare func(recorder.Command) recorder.Command)) {
	t.Helper()
	onEachMethod(t, func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		probe := prepare(shell("exit 0"))
		probe.Limits = recorder.Limits{MemoryMiB: 1000, CPUs: 1, Pids: 1000}
		r := record(t, probe)
		if slices.Contains(r.NotEnforced, limit) {
			if !slices.ContainsFunc(r.Warnings, func(f sandtrail.Finding) bool { return strings.Contains(f.Message, limit) }) {
				t.Errorf("nobody says that the limit on %s is not enforced: %v", limit, r.Warnings)
			}
			return
		}
		test(t, prepare)
	})
}

func TestOutOfMemory(t *testing.T) {
	enforcing(t, "memory", func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		c := prepare(self("allocate", "200"))
		c.Limits.MemoryMiB = 64
		r := record(t, c)
		if r.Status != recorder.OutOfMemory || r.ExitStatus() != 137 || r.Success() {
			t.Errorf("got %s, exit status %d", r.Status, r.ExitStatus())
		}
		// The limit is on what the cgroup is charged with.
		if peak := *r.GroupPeak >> 20; peak < 60 || peak > 64 {
			t.Errorf("peak of %d MiB under a limit of 64", peak)
		}
		if *r.MemoryPeak != *r.GroupPeak {
			t.Errorf("held %d bytes of %d: what is killed for memory holds all of it", *r.MemoryPeak, *r.GroupPeak)
		}
	})
}

// A wrapper outlives what was killed, and tells of it by its own exit status.
func TestOutOfMemoryBehindAWrapper(t *testing.T) {
	wrappers := map[string][]string{
		"a shell":                  {"sh", "-c", `"$0" "$@"; exit $?`},
		"a shell of another shell": {"sh", "-c", `sh -c '"$0" "$@"; exit 3' "$0" "$@"; exit $?`},
		"a pipe":                   {"bash", "-c", `set -o pipefail; "$0" "$@" | cat`},
		"unshare":                  {"unshare", "--fork", "--pid"},
		"bwrap":                    {"bwrap", "--dev-bind", "/", "/", "--unshare-pid"},
	}
	enforcing(t, "memory", func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		for name, wrapper := range wrappers {
			if _, err := exec.LookPath(wrapper[0]); err != nil || wrapper[0] == "unshare" && os.Geteuid() != 0 {
				t.Logf("%s is not tried: it cannot be run here", name)
				continue
			}
			c := prepare(self("allocate", "200"))
			c.Args = append(slices.Clone(wrapper), c.Args...)
			c.Limits.MemoryMiB = 64
			r := record(t, c)
			if r.Status != recorder.OutOfMemory || r.ExitStatus() == 0 || r.Success() {
				t.Errorf("behind %s: got %s, exit status %d", name, r.Status, r.ExitStatus())
			}
		}
	})
}

func TestOutOfMemoryInAGrandchildIsAWarning(t *testing.T) {
	enforcing(t, "memory", func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		c := prepare(self("daemon", "allocate", "200"))
		c.Limits.MemoryMiB = 64
		r := record(t, c)
		if r.Status != recorder.Exited || !r.Success() {
			t.Errorf("got %s, success %v", r.Status, r.Success())
		}
		if r.OOMKills == 0 || !slices.ContainsFunc(r.Warnings, func(f sandtrail.Finding) bool { return f.Code == "OOM_KILL" }) {
			t.Errorf("%d kills, warnings %v", r.OOMKills, r.Warnings)
		}
	})
}

func TestTimeOutIsNotTakenForOutOfMemory(t *testing.T) {
	enforcing(t, "memory", func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		c := prepare(shell(`trap '' TERM; while :; do sleep 1000; done`))
		c.Limits.MemoryMiB, c.Timeout, c.Grace = 64, 50*time.Millisecond, 20*time.Millisecond
		if r := record(t, c); r.Status != recorder.TimedOut || r.Signal != "SIGKILL" {
			t.Errorf("got %s by %s", r.Status, r.Signal)
		}
	})
}

func TestForkBombIsBounded(t *testing.T) {
	enforcing(t, "pids", func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		c := prepare(self("forkbomb"))
		c.Limits.Pids, c.Grace = 40, 100*time.Millisecond
		out := output(&c)
		r := record(t, c)
		started, err := strconv.Atoi(strings.TrimSpace(out.String()))
		if err != nil {
			t.Fatal(err)
		}
		if started >= 40 || r.LeftBehind != started {
			t.Errorf("%d started under a limit of 40, %d ended", started, r.LeftBehind)
		}
	})
}

// A single process is enough for a program that starts none.
func TestOneProcessKeepsTheOtherLimits(t *testing.T) {
	enforcing(t, "pids", func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		c := prepare(recorder.Command{Args: []string{"sh", "-c", "exit 7"}})
		c.Limits = recorder.Limits{Pids: 1, MemoryMiB: 100, CPUs: 1}
		if r := record(t, c); r.ExitStatus() != 7 || len(r.NotEnforced) > 0 || r.Method != c.Method {
			t.Errorf("exit status %d by %s, not enforced: %v", r.ExitStatus(), r.Method, r.NotEnforced)
		}
	})
}

func TestRealTimeSignalsHaveNamesAndNumbers(t *testing.T) {
	for number, name := range map[int]string{34: "SIGRTMIN", 37: "SIGRTMIN+3", 64: "SIGRTMIN+30"} {
		r := record(t, shell("kill -"+strconv.Itoa(number)+" $$"))
		if r.Status != recorder.Signaled || r.Signal != name || r.ExitStatus() != 128+number {
			t.Errorf("signal %d: %s by %q, exit status %d", number, r.Status, r.Signal, r.ExitStatus())
		}
	}
}

func TestCPULimit(t *testing.T) {
	enforcing(t, "cpus", func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		c := prepare(self("quota"))
		c.Limits.CPUs = 0.5
		out := output(&c)
		record(t, c)
		if got := strings.TrimSpace(out.String()); got != "0.5" {
			t.Errorf("the kernel gives the command %s cores, want half a core", got)
		}
	})
}

func TestRecorderStaysOutOfTheFigures(t *testing.T) {
	ballast := make([]byte, 300<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	onEachMethod(t, func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		r := record(t, prepare(shell("sleep 0.05")))
		if r.MemoryPeak != nil && *r.MemoryPeak > 30<<20 {
			t.Errorf("%d MiB for a shell", *r.MemoryPeak>>20)
		}
	})
	if ballast[0] != 1 {
		t.Error("the ballast went over board")
	}
}

// Our own size at the moment of the fork is what the kernel's mark of the
// command starts from, not the one we had before.
func TestRecorderThatGrowsStaysOutOfTheFigures(t *testing.T) {
	const step, most = 256 << 10, 400 << 20
	stop := make(chan struct{})
	var growing sync.WaitGroup
	growing.Go(func() {
		var held [][]byte
		for len(held) < most/step {
			select {
			case <-stop:
				return
			default:
				held = append(held, bytes.Repeat([]byte{1}, step))
			}
		}
	})
	for range 10 {
		c := self("nothing")
		c.Method = recorder.Sampling
		if r := record(t, c); r.MemoryPeak != nil && *r.MemoryPeak > 30<<20 {
			t.Errorf("%d MiB for nothing", *r.MemoryPeak>>20)
		}
	}
	close(stop)
	growing.Wait()
}

func TestLargeSourceIsToldOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.py")
	if err := errors.Join(os.WriteFile(path, []byte("class A: pass\n"), 0o600), os.Truncate(path, recorder.MaxSourceBytes+1)); err != nil {
		t.Fatal(err)
	}
	c := shell("exit 0")
	c.Source = path
	if r := record(t, c); r.Source != nil || !hasWarning(r, "SOURCE") {
		t.Errorf("got %+v, %+v", r.Source, r.Warnings)
	}
}
