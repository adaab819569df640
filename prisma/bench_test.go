//go:build linux

package prisma_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/bench"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/internal/testneed"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/server"
	"github.com/sandtrail/sandtrail/worker"
)

const (
	benchClients = 64
	benchOwners  = 10
	benchRecords = 16 * 1024 // of the server and of pgbench each time
	benchCreates = 1024      // of Prisma each time

	batchRecords  = 1000
	storeBatches  = 100 // of the store and of COPY each time
	prismaBatches = 20  // of Prisma each time
)

// BenchmarkSingleWrites stores records one at a time in the same table, whose
// commits reach the disk, in turns: through a server by 64 clients that each
// wait for the answer, by pgbench with 64 clients, and by Prisma's create, one
// after the other. It tells how many a second each stored, and the server's in
// per cent of the others'.
func BenchmarkSingleWrites(b *testing.B) {
	own := pgtest.NewOwn(b, "fsync=on")
	store := open(b, own.URL())
	_, err := store.Migrate(b.Context(), time.Now())
	check(b, err)
	putBenchOwners(b, store)
	clients := serveStore(b, store)
	app := startApp(b, buildApp(b), own.URL())
	var served, inserted, created time.Duration
	for b.Loop() {
		served += timed(func() { appendBy(b, clients) })
		inserted += timed(func() { runPgbench(b, own.URL()) })
		created += timed(func() { app.do(b, "createEach", benchData(benchCreates)) })
	}
	perSecond := func(records int, took time.Duration) float64 { return float64(records*b.N) / took.Seconds() }
	ours, pgbench, prisma := perSecond(benchRecords, served), perSecond(benchRecords, inserted), perSecond(benchCreates, created)
	b.ReportMetric(ours, "server/s")
	b.ReportMetric(pgbench, "pgbench/s")
	b.ReportMetric(prisma, "prisma/s")
	b.ReportMetric(100*ours/pgbench, "%-of-pgbench")
	b.ReportMetric(100*ours/prisma, "%-of-prisma")
}

// BenchmarkBatches stores records in batches of 1,000, one after the other, in
// turns: through a store while a server's upkeep goes on beside, by COPY into a
// plain table with the same indexes and foreign keys, and by Prisma's createMany
// into the store's table. It tells how many a second each stored, those of the
// store also until all are folded and sealed, and the store's in per cent of the
// others'.
func BenchmarkBatches(b *testing.B) {
	own := pgtest.NewOwn(b, "fsync=on")
	store := open(b, own.URL())
	_, err := store.Migrate(b.Context(), time.Now())
	check(b, err)
	putBenchOwners(b, store)
	plain, err := bench.OpenPostgres(b.Context(), own.URL(), true)
	check(b, err)
	b.Cleanup(func() { check(b, plain.Close(context.Background())) })
	app := startApp(b, buildApp(b), own.URL())
	var appended, folded, copied, created time.Duration
	for b.Loop() {
		folded += timed(func() {
			appended += timed(func() {
				beside(b, worker.Upkeep(store), func() {
					for range storeBatches {
						_, err := store.Append(b.Context(), benchBatch(b))
						check(b, err)
					}
				})
			})
			check(b, store.Maintain(b.Context(), time.Now()))
		})
		copied += timed(func() {
			for range storeBatches {
				batch := benchBatch(b)
				executions := make([]sandtrail.Execution, len(batch))
				for i, a := range batch {
					executions[i] = a.Execution
				}
				check(b, plain.Append(b.Context(), executions))
			}
		})
		created += timed(func() {
			for range prismaBatches {
				app.do(b, "createMany", benchData(batchRecords))
			}
		})
		check(b, store.Maintain(b.Context(), time.Now())) // what Prisma left
	}
	perSecond := func(batches int, took time.Duration) float64 {
		return float64(batches*batchRecords*b.N) / took.Seconds()
	}
	ours, bare, prisma := perSecond(storeBatches, appended), perSecond(storeBatches, copied), perSecond(prismaBatches, created)
	b.ReportMetric(ours, "store/s")
	b.ReportMetric(perSecond(storeBatches, folded), "folded/s")
	b.ReportMetric(bare, "COPY/s")
	b.ReportMetric(prisma, "createMany/s")
	b.ReportMetric(100*ours/bare, "%-of-COPY")
	b.ReportMetric(100*ours/prisma, "%-of-createMany")
}

