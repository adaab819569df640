package server_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/server"
)

// BenchmarkProofs asks a server on PostgreSQL for proofs of random executions,
// by clients that keep their connections, with and without a writer of batches
// of 100 and the upkeep beside them. The database has as many executions as
// SANDTRAIL_BENCH_EXECUTIONS says, else 100,000.
func BenchmarkProofs(b *testing.B) {
	s, ids := sealedStore(b)
	srv, err := server.New(server.Config{
		Store: s, Now: func() time.Time { return start },
		Ledger: ledger.Service{Log: s, Keys: ledgerKeys, Memory: &ledger.Memory{}},
	})
	if err != nil {
		b.Fatal(err)
	}
	h := httptest.NewServer(srv.Handler())
	defer h.Close()
	for _, writers := range []int{0, 1} {
		for _, clients := range []int{2, 8, 32} {
			b.Run(fmt.Sprintf("clients=%d/writers=%d", clients, writers), func(b *testing.B) {
				stop := write(b, s, writers)
				defer stop()
				askProofs(b, h.URL, clients, ids)
			})
		}
	}
}

// sealedStore is a store whose executions are sealed, and their ids.
func sealedStore(b *testing.B) (*postgres.Store, []sandtrail.ID) {
	n := 100_000
	if set := os.Getenv("SANDTRAIL_BENCH_EXECUTIONS"); set != "" {
		var err error
		if n, err = strconv.Atoi(set); err != nil {
			b.Fatal(err)
		}
	}
	s, err := postgres.Open(b.Context(), pgtest.New(b), postgres.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	if _, err := s.Migrate(b.Context(), start); err != nil {
		b.Fatal(err)
	}
	if err := s.PutUser(b.Context(), sandtrail.User{ID: "u", Email: "u@example.com"}); err != nil {
		b.Fatal(err)
	}
	if err := s.PutStrategy(b.Context(), sandtrail.Strategy{ID: "s", Name: "S"}); err != nil {
		b.Fatal(err)
	}
	var ids []sandtrail.ID
	for len(ids) < n {
		batch := some(1000, start.Add(-time.Duration(n-len(ids))*20*time.Second))
		for _, a := range batch {
			ids = append(ids, a.Execution.ID)
		}
		if _, err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Maintain(b.Context(), start); err != nil {
		b.Fatal(err)
	}
	return s, ids
}

// some are executions from a time on, one every 20 seconds.
func some(n int, from time.Time) []sandtrail.Admitted {
	batch := make([]sandtrail.Admitted, n)
	for i := range batch {
		at := sandtrail.Millisecond(from.Add(time.Duration(i) * 20 * time.Second))
		batch[i].Execution = sandtrail.Execution{
			ID: sandtrail.NewID(at), UserID: "u", StrategyID: "s", Type: sandtrail.Validation, Success: true, ExecutionTime: 120,
			Metadata: []byte(`{"run":{"command":"python strategy.py","exitCode":0}}`), CreatedAt: at,
		}
	}
	return batch
}

// write lets writers append, ten batches a second each, and maintains the
// store, until stop is called.
func write(b *testing.B, s *postgres.Store, writers int) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	var wait sync.WaitGroup
	every := func(d time.Duration, do func() error) {
		wait.Go(func() {
			for ticks := time.NewTicker(d); ctx.Err() == nil; {
				select {
				case <-ctx.Done():
				case <-ticks.C:
					if err := do(); err != nil && ctx.Err() == nil {
						b.Error(err)
					}
				}
			}
		})
	}
	for range writers {
		every(100*time.Millisecond, func() error {
			_, err := s.Append(ctx, some(100, start.Add(-time.Hour)))
			return err
		})
		every(time.Second, func() error { return s.Maintain(ctx, start) })
	}
	return func() {
		cancel()
		wait.Wait()
	}
}

func askProofs(b *testing.B, url string, clients int, ids []sandtrail.ID) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var wait sync.WaitGroup
	b.ResetTimer()
	for range clients {
		wait.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := get(client, url+"/v1/ledger/proof/"+ids[rand.IntN(len(ids))].String()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proofs/s")
}

func get(client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return err
}
