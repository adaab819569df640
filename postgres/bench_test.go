package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/storetest"
)

// BenchmarkCleanup drops 13 old weeks while somebody appends, and beside it
// deletes the same executions from a plain table. It tells how long the table
// of executions was locked against writers, and the 99th percentile of an
// append before and during the cleanup, all in milliseconds.
func BenchmarkCleanup(b *testing.B) {
	for _, rows := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			var locked lockTimer
			url := pgtest.New(b)
			s, err := postgres.OpenTraced(b.Context(), url, &locked)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			migrate(b, s)
			putOwners(b, s, 10)
			conn := foreign(b, url)
			exec(b, conn, "CREATE TABLE plain (LIKE sandbox_execution_logs INCLUDING ALL)")
			var before, during, deleting time.Duration
			for b.Loop() {
				b.StopTimer()
				fillOld(b, s, conn, rows)
				before += p99(appendUntil(b, s, time.After(2*time.Second)))
				done := make(chan time.Time)
				var latencies []time.Duration
				var wait sync.WaitGroup
				wait.Go(func() { latencies = appendUntil(b, s, done) })
				b.StartTimer()
				n, err := s.Cleanup(b.Context(), sandtrail.Before(now.AddDate(0, 0, -90)))
				b.StopTimer()
				close(done)
				wait.Wait()
				during += p99(latencies)
				if err != nil || n != int64(rows) {
					b.Fatalf("deleted %d, %v; want %d", n, err, rows)
				}
				start := time.Now()
				exec(b, conn, "DELETE FROM plain")
				deleting += time.Since(start)
				b.StartTimer()
			}
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
			b.ReportMetric(ms(locked.total()), "locked-ms/op")
			b.ReportMetric(ms(before), "p99-before-ms")
			b.ReportMetric(ms(during), "p99-during-ms")
			b.ReportMetric(ms(deleting), "plain-delete-ms/op")
		})
	}
}

// fillOld stores executions of 13 whole weeks, folded, and the same in the
// plain table.
func fillOld(b *testing.B, s *postgres.Store, conn *pgx.Conn, rows int) {
	b.Helper()
	if err := s.Maintain(b.Context(), now.AddDate(0, 0, -190)); err != nil {
		b.Fatal(err)
	}
	for week := range 13 {
		// The default partition's rows would have to be moved.
		first := time.Date(2026, 5, 18, 0, 0, 0, 0, time.UTC).AddDate(0, 0, 7*week)
		appendAll(b, s, execution(first))
		exec(b, conn, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
			SELECT 'u' || n % 10, 's' || n % 7, 'VALIDATION', n % 9 > 0, n % 3000, $1::timestamptz + n * interval '7 days' / $2::int
			FROM generate_series(1, $2::int - 1) n`, first, (rows+week)/13)
	}
	exec(b, conn, "INSERT INTO plain SELECT * FROM sandbox_execution_logs WHERE created_at < $1", now.AddDate(0, 0, -90))
	if err := s.Maintain(b.Context(), now); err != nil {
		b.Fatal(err)
	}
}

// appendUntil stores one execution after the other and returns how long each
// took.
func appendUntil(b *testing.B, s *postgres.Store, done <-chan time.Time) (latencies []time.Duration) {
	for {
		select {
		case <-done:
			return latencies
		default:
		}
		start := time.Now()
		if _, err := s.Append(b.Context(), []sandtrail.Admitted{execution(now)}); err != nil {
			b.Error(err)
			return latencies
		}
		latencies = append(latencies, time.Since(start))
	}
}

func p99(latencies []time.Duration) time.Duration {
	slices.Sort(latencies)
	return latencies[len(latencies)*99/100]
}

// lockTimer adds up how long transactions last from where they detach a
// partition on, waiting for its lock included.
type lockTimer struct {
	begun       sync.Map // *pgx.Conn → time.Time
	nanoseconds atomic.Int64
}

func (l *lockTimer) total() time.Duration { return time.Duration(l.nanoseconds.Load()) }

// TraceQueryStart notes when a partition begins to be detached.
func (l *lockTimer) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.Contains(data.SQL, "DETACH PARTITION") {
		l.begun.Store(conn, time.Now())
	}
	return ctx
}

// TraceQueryEnd adds what has passed when the transaction ends.
func (l *lockTimer) TraceQueryEnd(_ context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	if tag := data.CommandTag.String(); tag != "COMMIT" && tag != "ROLLBACK" {
		return
	}
	if begun, ok := l.begun.LoadAndDelete(conn); ok {
		l.nanoseconds.Add(int64(time.Since(begun.(time.Time))))
	}
}

// BenchmarkSearch searches for texts among as many executions as
// storetest.SearchSizeEnv says, and tells what the indexes take.
func BenchmarkSearch(b *testing.B) {
	s, url := open(b)
	storetest.BenchmarkSearch(b, s, func() bool { return true })
	conn := foreign(b, url)
	b.Log(value[string](b, conn, `SELECT format('the indexes of texts have %s, the texts %s, everything %s',
		(SELECT pg_size_pretty(sum(pg_relation_size(oid))) FROM pg_class WHERE relname ~ '_text_[0-9]+$'),
		(SELECT pg_size_pretty(sum(length(metadata))) FROM sandbox_execution_logs), pg_size_pretty(pg_database_size(current_database())))`))
}