// BenchmarkOldNames reads a user's newest 50 executions of 50,000 and creates one
// through Prisma: by the client made before the log was adopted, through the view
// that has the old names, and by the new one, in turns.
func BenchmarkOldNames(b *testing.B) {
	const rows, rounds = 50_000, 100
	a := application{key: "text", unmapped: true, log: true}
	own := pgtest.NewOwn(b, "fsync=on")
	conn, err := pgx.Connect(b.Context(), own.URL())
	check(b, err)
	b.Cleanup(func() { conn.Close(context.Background()) })
	clients := b.TempDir()
	check(b, os.Symlink(a.packages(b), filepath.Join(clients, "node_modules")))
	e := tenant{startTenants(b), own.URL()}
	e.push(b, a.before(b))
	a.fill(b, conn, rows)
	e.generate(b, "", clients+"/before", a.before(b))
	e.generate(b, "", clients+"/after", a.after(b))
	store, err := postgres.Open(b.Context(), own.URL(), a.options())
	check(b, err)
	b.Cleanup(func() { store.Close() })
	_, err = store.Migrate(b.Context(), time.Now())
	check(b, err)
	check(b, store.Maintain(b.Context(), time.Now()))
	var sum [2]struct{ Read, Create float64 }
	for b.Loop() {
		for i, client := range []string{"/before", "/after"} {
			took := sum[i]
			e.call(b, "work", map[string]any{"dir": clients + client, "url": e.url, "user": a.id(1), "strategy": a.id(1), "rounds": rounds}, &took)
			sum[i].Read += took.Read
			sum[i].Create += took.Create
		}
	}
	for i, names := range []string{"old", "new"} {
		b.ReportMetric(sum[i].Read/float64(b.N), names+"-read-ms")
		b.ReportMetric(sum[i].Create/float64(b.N), names+"-create-ms")
	}
}

// beside does something while jobs are run as a server runs it.
func beside(b *testing.B, jobs []worker.Job, f func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	now := func(context.Context) (time.Time, error) { return time.Now(), nil }
	running.Go(func() {
		worker.Loop{Now: now, Log: slog.New(slog.DiscardHandler), Jobs: jobs}.Run(ctx)
	})
	f()
	cancel()
	running.Wait()
}

// benchBatch is a batch of new records.
func benchBatch(b *testing.B) []sandtrail.Admitted {
	b.Helper()
	drafts := make([]sandtrail.Draft, batchRecords)
	for i := range drafts {
		drafts[i] = benchDraft(i)
	}
	batch, err := sandtrail.Admission{Now: time.Now()}.Admit(drafts...)
	check(b, err)
	return batch
}

func benchDraft(i int) sandtrail.Draft {
	return sandtrail.Draft{
		UserID: benchOwner("u", i), StrategyID: benchOwner("s", i), Type: sandtrail.Validation,
		Success: new(true), ExecutionTime: new(1000 + i), MemoryUsed: new(48), CPUUsage: new(97.5),
	}
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func putBenchOwners(b *testing.B, store *postgres.Store) {
	b.Helper()
	for i := range benchOwners {
		check(b, store.PutUser(b.Context(), sandtrail.User{ID: benchOwner("u", i), Email: benchOwner("u", i) + "@example.com"}))
		check(b, store.PutStrategy(b.Context(), sandtrail.Strategy{ID: benchOwner("s", i), Name: benchOwner("Strategy ", i)}))
	}
}

func benchOwner(prefix string, i int) string { return prefix + strconv.Itoa(i%benchOwners) }

// serveStore serves a store as `sandtrail serve` does and returns clients that
// have a key each.
func serveStore(b *testing.B, store *postgres.Store) []*client.Client {
	b.Helper()
	s, err := server.New(server.Config{
		Writers: 2, Store: store,
		Retention: sandtrail.Periods{Keep: sandtrail.DefaultRetention},
	})
	check(b, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	listening := httptest.NewServer(s.Handler())
	b.Cleanup(func() {
		listening.Close()
		stop()
		running.Wait()
	})
	clients := make([]*client.Client, benchClients)
	for i := range clients {
		key, secret := auth.NewKey(fmt.Sprint("runner-", i), auth.RoleIngest, "", time.Now())
		check(b, store.CreateKey(b.Context(), key))
		clients[i], err = client.Open(listening.URL, secret)
		check(b, err)
		b.Cleanup(func() { clients[i].Close() })
	}
	return clients
}

// appendBy has every client store its share of the records, one after the
// other.
func appendBy(b *testing.B, clients []*client.Client) {
	b.Helper()
	var writers sync.WaitGroup
	for _, c := range clients {
		writers.Go(func() {
			for i := range benchRecords / benchClients {
				batch, err := sandtrail.Admission{Now: time.Now()}.Admit(benchDraft(i))
				if err == nil {
					_, err = c.Append(b.Context(), batch)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
}

// runPgbench inserts the same records by as many clients of pgbench.
func runPgbench(b *testing.B, databaseURL string) {
	b.Helper()
	dir := b.TempDir()
	write(b, dir, "insert.sql", fmt.Sprintf(`\set i random(0, %d)
INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, memory_used, cpu_usage)
VALUES ('u' || :i %% %d, 's' || :i %% %[2]d, 'VALIDATION', true, 1000 + :i, 48, 97.5);
`, benchRecords/benchClients-1, benchOwners))
	cmd := exec.CommandContext(b.Context(), testneed.Program(b, "postgresql", "pgbench"),
		"--no-vacuum", "--protocol=prepared", "--client", strconv.Itoa(benchClients), "--jobs=2",
		"--transactions", strconv.Itoa(benchRecords/benchClients), "--file", filepath.Join(dir, "insert.sql"), databaseURL)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("pgbench: %v\n%s", err, out)
	}
}

// benchData are records as an application passes them to Prisma.
func benchData(n int) []data {
	list := make([]data, n)
	for i := range list {
		list[i] = data{
			"userId": benchOwner("u", i), "strategyId": benchOwner("s", i), "executionType": "VALIDATION",
			"success": true, "executionTime": 1000 + i, "memoryUsed": 48, "cpuUsage": 97.5,
		}
	}
	return list
}
