//go:build linux

package recorder_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sandtrail/sandtrail/recorder"
)

// The test binary is also the programs that the tests record.
const (
	roleVariable = "RECORDER_TEST_ROLE"
	// orphanVariable makes a role begin when its parent has gone: descriptor
	// orphanDescriptor ends then.
	orphanVariable   = "RECORDER_TEST_ORPHAN"
	orphanDescriptor = 4
)

// held is open as long as this process lives.
var held *os.File

// sharedFile is memory that the processes of shareAmong have in common.
var sharedFile *os.File

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if os.Getenv(orphanVariable) != "" {
		_ = os.Unsetenv(orphanVariable)
		_, _ = io.Copy(io.Discard, os.NewFile(orphanDescriptor, "parent"))
	}
	roles[role](os.Args[1:])
	if os.Getenv("TELL_CPU") != "" {
		tell("cpu", int64(cpuTime()))
	}
}

var roles = map[string]func(args []string){
	"allocate":    func(args []string) { allocate(number(args[0])) },
	"allocate4":   func(args []string) { together(4, "allocate", args[0]) },
	"write-file":  func(args []string) { writeFile(args[0], number(args[1])) },
	"read-file":   func(args []string) { readFile(args[0]) },
	"map-file":    func(args []string) { mapFile(args[0]) },
	"share4":      func(args []string) { shareAmong(4, number(args[0])) },
	"shared":      func([]string) { shared() },
	"huge":        func(args []string) { huge(number(args[0])) },
	"spike":       func(args []string) { spike(number(args[0]), number(args[1])) },
	"burn":        func(args []string) { burn(number(args[0]), number(args[1])) },
	"quota":       func([]string) { fmt.Println(quota()) },
	"sleep":       func([]string) { <-time.After(300 * time.Millisecond) },
	"daemon":      daemon,
	"nothing":     func([]string) {},
	"forkbomb":    forkBomb,
	"pour":        func(args []string) { pour(int64(number(args[0])) << 20) },
	"record-pour": recordPour,
	"arguments":   func(args []string) { fmt.Println(len(strings.Join(args, ""))) },

	"record-full":      recordFull,
	"record-panicking": recordPanicking,
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

// tell writes what this process truly used, for the test to add up.
func tell(what string, value int64) { fmt.Println(what, value) }

// allocate touches as many MiB, tells, and waits for the end of its input, so
// that several can be there at once.
func allocate(mib int) {
	mem := anonymous(mib)
	touch(mem)
	tell("memory", ownMemory())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// anonymous maps as many MiB.
func anonymous(mib int) []byte {
	mem, err := syscall.Mmap(-1, 0, mib<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	return mem
}

func touch(mem []byte) (sum byte) {
	for i := 0; i < len(mem); i += 4096 {
		mem[i]++
		sum += mem[i]
	}
	return sum
}

// writeFile writes as many MiB. On a tmpfs they are memory that it holds.
func writeFile(path string, mib int) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	chunk := make([]byte, 1<<20)
	for range mib {
		if _, err := f.Write(chunk); err != nil {
			panic(err)
		}
	}
	held := ownMemory()
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		panic(err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		held += int64(mib) << 20
	}
	tell("memory", held)
}

func readFile(path string) {
	f, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		panic(err)
	}
	tell("memory", ownMemory())
}

func mapFile(path string) {
	f, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	info, err := f.Stat()
	if err != nil {
		panic(err)
	}
	mem, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	var sum byte
	for i := 0; i < len(mem); i += 4096 {
		sum += mem[i]
	}
	tell("memory", ownMemory()+int64(sum))
}

// shareAmong has n processes touch the same memory, all of them at once.
func shareAmong(n, mib int) {
	fd, err := unix.MemfdCreate("shared", 0)
	if err != nil {
		panic(err)
	}
	sharedFile = os.NewFile(uintptr(fd), "shared")
	if err := sharedFile.Truncate(int64(mib) << 20); err != nil {
		panic(err)
	}
	tell("memory", int64(mib)<<20)
	together(n, "shared")
}

// shared touches the memory of descriptor 3.
func shared() {
	f := os.NewFile(3, "shared")
	info, err := f.Stat()
	if err != nil {
		panic(err)
	}
	mem, err := syscall.Mmap(3, 0, int(info.Size()), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	touch(mem)
	tell("memory", ownMemory())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func huge(mib int) {
	mem := anonymous(mib)
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE) // refused where the kernel has none
	touch(mem)
	tell("memory", ownMemory())
}

// spike holds as many MiB for as many ms, and lives on for a while without.
func spike(mib, ms int) {
	mem := anonymous(mib)
	touch(mem)
	tell("memory", ownMemory())
	<-time.After(time.Duration(ms) * time.Millisecond)
	_ = syscall.Munmap(mem)
	<-time.After(100 * time.Millisecond)
}

// ownMemory is what this process holds for itself, in bytes.
func ownMemory() int64 { return statusBytes("RssAnon:") }

// statusBytes is a figure of what the kernel says of this process.
func statusBytes(name string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(status), name)
	return int64(number(strings.Fields(rest)[0])) << 10
}

// together runs n processes of a role at once: each has told before any ends.
func together(n int, role string, args ...string) {
	var ends []io.Closer
	var cmds []*exec.Cmd
	for range n {
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), roleVariable+"="+role)
		if sharedFile != nil {
			cmd.ExtraFiles = []*os.File{sharedFile}
		}
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			panic(err)
		}
		fmt.Print(line)
		ends, cmds = append(ends, in), append(cmds, cmd)
	}
	tell("memory", ownMemory())
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

