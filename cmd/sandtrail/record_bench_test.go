//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/bench"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/internal/sample"
	"github.com/sandtrail/sandtrail/storetest"
)

// benchSize is of how many executions a benchmark is made.
func benchSize(b *testing.B) int {
	given := os.Getenv(storetest.SearchSizeEnv)
	if given == "" {
		return 200_000
	}
	size, err := strconv.Atoi(given)
	check(b, err)
	return size
}

// benchDatabase is a PostgreSQL of its own whose commits reach the disk, with the
// users and strategies of the samples.
func benchDatabase(b *testing.B) string {
	url := pgtest.NewOwn(b, "fsync=on").URL()
	command(b, 0, "migrate", "--db", url)
	owners := sample.New(sample.Options{})
	for noun, list := range map[string][]any{"users": asAny(owners.Users()), "strategies": asAny(owners.Strategies())} {
		path := filepath.Join(b.TempDir(), noun)
		var lines bytes.Buffer
		for _, one := range list {
			line, err := sandtrail.EncodeJSON(one)
			check(b, err)
			lines.Write(append(line, '\n'))
		}
		check(b, os.WriteFile(path, lines.Bytes(), 0o600))
		command(b, 0, noun, "import", path, "--db", url)
	}
	return url
}

func asAny[T any](list []T) []any {
	all := make([]any, len(list))
	for i := range list {
		all[i] = list[i]
	}
	return all
}

// benchDrafts are executions of the last 30 days, others each time.
func benchDrafts(seed, size int) *sample.Sample {
	until := time.Now().Truncate(time.Millisecond)
	return sample.New(sample.Options{Seed: uint64(seed), Executions: size, Since: until.AddDate(0, 0, -30), Until: until})
}

// ndjsonOf writes executions one a line.
func ndjsonOf(b *testing.B, drafts *sample.Sample) []byte {
	var lines bytes.Buffer
	for d := range drafts.Drafts() {
		line, err := d.MarshalJSON()
		check(b, err)
		lines.Write(append(line, '\n'))
	}
	return lines.Bytes()
}

// csvOf writes executions as columns of their table.
func csvOf(b *testing.B, drafts *sample.Sample) []byte {
	var rows bytes.Buffer
	out := csv.NewWriter(&rows)
	for batch, err := range drafts.Admit(1000) {
		check(b, err)
		for _, a := range batch {
			e := a.Execution
			row := []string{
				e.ID.String(), e.UserID, e.StrategyID, string(e.Type), strconv.FormatBool(e.Success), strconv.Itoa(e.ExecutionTime),
				"", "", strconv.FormatBool(e.TimedOut), strconv.Itoa(e.ErrorCount), strconv.Itoa(e.WarningCount), "", string(e.Metadata),
				e.CreatedAt.Format(time.RFC3339Nano),
			}
			if e.MemoryUsed != nil {
				row[6] = strconv.Itoa(*e.MemoryUsed)
			}
			if e.CPUUsage != nil {
				row[7] = strconv.FormatFloat(*e.CPUUsage, 'g', -1, 64)
			}
			if classes := database.JoinClasses(e.Classes); classes != nil {
				row[11] = *classes
			}
			check(b, out.Write(row))
		}
	}
	out.Flush()
	check(b, out.Error())
	return rows.Bytes()
}

// processor is the time that this process has computed.
func processor() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // it cannot fail
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkRecord stores executions from a file of NDJSON by the command record,
// until they are folded and sealed, and the same ones by psql's \copy into a
// plain table with the same indexes and foreign keys, in turns, each commit on
// disk. It tells how many a second each stored, the command's in per cent of the
// other's, and the processor time of the command for one.
func BenchmarkRecord(b *testing.B) {
	size, url := benchSize(b), benchDatabase(b)
	plain, err := bench.OpenPostgres(b.Context(), url, true)
	check(b, err)
	b.Cleanup(func() { check(b, plain.Close(context.Background())) })
	lines, rows := filepath.Join(b.TempDir(), "runs.ndjson"), filepath.Join(b.TempDir(), "runs.csv")
	var recorded, copied, computed time.Duration
	turns := 0
	for b.Loop() {
		b.StopTimer()
		turns++
		drafts := benchDrafts(turns, size)
		check(b, os.WriteFile(lines, ndjsonOf(b, drafts), 0o600))
		check(b, os.WriteFile(rows, csvOf(b, drafts), 0o600))
		began := time.Now()
		out, err := exec.Command("psql", url, "-c", `\copy sandtrail_bench.logs FROM '`+rows+`' WITH (FORMAT csv)`).CombinedOutput()
		if err != nil {
			b.Fatalf("psql: %v: %s", err, out)
		}
		copied += time.Since(began)
		before := processor()
		began = time.Now()
		b.StartTimer()
		command(b, 0, "record", lines, "--db", url)
		recorded += time.Since(began)
		computed += processor() - before
	}
	stored := float64(size * turns)
	b.ReportMetric(stored/recorded.Seconds(), "record/s")
	b.ReportMetric(stored/copied.Seconds(), "copy/s")
	b.ReportMetric(100*copied.Seconds()/recorded.Seconds(), "%-of-copy")
	b.ReportMetric(float64(computed.Microseconds())/stored, "cpu-µs/record")
}

// BenchmarkStream sends executions to a server on PostgreSQL as one stream of
// NDJSON, and as many by four senders of arrays of 1,000, in turns, each commit
// on disk. It tells how many a second each stored, and the stream's in per cent
// of the senders'.
func BenchmarkStream(b *testing.B) {
	size, url := benchSize(b), benchDatabase(b)
	s := startServe(b, url)
	bounded := http.Client{Timeout: 10 * time.Minute}
	post := func(kind string, body []byte) {
		response, err := bounded.Post(s.url+"/v1/executions", kind, bytes.NewReader(body))
		check(b, err)
		defer response.Body.Close()
		if said, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusCreated {
			b.Errorf("status %d: %.500s", response.StatusCode, said)
		}
	}
	var streamed, sent time.Duration
	turns := 0
	for b.Loop() {
		b.StopTimer()
		turns++
		lines := ndjsonOf(b, benchDrafts(2*turns, size))
		bodies := make(chan []byte, size/1000+1)
		for array := range arraysOf(ndjsonOf(b, benchDrafts(2*turns+1, size)), 1000) {
			bodies <- array
		}
		close(bodies)
		var senders sync.WaitGroup
		began := time.Now()
		for range 4 {
			senders.Go(func() {
				for body := range bodies {
					post("application/json", body)
				}
			})
		}
		senders.Wait()
		sent += time.Since(began)
		began = time.Now()
		b.StartTimer()
		post("application/x-ndjson", lines)
		streamed += time.Since(began)
	}
	stored := float64(size * turns)
	b.ReportMetric(stored/streamed.Seconds(), "stream/s")
	b.ReportMetric(stored/sent.Seconds(), "senders/s")
	b.ReportMetric(100*sent.Seconds()/streamed.Seconds(), "%-of-senders")
}

// arraysOf makes arrays of so many lines.
func arraysOf(lines []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		all := bytes.Split(bytes.TrimSpace(lines), []byte("\n"))
		for at := 0; at < len(all); at += size {
			part := bytes.Join(all[at:min(at+size, len(all))], []byte(","))
			if !yield(fmt.Appendf(nil, "[%s]", part)) {
				return
			}
		}
	}
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
