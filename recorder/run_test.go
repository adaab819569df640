//go:build linux

package recorder_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/recorder"
)

func TestExitStatusIsTheCommands(t *testing.T) {
	directory := t.TempDir()
	script := filepath.Join(directory, "not-executable")
	if err := os.WriteFile(script, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args   []string
		exit   int
		status recorder.Status
	}{
		"success":               {[]string{"true"}, 0, recorder.Exited},
		"failure":               {[]string{"sh", "-c", "exit 3"}, 3, recorder.Exited},
		"124 of its own":        {[]string{"sh", "-c", "exit 124"}, 124, recorder.Exited},
		"ended by a signal":     {[]string{"sh", "-c", "kill -TERM $$"}, 143, recorder.Signaled},
		"killed, not by us":     {[]string{"sh", "-c", "kill -KILL $$"}, 137, recorder.Signaled},
		"not found":             {[]string{"no-such-program-anywhere"}, 127, recorder.StartFailed},
		"not found, by path":    {[]string{directory + "/nothing"}, 127, recorder.StartFailed},
		"not executable":        {[]string{script}, 126, recorder.StartFailed},
		"a directory":           {[]string{directory}, 126, recorder.StartFailed},
		"more than it can take": {[]string{"true", strings.Repeat("x", 8<<20)}, 126, recorder.StartFailed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := record(t, recorder.Command{Args: test.args})
			if r.ExitStatus() != test.exit || r.Status != test.status {
				t.Errorf("got %d, %s (%v); want %d, %s", r.ExitStatus(), r.Status, r.Err, test.exit, test.status)
			}
			if r.Success() != (test.exit == 0) {
				t.Errorf("success is %v", r.Success())
			}
		})
	}
}

func TestNothingToRunIsAnError(t *testing.T) {
	for _, args := range [][]string{nil, {""}} {
		if _, err := recorder.Run(context.Background(), recorder.Command{Args: args}); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestEndingEndsTheWholeTree(t *testing.T) {
	const untilStopped = `until grep -q 'State:.T' /proc/$pid/status; do :; done; echo $pid; wait`
	scripts := map[string]string{
		"a polite process":         `echo $$; exec sleep 1000`,
		"one that ignores SIGTERM": `trap '' TERM; echo $$; while :; do sleep 1000; done`,
		"a child":                  `sleep 1000 & echo $!; wait`,
		"a session of its own":     `setsid sh -c 'echo $$; exec sleep 1000' & wait`,
		"a daemon":                 `(setsid sh -c 'trap "" TERM; echo $$; exec sleep 1000' &) ; sleep 1000`,
		"stopped":                  `sh -c 'kill -STOP $$' & pid=$!; ` + untilStopped,
		"stopped, the main one":    `(pid=$$; ` + untilStopped + `) & kill -STOP $$`,
	}
	onEachMethod(t, func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		for name, script := range scripts {
			t.Run(name, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				c := prepare(shell(script))
				c.Grace = 50 * time.Millisecond
				var out bytes.Buffer
				c.Stdout = writerFunc(func(p []byte) (int, error) {
					cancel() // it is ready
					return out.Write(p)
				})
				r, err := recorder.Run(ctx, c)
				if err != nil {
					t.Fatal(err)
				}
				if r.Status != recorder.Cancelled || r.Success() {
					t.Errorf("got %s", r.Status)
				}
				mustBeGone(t, out.String())
			})
		}
	})
}

func TestTimeOut(t *testing.T) {
	scripts := map[string]string{
		"in time":                 `sleep 1000`,
		"stopped at the deadline": `kill -STOP $$`,
		"refusing to go":          `trap '' TERM; while :; do sleep 1000; done`,
		"going with success":      `trap 'exit 0' TERM; while :; do sleep 0.01; done`,
	}
	onEachMethod(t, func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		for name, script := range scripts {
			t.Run(name, func(t *testing.T) {
				c := prepare(shell(script))
				c.Timeout, c.Grace = 100*time.Millisecond, 50*time.Millisecond
				r := record(t, c)
				if r.Status != recorder.TimedOut || r.ExitStatus() != 124 || r.Success() {
					t.Errorf("got %s, exit status %d", r.Status, r.ExitStatus())
				}
				if r.WallTime < c.Timeout {
					t.Errorf("took %s", r.WallTime)
				}
			})
		}
	})
}

// mustBeGone checks that no process of that number is there, not as a zombie either.
func mustBeGone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(pid))
	if err != nil {
		t.Fatalf("no process number: %v", err)
	}
	if err := syscall.Kill(n, 0); !errors.Is(err, syscall.ESRCH) {
		stat, _ := os.ReadFile("/proc/" + strconv.Itoa(n) + "/stat")
		t.Errorf("process %d is still there (%v): %s", n, err, stat)
	}
}

func TestWhatIsLeftBehindIsEnded(t *testing.T) {
	onEachMethod(t, func(t *testing.T, prepare func(recorder.Command) recorder.Command) {
		c := prepare(shell(`setsid sleep 1000 & echo $!; exit 5`))
		out := output(&c)
		r := record(t, c)
		if r.ExitStatus() != 5 || r.LeftBehind != 1 {
			t.Errorf("exit status %d, %d left behind; want 5, 1", r.ExitStatus(), r.LeftBehind)
		}
		mustBeGone(t, out.String())
	})
}

