package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ingest"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/sqlite"
)

// TestKilledImport ends "sandtrail record" with SIGKILL at 20 random lines,
// each time resumes it and at last lets it read the whole file: every line
// must be stored exactly once, though none has an id.
func TestKilledImport(t *testing.T) {
	const records, kills = 40_000, 20
	file := filepath.Join(t.TempDir(), "runs.ndjson")
	writeLines(t, file, records)
	for name, newDatabase := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "sandtrail.db") },
		"PostgreSQL": func(t *testing.T) string { return pgtest.New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := newDatabase(t)
			prepare(t, database)
			random := rand.New(rand.NewPCG(1, 2))
			for range kills {
				done := stored(t, database)
				// It resumes somewhere before what is missing.
				from := max(1, done-random.IntN(3*ingest.BatchRecords))
				killAfter(t, database, file, from, min(records-1, done+1+random.IntN(2*records/kills)))
				if now := stored(t, database); now != done && (now-from+1)%ingest.BatchRecords != 0 {
					t.Errorf("resumed at line %d, it left %d records: a batch is half written", from, now)
				}
			}
			if out, err := sandtrailCommand(t, database, "record", file).CombinedOutput(); err != nil {
				t.Fatalf("the last import: %v\n%s", err, out)
			}
			if got := stored(t, database); got != records {
				t.Errorf("%d records after %d kills, want %d", got, kills, records)
			}
		})
	}
}

// TestKilledExport ends "sandtrail export" with SIGKILL while it writes its
// file, and again as it goes on with it: in the end file and manifest say what
// those of an export do that nobody disturbed.
func TestKilledExport(t *testing.T) {
	const records = 30_000
	dir := t.TempDir()
	database := "sqlite:" + filepath.Join(dir, "sandtrail.db")
	prepare(t, database)
	lines := filepath.Join(dir, "runs.ndjson")
	writeLines(t, lines, records)
	export := func(to string, more ...string) *exec.Cmd {
		return sandtrailCommand(t, database, append([]string{
			"export", "--to", filepath.Join(dir, to), "--manifest", filepath.Join(dir, to+".manifest"), "--ledger-key", filepath.Join(dir, "key"),
		}, more...)...)
	}
	for _, cmd := range []*exec.Cmd{sandtrailCommand(t, database, "record", lines), export("whole")} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	whole := readFile(t, filepath.Join(dir, "whole"))
	for killed, going := 0, []string(nil); killed < 4; {
		if killWhenWritten(t, export("cut", going...), filepath.Join(dir, "cut.part"), len(whole)*(1+2*killed)/10) {
			killed, going = killed+1, []string{"--resume"}
		} else {
			killed, going = 0, nil // it was faster than we are
		}
	}
	if out, err := export("cut", "--resume").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := readFile(t, filepath.Join(dir, "cut")); !bytes.Equal(got, whole) {
		t.Errorf("the export that was killed is another: %d bytes, want %d", len(got), len(whole))
	}
	keys, err := ledger.LoadKeys(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	var manifests [2]ledger.Manifest
	for i, of := range []string{"whole", "cut"} {
		m, err := keys.OpenManifest(readFile(t, filepath.Join(dir, of+".manifest")))
		if err != nil {
			t.Fatal(err)
		}
		m.At = time.Time{} // when it was signed
		manifests[i] = m
	}
	if manifests[0] != manifests[1] {
		t.Errorf("its manifest is another:\n%+v\nwant\n%+v", manifests[1], manifests[0])
	}
}

// killWhenWritten starts a program and kills it once a file has so many bytes.
// It reports whether that was before the program's end.
func killWhenWritten(t *testing.T, cmd *exec.Cmd, file string, bytes int) bool {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v: %v", cmd.Args, err)
			}
			return false
		case <-again.C:
		}
		if info, err := os.Stat(file); err == nil && info.Size() >= int64(bytes) {
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	return <-ended != nil
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeLines(t *testing.T, file string, n int) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range n {
		// Many lines have the same content.
		fmt.Fprintf(w, `{"userId":"ada","strategyId":"momentum","executionType":"VALIDATION","success":true,"executionTime":%d}`+"\n", i%10)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// sandtrailCommand is the program as it is shipped. Under the race detector, which
// sees what happens within one process, it takes five to ten times as long:
// racingCommand has it where the goroutines of a process are what is tested.
func sandtrailCommand(t *testing.T, database string, args ...string) *exec.Cmd {
	t.Helper()
	program, err := largeProgram()
	if err != nil {
		t.Fatalf("build sandtrail: %v", err)
	}
	return programCommand(program, database, args)
}

// racingCommand is the program as the tests are compiled.
func racingCommand(t *testing.T, database string, args ...string) *exec.Cmd {
	t.Helper()
	return programCommand(filepath.Join(binaries(t), "sandtrail"), database, args)
}

func programCommand(program, database string, args []string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "SANDTRAIL_DB="+database, "SANDTRAIL_SERVER=")
	return cmd
}

func prepare(t *testing.T, database string) {
	t.Helper()
	for _, args := range [][]string{
		{"migrate"},
		{"users", "add", "ada", "--email", "ada@example.com"},
		{"strategies", "add", "momentum", "--name", "Momentum"},
	} {
		if out, err := sandtrailCommand(t, database, args...).CombinedOutput(); err != nil {
			t.Fatalf("sandtrail %v: %v\n%s", args, err, out)
		}
	}
}

// killAfter hands the import the first lines of the file and kills it while
// it waits for more: which lines are committed by then, the store decides.
func killAfter(t *testing.T, database, file string, from, lines int) {
	t.Helper()
	cmd := sandtrailCommand(t, database, "record", "-", "--import", file, "--from-line", strconv.Itoa(from))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	scanner, out := bufio.NewScanner(f), bufio.NewWriter(in)
	for i := 0; i < lines && scanner.Scan(); i++ {
		if _, err := out.WriteString(scanner.Text() + "\n"); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
}

func stored(t *testing.T, database string) int {
	t.Helper()
	store, err := openDatabase(context.Background(), database, postgres.Options{}, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	now := time.Now()
	stats, err := store.WindowStats(context.Background(), sandtrail.Window{Since: now.Add(-time.Hour), Until: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return int(stats.Total)
}
