//go:build linux

package recorder_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandtrail/sandtrail/recorder"
)

var update = flag.Bool("update", false, "write the table of figures into docs/recording.md")

// workloads use a known amount of memory or CPU time and tell how much.
var workloads = []struct {
	name   string
	figure string // what is compared
	role   string
	args   []string
}{
	{"100 MiB in one process", "memory", "allocate", []string{"100"}},
	{"40 MiB in each of four", "memory", "allocate4", []string{"40"}},
	{"100 MiB in a daemonised grandchild", "memory", "daemon", []string{"allocate", "100"}},
	{"40 MiB written to a file", "memory", "write-file", []string{onDisk, "40"}},
	{"40 MiB of a file read", "memory", "read-file", []string{onDisk}},
	{"40 MiB of a file mapped and read", "memory", "map-file", []string{onDisk}},
	{"40 MiB shared by four processes", "memory", "share4", []string{"40"}},
	{"40 MiB on a tmpfs", "memory", "write-file", []string{onTmpfs, "40"}},
	{"100 MiB in huge pages, where the kernel gives them", "memory", "huge", []string{"100"}},
	{"100 MiB for 20 ms", "memory", "spike", []string{"100", "20"}},
	{"500 ms in one thread", "cpu", "burn", []string{"1", "500"}},
	{"800 ms in four threads", "cpu", "burn", []string{"4", "800"}},
	{"500 ms in a daemonised grandchild", "cpu", "daemon", []string{"burn", "1", "500"}},
	{"nothing but sleep, 300 ms", "cpu", "sleep", nil},
}

// Arguments in whose place a workload gets the path of a file.
const (
	onDisk  = "@disk"
	onTmpfs = "@tmpfs"
)

// file makes the file that a workload is about, of 40 MiB unless it is to be in
// memory.
func file(t *testing.T, where string) *os.File {
	t.Helper()
	dir := ""
	for _, candidate := range map[string][]string{onDisk: {os.TempDir(), "/var/tmp"}, onTmpfs: {"/dev/shm", os.TempDir()}}[where] {
		var fs unix.Statfs_t
		if err := unix.Statfs(candidate, &fs); err == nil && (fs.Type == unix.TMPFS_MAGIC) == (where == onTmpfs) {
			dir = candidate
			break
		}
	}
	if dir == "" {
		t.Fatalf("there is no directory for %s", where)
	}
	f, err := os.CreateTemp(dir, "sandtrail-truth-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		_ = os.Remove(f.Name())
	})
	if where == onDisk {
		_, err = f.Write(make([]byte, 40<<20))
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// forget takes a file out of the page cache, so that whoever reads it next is
// charged for it, or empties it if it is in memory.
func forget(t *testing.T, f *os.File, where string) {
	t.Helper()
	var err error
	if where == onTmpfs {
		err = f.Truncate(0)
	} else {
		err = errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// truth adds up what the processes of a workload told about themselves.
func truth(t *testing.T, output, figure string) (total float64) {
	t.Helper()
	for line := range strings.Lines(output) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != figure {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		total += n / unit(figure)
	}
	return total
}

// unit turns bytes into MiB and nanoseconds into milliseconds.
func unit(figure string) float64 {
	if figure == "memory" {
		return 1 << 20
	}
	return float64(time.Millisecond)
}

func measured(r recorder.Result, figure string) (float64, bool) {
	switch {
	case figure == "memory" && r.MemoryPeak != nil:
		return float64(*r.MemoryPeak) / unit(figure), true
	case figure == "cpu" && r.CPUTime != nil:
		return float64(*r.CPUTime) / unit(figure), true
	}
	return 0, false
}

// isPromised says which figures docs/recording.md promises to be true.
func isPromised(method recorder.Method, figure string) bool {
	switch method {
	case recorder.CgroupV2, recorder.CgroupHybrid, recorder.CgroupV1:
		return true
	case recorder.CgroupSampling:
		return figure == "cpu"
	}
	return false
}

// tolerance is 5 %, but at least 2 MiB or 20 ms.
func tolerance(figure string, value float64) float64 {
	return max(value/20, map[string]float64{"memory": 2, "cpu": 20}[figure])
}

func TestFiguresAreTrue(t *testing.T) {
	var table bytes.Buffer
	fmt.Fprintln(&table, "| workload | method | true | Sandtrail | GNU time |\n|---|---|--:|--:|--:|")
	for _, w := range workloads {
		name := map[string]string{"memory": "MiB", "cpu": "ms"}[w.figure]
		args := slices.Clone(w.args)
		prepare := func() {}
		if len(args) > 0 && strings.HasPrefix(args[0], "@") {
			f := file(t, w.args[0])
			args[0], prepare = f.Name(), func() { forget(t, f, w.args[0]) }
		}
		gnu := "–"
		if *update { // it is for the table alone
			prepare()
			gnu = gnuTime(t, w.role, args, w.figure)
		}
		for _, method := range methods(t) {
			var want, got float64
			ok, near := false, false
			for tries := 0; !near && tries < 3; tries++ { // busy cores keep a recorder that samples from looking in time
				prepare()
				c := self(w.role, args...)
				c.Env = append(c.Env, "TELL_CPU=1")
				c.Method, c.OwnProcess = method, true
				out := output(&c)
				r := record(t, c)
				want = truth(t, out.String(), w.figure)
				got, ok = measured(r, w.figure)
				near = ok && math.Abs(got-want) <= tolerance(w.figure, want) || !isPromised(method, w.figure)
				if !near {
					t.Logf("%s, %s: measured %.1f %s, true are %.1f", w.name, method, got, name, want)
				}
			}
			if !near {
				t.Errorf("%s, %s: measured %.1f %s, true are %.1f, and not nearer in three tries", w.name, method, got, name, want)
			}
			shown := fmt.Sprintf("%.1f %s", got, name)
			if !ok {
				shown = "null"
			}
			fmt.Fprintf(&table, "| %s | `%s` | %.1f %s | %s | %s |\n", w.name, method, want, name, shown, gnu)
		}
	}
	t.Logf("\n%s", &table)
	if *update {
		writeTable(t, table.Bytes())
	}
}

// gnuTime is what GNU time says about a workload, "–" where there is none.
func gnuTime(t *testing.T, role string, args []string, figure string) string {
	t.Helper()
	path := "/usr/bin/time"
	if _, err := os.Stat(path); err != nil {
		return "–"
	}
	c := self(role, args...)
	cmd := exec.Command(path, append([]string{"-f", "%M %U %S"}, c.Args...)...)
	cmd.Env = c.Env
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var kib, user, system float64
	if _, err := fmt.Sscan(said.String(), &kib, &user, &system); err != nil {
		return "–" // another time
	}
	if figure == "memory" {
		return fmt.Sprintf("%.1f MiB", kib/1024)
	}
	return fmt.Sprintf("%.0f ms", 1000*(user+system))
}

// writeTable replaces what stands between the marks in the documentation.
func writeTable(t *testing.T, table []byte) {
	t.Helper()
	path := filepath.Join("..", "docs", "recording.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- figures -->\n", "<!-- end of figures -->"
	head, rest, ok := strings.Cut(string(page), begin)
	_, foot, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the marks for the table", path)
	}
	if err := os.WriteFile(path, []byte(head+begin+"\n"+string(table)+"\n"+end+foot), 0o600); err != nil {
		t.Fatal(err)
	}
}
