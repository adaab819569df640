package prisma_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/internal/testneed"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/server"
)

const (
	benchClients = 64
	benchOwners  = 10
	benchRecords = 16 * 1024 // of the server and of pgbench each time
	benchCreates = 1024      // of Prisma each time
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
	for i := range benchOwners {
		check(b, store.PutUser(b.Context(), sandtrail.User{ID: benchOwner("u", i), Email: benchOwner("u", i) + "@example.com"}))
		check(b, store.PutStrategy(b.Context(), sandtrail.Strategy{ID: benchOwner("s", i), Name: benchOwner("Strategy ", i)}))
	}
	clients := serveStore(b, store)
	app := startApp(b, buildApp(b), own.URL())
	var served, inserted, created time.Duration
	for b.Loop() {
		served += timed(func() { appendBy(b, clients) })
		inserted += timed(func() { runPgbench(b, own.URL()) })
		created += timed(func() { app.do(b, "createEach", benchData()) })
	}
	perSecond := func(records int, took time.Duration) float64 { return float64(records*b.N) / took.Seconds() }
	ours, pgbench, prisma := perSecond(benchRecords, served), perSecond(benchRecords, inserted), perSecond(benchCreates, created)
	b.ReportMetric(ours, "server/s")
	b.ReportMetric(pgbench, "pgbench/s")
	b.ReportMetric(prisma, "prisma/s")
	b.ReportMetric(100*ours/pgbench, "%-of-pgbench")
	b.ReportMetric(100*ours/prisma, "%-of-prisma")
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func benchOwner(prefix string, i int) string { return prefix + strconv.Itoa(i%benchOwners) }

// serveStore serves a store as `sandtrail serve` does and returns clients that
// have a key each.
func serveStore(b *testing.B, store *postgres.Store) []*client.Client {
	b.Helper()
	s, err := server.New(server.Config{
		Writers: 2, Store: store, Keys: store, AccessLog: store, Follower: store,
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
		key, secret := sandtrail.NewKey(fmt.Sprint("runner-", i), sandtrail.RoleIngest, "", time.Now())
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
				batch, err := sandtrail.Admission{Now: time.Now()}.Admit(sandtrail.Draft{
					UserID: benchOwner("u", i), StrategyID: benchOwner("s", i), Type: sandtrail.Validation,
					Success: new(true), ExecutionTime: new(1000 + i), MemoryUsed: new(48), CPUUsage: new(97.5),
				})
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

// benchData is what an application passes to Prisma's create.
func benchData() []data {
	list := make([]data, benchCreates)
	for i := range list {
		list[i] = data{
			"userId": benchOwner("u", i), "strategyId": benchOwner("s", i), "executionType": "VALIDATION",
			"success": true, "executionTime": 1000 + i, "memoryUsed": 48, "cpuUsage": 97.5,
		}
	}
	return list
}
