package recorder_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sandtrail/sandtrail/recorder"
)

// The test binary is also the programs that the tests record.
const roleVariable = "RECORDER_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		goleak.VerifyTestMain(m)
		return
	}
	roles[role](os.Args[1:])
}

var roles = map[string]func(args []string){
	"allocate":  func(args []string) { allocate(number(args[0])) },
	"allocate4": func(args []string) { children(4, "allocate", args[0]) },
	"burn":      func(args []string) { burn(1, number(args[0])) },
	"burn4":     func(args []string) { burn(4, number(args[0])) },
	"daemon":    daemon,
	"stubborn":  stubborn,
	"stop":      func([]string) { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) },
	"forkbomb":  forkBomb,
	"pour":      func(args []string) { pour(int64(number(args[0])) << 20) },
	"arguments": func(args []string) { fmt.Println(len(strings.Join(args, ""))) },
}

// self is a command that plays a role.
func self(role string, args ...string) recorder.Command {
	return recorder.Command{
		Args: append([]string{os.Args[0]}, args...),
		Env:  append(os.Environ(), roleVariable+"="+role),
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

// allocate touches as many MiB, tells, and waits for the end of its input if
// somebody will tell it when, so that several are there at once.
func allocate(mib int) {
	mem, err := syscall.Mmap(-1, 0, mib<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(mem); i += 4096 {
		mem[i] = 1
	}
	fmt.Println("touched")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// children runs n of a role at once: each has done its work before any ends.
func children(n int, role string, args ...string) {
	var ends []io.Closer
	var cmds []*exec.Cmd
	for range n {
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), roleVariable+"="+role)
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("touched\n"))); err != nil {
			panic(err)
		}
		ends, cmds = append(ends, in), append(cmds, cmd)
	}
	for i, cmd := range cmds {
		ends[i].Close()
		_ = cmd.Wait()
	}
}

// burn uses as many ms of CPU time in all, in as many threads.
func burn(threads, ms int) {
	var all sync.WaitGroup
	for range threads {
		all.Go(func() {
			for cpuTime() < time.Duration(ms)*time.Millisecond {
			}
		})
	}
	all.Wait()
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// daemon plays a role in a grandchild that has a session of its own and whose
// parent is gone, and ends when the grandchild has: what it writes to the pipe
// it inherits says so.
func daemon(args []string) {
	r, w, _ := os.Pipe()
	grandchild := exec.Command(os.Args[0], args[1:]...)
	grandchild.Env = append(os.Environ(), roleVariable+"="+args[0])
	grandchild.ExtraFiles = []*os.File{w}
	grandchild.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Getenv("IN_BETWEEN") == "" {
		between := exec.Command(os.Args[0], args...)
		between.Env = append(os.Environ(), "IN_BETWEEN=1")
		between.Stdout = os.Stdout
		between.ExtraFiles = []*os.File{w}
		if err := between.Run(); err != nil {
			panic(err)
		}
		w.Close()
		_, _ = io.Copy(io.Discard, r)
		return
	}
	grandchild.ExtraFiles = []*os.File{os.NewFile(3, "end")}
	if err := grandchild.Start(); err != nil {
		panic(err)
	}
}

// stubborn ignores what can be ignored, says its number, and stays.
func stubborn([]string) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	fmt.Println(os.Getpid())
	select {}
}

// forkBomb starts processes until it is not allowed to, says how many it
// could, and ends without waiting for them.
func forkBomb([]string) {
	for n := 0; ; n++ {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil || n == 10_000 {
			fmt.Println(n)
			return
		}
	}
}

func pour(bytes int64) {
	chunk := make([]byte, 1<<20)
	for i := range chunk {
		chunk[i] = byte(i * 7)
	}
	for ; bytes > 0; bytes -= int64(len(chunk)) {
		if _, err := os.Stdout.Write(chunk); err != nil {
			os.Exit(1)
		}
	}
}

// record runs a command and fails the test if it was not even tried.
func record(t *testing.T, c recorder.Command) recorder.Result {
	t.Helper()
	r, err := recorder.Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func shell(script string) recorder.Command {
	return recorder.Command{Args: []string{"sh", "-c", script}}
}

// methods are all that this host offers.
func methods(t *testing.T) (offered []recorder.Method) {
	t.Helper()
	all := []recorder.Method{
		recorder.CgroupV2, recorder.CgroupHybrid, recorder.CgroupV1, recorder.CgroupSampling, recorder.Sampling,
	}
	for _, method := range all {
		c := shell("exit 0")
		c.Method = method
		if _, err := recorder.Run(context.Background(), c); err == nil {
			offered = append(offered, method)
		}
	}
	return offered
}

// onEachMethod runs a test for each method that this host offers.
func onEachMethod(t *testing.T, test func(t *testing.T, prepare func(recorder.Command) recorder.Command)) {
	t.Helper()
	for _, method := range methods(t) {
		t.Run(string(method), func(t *testing.T) {
			test(t, func(c recorder.Command) recorder.Command {
				c.Method, c.OwnProcess = method, true
				return c
			})
		})
	}
}

// output collects what a command writes.
func output(c *recorder.Command) *bytes.Buffer {
	var buf bytes.Buffer
	c.Stdout = &buf
	return &buf
}
