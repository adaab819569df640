//go:build linux

package recorder_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/recorder"
)

// Everything that the recorder waits for, and that may never come, has a bound.

// within records a command and fails the test when that takes longer than a
// busy machine could.
func within(t *testing.T, c recorder.Command) recorder.Result {
	t.Helper()
	recorded := make(chan recorder.Result, 1)
	go func() {
		r, err := recorder.Run(context.Background(), c)
		if err != nil {
			t.Logf("recorded with: %v", err)
		}
		recorded <- r
	}()
	select {
	case r := <-recorded:
		return r
	case <-time.After(2 * time.Minute):
		stacks := make([]byte, 1<<20)
		t.Fatalf("the recorder still waits:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
	return recorder.Result{}
}

// blocked is a reader of the output that takes nothing until the test is over.
func blocked(t *testing.T) writerFunc {
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	return func(p []byte) (int, error) {
		<-over
		return len(p), nil
	}
}

func hasWarning(r recorder.Result, code string) bool {
	for _, w := range r.Warnings {
		if w.Code == code {
			return true
		}
	}
	return false
}

func TestReaderOfTheOutputThatTakesNothing(t *testing.T) {
	for name, terminal := range map[string]*recorder.Terminal{"on pipes": nil, "on a terminal": {}} {
		t.Run("at the time-out, "+name, func(t *testing.T) {
			c := shell("yes")
			c.Timeout, c.Grace, c.Stdout, c.Terminal = 100*time.Millisecond, 50*time.Millisecond, blocked(t), terminal
			if r := within(t, c); r.Status != recorder.TimedOut || !hasWarning(r, "OUTPUT") {
				t.Errorf("got %s, %+v", r.Status, r.Warnings)
			}
		})
	}
	t.Run("at a signal behind the end", func(t *testing.T) {
		signals := make(chan os.Signal, 1)
		c := shell("head -c 100000 /dev/zero; exit 3")
		reader := blocked(t)
		c.Grace, c.Signals = 50*time.Millisecond, signals
		c.Stdout = writerFunc(func(p []byte) (int, error) {
			signals <- syscall.SIGUSR1 // it may come before the end, and then ends the command
			return reader(p)
		})
		if r := within(t, c); !hasWarning(r, "OUTPUT") {
			t.Errorf("got %s, %+v", r.Status, r.Warnings)
		}
	})
}

// TestMainProcessThatCannotBeEnded freezes itself where SIGKILL does not reach.
func TestMainProcessThatCannotBeEnded(t *testing.T) {
	const freezer = "/sys/fs/cgroup/freezer"
	group := filepath.Join(freezer, "sandtrail-test-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Skipf("no cgroup in which processes can be frozen against SIGKILL: %v", err)
	}
	thaw := func() {
		_ = os.WriteFile(filepath.Join(group, "freezer.state"), []byte("THAWED"), 0)
	}
	t.Cleanup(func() {
		thaw()
		for range 1000 {
			if os.Remove(group) == nil {
				return
			}
			<-time.After(10 * time.Millisecond)
		}
		t.Error("the group is still there")
	})
	// By any method that makes cgroups, those stay too, for a later sweep.
	c := shell(`echo $$ >` + group + `/cgroup.procs; echo FROZEN >` + group + `/freezer.state; exec sleep 1000`)
	c.Timeout, c.Grace, c.Method, c.OwnProcess = 300*time.Millisecond, 50*time.Millisecond, recorder.Sampling, true
	r := within(t, c)
	if r.Status != recorder.TimedOut || r.ExitStatus() != 124 || !hasWarning(r, "LEFT") || r.LeftBehind != 1 {
		t.Errorf("got %s, %d, %d left, %+v", r.Status, r.ExitStatus(), r.LeftBehind, r.Warnings)
	}
	if d := r.Draft("u", "s", "VALIDATION"); !d.TimedOut || !strings.Contains(string(d.Metadata), "could not be ended") {
		t.Errorf("recorded: %s", d.Metadata)
	}
}

func TestSourcesThatAreNoFiles(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe.py")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{pipe, "/dev/zero", t.TempDir()} {
		c := shell("exit 0")
		c.Source = source
		if r := within(t, c); r.Source != nil || !hasWarning(r, "SOURCE") {
			t.Errorf("%s: got %+v, %+v", source, r.Source, r.Warnings)
		}
	}
}