// quota is how many cores the cgroup of this process may use; 0: it was not found.
func quota() float64 {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for _, hierarchy := range []string{"", "unified", parts[1]} {
			dir := filepath.Join("/sys/fs/cgroup", hierarchy, parts[2])
			limit, _ := os.ReadFile(filepath.Join(dir, "cpu.max"))
			if len(limit) == 0 {
				used, _ := os.ReadFile(filepath.Join(dir, "cpu.cfs_quota_us"))
				period, _ := os.ReadFile(filepath.Join(dir, "cpu.cfs_period_us"))
				limit = append(append(used, ' '), period...)
			}
			var used, period float64
			if n, _ := fmt.Sscan(string(limit), &used, &period); n == 2 && used > 0 {
				return used / period
			}
		}
	}
	return 0
}

// daemon plays a role in a grandchild with a session of its own whose parent
// is gone, and ends when the grandchild has: the pipe that it holds says so.
func daemon(args []string) {
	const inBetween, end = "IN_BETWEEN", 3
	if os.Getenv(inBetween) == "" {
		tell("memory", ownMemory()) // this process stays
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Stdout = os.Stdout
	if os.Getenv(inBetween) != "" {
		cmd.Args = append(cmd.Args[:1], args[1:]...)
		cmd.Env = append(os.Environ(), roleVariable+"="+args[0])
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		var gone *os.File
		var err error
		if gone, held, err = os.Pipe(); err != nil {
			panic(err)
		}
		cmd.Env = append(cmd.Env, orphanVariable+"=1")
		cmd.ExtraFiles = []*os.File{os.NewFile(end, "end"), gone}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		return
	}
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	cmd.Env = append(os.Environ(), inBetween+"=1")
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Run(); err != nil {
		panic(err)
	}
	w.Close()
	_, _ = io.Copy(io.Discard, r)
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

// recordPour records the role pour and says how many bytes that wrote and how
// many this process held at its peak.
func recordPour(args []string) {
	c := self("pour", args[0])
	c.RecordOutput = 1000
	r, err := recorder.Run(context.Background(), c)
	if err != nil {
		panic(err)
	}
	fmt.Println(r.Stdout.Bytes, statusBytes("VmHWM:"))
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
func methods(t *testing.T) []recorder.Method {
	t.Helper()
	return offered()
}

var offered = sync.OnceValue(func() (offered []recorder.Method) {
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
})

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
