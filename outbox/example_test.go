package outbox_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/outbox"
	"github.com/sandtrail/sandtrail/server"
	"github.com/sandtrail/sandtrail/sqlite"
)

// A program that must not lose executions while the server is away, and must not
// wait for it either.
func ExampleRecorder_spool() {
	url, stop := exampleServer() // such as https://sandtrail.example.com
	defer stop()
	c, err := client.Open(url, "") // and a key, where the server asks for one
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	dir, err := os.MkdirTemp("", "spool") // such as /var/lib/sandbox/spool
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	recorder, err := outbox.NewRecorder(c, outbox.RecorderOptions{
		Policy: outbox.Spool, Dir: dir, MaxBytes: 256 << 20, MaxAge: 24 * time.Hour, Log: slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}
	err = recorder.Record(context.Background(), sandtrail.Draft{
		UserID: "ada", StrategyID: "momentum", Type: sandtrail.Validation, Success: new(true), ExecutionTime: new(1204),
	})
	if err != nil {
		slog.Error("not recorded", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := recorder.Close(ctx); err != nil {
		slog.Warn("the rest is delivered next time", "error", err)
	}
	stats, err := c.UserStats(ctx, "ada")
	fmt.Println(stats.TotalExecutions, err)
	// Output: 1 <nil>
}

// A program that must know that its execution is kept before it goes on.
func ExampleRecorder_strict() {
	url, stop := exampleServer()
	defer stop()
	c, err := client.Open(url, "")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	recorder, err := outbox.NewRecorder(c, outbox.RecorderOptions{Policy: outbox.Strict})
	if err != nil {
		log.Fatal(err)
	}
	err = recorder.Record(context.Background(), sandtrail.Draft{
		UserID: "ada", StrategyID: "momentum", Type: sandtrail.Terminal, Success: new(false), ExecutionTime: new(30_000), TimedOut: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	stats, err := c.StrategyStats(context.Background(), "momentum")
	fmt.Println(stats.TimedOutCount, "timed out,", err)
	// Output: 1 timed out, <nil>
}

// exampleServer serves a new store that knows ada and momentum, until stop.
func exampleServer() (url string, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "trail")
	if err != nil {
		log.Fatal(err)
	}
	store, err := sqlite.Open(ctx, filepath.Join(dir, "trail.db"), sqlite.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := store.Migrate(ctx, time.Now()); err != nil {
		log.Fatal(err)
	}
	if err := store.PutUser(ctx, sandtrail.User{ID: "ada", Email: "ada@example.com"}); err != nil {
		log.Fatal(err)
	}
	if err := store.PutStrategy(ctx, sandtrail.Strategy{ID: "momentum", Name: "Momentum"}); err != nil {
		log.Fatal(err)
	}
	s, err := server.New(server.Config{Store: store})
	if err != nil {
		log.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	listener := httptest.NewServer(s.Handler())
	return listener.URL, func() {
		listener.Close()
		cancel()
		running.Wait()
		store.Close()
		os.RemoveAll(dir)
	}
}
