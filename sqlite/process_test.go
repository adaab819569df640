package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/sqlite"
)

// The environment of a recording process.
const (
	recordInto    = "SANDTRAIL_TEST_RECORD_INTO"    // the database
	recordBatches = "SANDTRAIL_TEST_RECORD_BATCHES" // how many; 0: until killed
)

const batchSize = 10

// recordUntilKilled is what a recording process does: it migrates, appends
// batches and writes a line for each that is acknowledged.
func recordUntilKilled(path string) (status int) {
	if err := recordBatchesInto(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func recordBatchesInto(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	limit, err := strconv.Atoi(os.Getenv(recordBatches))
	if err != nil {
		return err
	}
	s, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Migrate(ctx, noon); err != nil {
		return err
	}
	if err := s.PutUser(ctx, sandtrail.User{ID: "u", Email: "u@example.com"}); err != nil {
		return err
	}
	if err := s.PutStrategy(ctx, sandtrail.Strategy{ID: "s", Name: "S"}); err != nil {
		return err
	}
	for i := 0; limit == 0 || i < limit; i++ {
		if _, err := s.Append(ctx, batchOf(batchSize)); err != nil {
			return err
		}
		fmt.Println(i)
	}
	return nil
}

func batchOf(n int) []sandtrail.Admitted {
	drafts := make([]sandtrail.Draft, n)
	for i := range drafts {
		drafts[i] = sandtrail.Draft{
			UserID: "u", StrategyID: "s", Type: sandtrail.Validation, Success: new(i%3 > 0), ExecutionTime: new(i),
			CreatedAt: noon.Add(-time.Duration(i) * time.Hour),
		}
	}
	batch, err := sandtrail.Admission{Now: noon}.Admit(drafts...)
	if err != nil {
		panic(err) // the drafts above are valid
	}
	return batch
}

// startRecorder starts a process that records; its lines are what it was
// acknowledged.
func startRecorder(t *testing.T, path string, batches int) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), recordInto+"="+path, recordBatches+"="+strconv.Itoa(batches))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(io.Reader(out))
}

// TestManyProcesses lets processes create, migrate and fill one file at once.
func TestManyProcesses(t *testing.T) {
	path := t.TempDir() + "/new.db"
	const processes, batches = 12, 8
	var wg sync.WaitGroup
	for range processes {
		cmd, lines := startRecorder(t, path, batches)
		wg.Go(func() {
			for lines.Scan() {
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("a recording process: %v", err)
			}
		})
	}
	wg.Wait()
	expectCount(t, openAt(t, path), func(n int64) bool { return n == processes*batches*batchSize })
}

// TestKilledProcess kills recorders at many moments: what they had been
// acknowledged is there, and no half of a batch.
func TestKilledProcess(t *testing.T) {
	path := t.TempDir() + "/killed.db"
	acknowledged := 0
	for round := range 8 {
		cmd, lines := startRecorder(t, path, 0)
		for range 1 + 2*round {
			if !lines.Scan() {
				t.Fatal("the recorder ended by itself")
			}
			acknowledged++
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			acknowledged++
		}
		_ = cmd.Wait() // killed
	}
	s := openAt(t, path)
	expectCount(t, s, func(n int64) bool { return n >= int64(acknowledged*batchSize) && n%batchSize == 0 })
	expectSound(t, s)
}

func expectCount(t *testing.T, s *sqlite.Store, want func(int64) bool) {
	t.Helper()
	n, err := s.CountBefore(t.Context(), sandtrail.Before(noon.Add(time.Hour)))
	if err != nil || !want(n) {
		t.Errorf("%d executions are stored, %v", n, err)
	}
}

func expectSound(t *testing.T, s *sqlite.Store) {
	t.Helper()
	checks, err := s.Doctor(t.Context(), database.Deep, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if !c.OK {
			t.Errorf("doctor: %+v", c)
		}
	}
}
