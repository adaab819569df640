package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/sqlite"
)

// TestManyRecordersAtOnce starts recorders without waiting for any, against
// one database and one outbox: every run is stored, once. What a recorder
// could not deliver in time a later one does, or a flush afterwards.
func TestManyRecordersAtOnce(t *testing.T) {
	n := crowd(t)
	for name, newDatabase := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "sandtrail.db") },
		"PostgreSQL": func(t *testing.T) string { return pgtest.New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			database, outbox := newDatabase(t), t.TempDir()
			prepare(t, database)
			recorders := make([]*exec.Cmd, n)
			said := make([]bytes.Buffer, n)
			for i := range recorders {
				recorders[i] = sandtrailCommand(t, database, "exec", "--user", "ada", "--strategy", "momentum",
					"--outbox", outbox, "--record-args", "--", "true", strconv.Itoa(i))
				recorders[i].Stderr = &said[i]
				if err := recorders[i].Start(); err != nil {
					t.Fatal(err)
				}
			}
			complained := 0
			for i, recorder := range recorders {
				if err := recorder.Wait(); err != nil {
					t.Errorf("recorder %d: %v\n%s", i, err, &said[i])
				}
				if said[i].Len() > 0 {
					complained++
				}
			}
			if out, err := sandtrailCommand(t, database, "outbox", "flush", "--outbox", outbox).CombinedOutput(); err != nil {
				t.Errorf("flush: %v\n%s", err, out)
			}
			stored := countByArgument(t, database)
			for i := range n {
				if got := stored[strconv.Itoa(i)]; got != 1 {
					t.Errorf("run %d is stored %d times; its recorder said: %s", i, got, &said[i])
				}
			}
			if len(stored) != n {
				t.Errorf("%d runs are stored, want %d", len(stored), n)
			}
			t.Logf("%d of %d recorders had something to complain of", complained, n)
		})
	}
}

// crowd is how many recorders there are.
func crowd(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SANDTRAIL_TEST_RECORDERS")
	if text == "" {
		return 40
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("SANDTRAIL_TEST_RECORDERS: %v", err)
	}
	return n
}

// countByArgument counts the runs by the first argument of their command.
func countByArgument(t *testing.T, database string) map[string]int {
	t.Helper()
	ctx := context.Background()
	store, err := openDatabase(ctx, database, postgres.Options{}, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	count := map[string]int{}
	for q := (sandtrail.Query{Limit: sandtrail.MaxLimit}); ; {
		page, err := store.Executions(ctx, q, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			var m struct{ Run struct{ Args []string } }
			if err := json.Unmarshal(e.Metadata, &m); err != nil || len(m.Run.Args) != 1 {
				t.Fatalf("%v: %s", err, e.Metadata)
			}
			count[m.Run.Args[0]]++
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return count
		}
	}
}
