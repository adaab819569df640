//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/runner"
)

// BenchmarkStart starts both programs as scripts/build makes them beside a Go
// program that prints a line and beside the bare command, in turn, so that all
// meet the same machine. It reports the quickest and the median start, by the clock
// and, where other work keeps the cores busy, in CPU time.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	command := func(name string, args ...string) {
		b.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	hello := filepath.Join(dir, "hello.go")
	if err := os.WriteFile(hello, []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "hello"), hello)
	command("../../scripts/build", dir)
	record := " --user ada --strategy momentum --record-file " + filepath.Join(dir, "record.json") + " -- true"
	starts := []struct {
		name, words string
		walls, cpus []time.Duration
		faults      int64
	}{
		{name: "true", words: "/bin/true"},
		{name: "hello", words: dir + "/hello"},
		{name: "sandtrail-exec_version", words: dir + "/sandtrail-exec --version"},
		{name: "sandtrail-exec_true", words: dir + "/sandtrail-exec" + record},
		{name: "sandtrail_version", words: dir + "/sandtrail version"},
		{name: "sandtrail_exec_true", words: dir + "/sandtrail exec" + record},
	}
	for range max(b.N, 40) {
		for i := range starts {
			words := strings.Fields(starts[i].words)
			c := exec.Command(words[0], words[1:]...)
			began := time.Now()
			if err := c.Run(); err != nil {
				b.Fatalf("%s: %v", starts[i].words, err)
			}
			starts[i].walls = append(starts[i].walls, time.Since(began))
			starts[i].cpus = append(starts[i].cpus, c.ProcessState.UserTime()+c.ProcessState.SystemTime())
			starts[i].faults = c.ProcessState.SysUsage().(*syscall.Rusage).Minflt
		}
	}
	b.ReportMetric(0, "ns/op") // of all of them together says nothing
	for _, s := range starts {
		for what, times := range map[string][]time.Duration{"": s.walls, "-cpu": s.cpus} {
			slices.Sort(times)
			b.ReportMetric(times[0].Seconds()*1e3, s.name+what+"-min-ms")
			b.ReportMetric(times[len(times)/2].Seconds()*1e3, s.name+what+"-ms")
		}
		b.ReportMetric(float64(s.faults), s.name+"-faults")
	}
}

// TestSmallProgramHasTheFlagsOfExec keeps a flag of one program from being
// missing in the other.
func TestSmallProgramHasTheFlagsOfExec(t *testing.T) {
	out, err := exec.Command(small(t), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	parser, _, err := newParser([]string{"exec"}, &deps{})
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range parser.Model.Children[0].AllFlags(true) {
		for _, f := range group {
			if f.Name != "help" && f.Name != "version" && !strings.Contains(string(out), "\n  --"+f.Name) {
				t.Errorf("sandtrail-exec has no --%s", f.Name)
			}
		}
	}
	if !strings.Contains(string(out), runner.ExamplesFor("sandtrail-exec")[0]) {
		t.Errorf("no examples: %s", out)
	}
}
