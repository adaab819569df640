package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// TestKilledImport ends "sandtrail record" with SIGKILL at 20 random lines,
// each time resumes it and at last lets it read the whole file: every line
// must be stored exactly once, though none has an id.
func TestKilledImport(t *testing.T) {
	const records, kills = 100_000, 20
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
				from := max(1, done-random.IntN(3*batchRecords))
				killAfter(t, database, file, from, min(records-1, done+1+random.IntN(2*records/kills)))
				if now := stored(t, database); now != done && (now-from+1)%batchRecords != 0 {
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

func sandtrailCommand(t *testing.T, database string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries(t), "sandtrail"), args...)
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
	store, err := openDatabase(context.Background(), database, postgres.Options{})
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