func TestNoGroupIsLeftOver(t *testing.T) {
	record(t, shell("sleep 1000 & exit 0"))
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if strings.HasPrefix(entry.Name(), "sandtrail-"+strconv.Itoa(os.Getpid())+"-") {
			t.Errorf("left over: %s", path)
		}
		return nil // what vanishes meanwhile is not ours
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestCancelledBeatsTimedOut(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := shell("sleep 1000")
	c.Timeout = time.Hour
	r, err := recorder.Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != recorder.Cancelled || r.ExitStatus() != 143 || r.Success() {
		t.Errorf("got %s, exit status %d; want cancelled, 143", r.Status, r.ExitStatus())
	}
}

func TestForwardedSignals(t *testing.T) {
	// Started under nohup the tests ignore SIGHUP, in the background of a script
	// SIGINT, and so would the commands.
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGHUP, syscall.SIGINT)
	defer signal.Stop(ignored)
	tests := map[string]struct {
		script string
		signal os.Signal
		status recorder.Status
		exit   int
	}{
		"ends the command":            {`echo ready; exec sleep 1000`, syscall.SIGTERM, recorder.Cancelled, 143},
		"hang-up too":                 {`echo ready; exec sleep 1000`, syscall.SIGHUP, recorder.Cancelled, 129},
		"handled, told in the status": {`trap 'exit 130' INT; echo ready; while :; do sleep 0.01; done`, syscall.SIGINT, recorder.Cancelled, 130},
		"handled, and all is well":    {`trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done`, syscall.SIGTERM, recorder.Exited, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			signals := make(chan os.Signal, 1)
			c := shell(test.script)
			c.Signals = signals
			c.Timeout = time.Minute
			c.Stdout = writerFunc(func(p []byte) (int, error) {
				signals <- test.signal
				return len(p), nil
			})
			r := record(t, c)
			if r.Status != test.status || r.ExitStatus() != test.exit {
				t.Errorf("got %s, %d; want %s, %d", r.Status, r.ExitStatus(), test.status, test.exit)
			}
		})
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestExitAtTheDeadlineHasOneVerdict(t *testing.T) {
	for range 30 {
		c := shell("sleep 0.02")
		c.Timeout = 22 * time.Millisecond // around the time it takes
		r := record(t, c)
		switch r.Status {
		case recorder.Exited:
			if r.ExitStatus() != 0 || !r.Success() {
				t.Errorf("exited with %d, success %v", r.ExitStatus(), r.Success())
			}
		case recorder.TimedOut:
			if r.ExitStatus() != 124 || r.Success() {
				t.Errorf("timed out with %d, success %v", r.ExitStatus(), r.Success())
			}
		default:
			t.Errorf("got %s", r.Status)
		}
	}
}

func TestOutputPassesUnchanged(t *testing.T) {
	const size = 3 << 20
	c := self("pour", "3")
	out := output(&c)
	record(t, c)
	if out.Len() != size {
		t.Fatalf("%d bytes arrived, want %d", out.Len(), size)
	}
	for i, b := range out.Bytes() {
		if b != byte(i%(1<<20)*7) {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
}

func TestInputPasses(t *testing.T) {
	c := shell("cat")
	c.Stdin = strings.NewReader("said to it")
	out := output(&c)
	record(t, c)
	if out.String() != "said to it" {
		t.Errorf("got %q", out)
	}
}

func TestGigabyteOfOutputInConstantMemory(t *testing.T) {
	// Recorders of their own, so that no other test's memory is counted.
	peak := func(mib string) (bytes int64) {
		c := self("record-pour", mib)
		out := output(&c)
		record(t, c)
		var poured int64
		if _, err := fmt.Sscan(out.String(), &poured, &bytes); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if want := int64(number(mib)) << 20; poured != want {
			t.Errorf("%d bytes were counted, want %d", poured, want)
		}
		return bytes
	}
	if little, much := peak("64"), peak("1024"); much > little+16<<20 {
		t.Errorf("recording 64 MiB of output took %d MiB, recording 1 GiB %d MiB", little>>20, much>>20)
	}
}

func TestClosedDestinationReachesTheCommand(t *testing.T) {
	c := shell(`while echo more; do :; done 2>/dev/null; exit 9`)
	c.Stdout = writerFunc(func([]byte) (int, error) { return 0, syscall.EPIPE })
	if r := record(t, c); r.Signal != "SIGPIPE" && r.ExitStatus() != 9 {
		t.Errorf("got %s, exit status %d", r.Status, r.ExitStatus())
	}
}

func TestMebibyteOfArguments(t *testing.T) {
	args := make([]string, 16)
	for i := range args {
		args[i] = strings.Repeat("x", 64<<10)
	}
	c := self("arguments", args...)
	c.RecordArgs = true
	out := output(&c)
	r := record(t, c)
	if strings.TrimSpace(out.String()) != strconv.Itoa(1<<20) {
		t.Errorf("the command saw %s bytes", out)
	}
	if d := r.Draft("u", "s", "VALIDATION"); len(d.Metadata) > 64<<10 {
		t.Errorf("metadata of %d bytes", len(d.Metadata))
	}
}

func TestBinaryOutputIsRecordedAsText(t *testing.T) {
	c := shell(`printf 'a\000b\377c'; printf 'err' >&2`)
	c.RecordOutput = 100
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	r := record(t, c)
	if out.String() != "a\x00b\xffc" || errs.String() != "err" {
		t.Errorf("passed on %q and %q", out.String(), errs.String())
	}
	if r.Stdout.Tail != "a\uFFFDb\uFFFDc" || r.Stderr.Tail != "err" {
		t.Errorf("recorded %q and %q", r.Stdout.Tail, r.Stderr.Tail)
	}
}
