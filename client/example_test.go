package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/client"
	"github.com/sandtrail/sandtrail/server"
	"github.com/sandtrail/sandtrail/sqlite"
)

// A server is a store: whatever works with a database works with it. This one
// serves a file from the same program, in place of sandtrail serve.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "trail")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := sqlite.Open(ctx, filepath.Join(dir, "trail.db"), sqlite.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Migrate(ctx, time.Now()); err != nil {
		log.Fatal(err)
	}
	s, err := server.New(server.Config{Store: store})
	if err != nil {
		log.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	defer running.Wait()
	defer stop()
	listener := httptest.NewServer(s.Handler())
	defer listener.Close()

	c, err := client.Open(listener.URL, "") // and a key, where the server asks for one
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.PutUser(ctx, sandtrail.User{ID: "ada", Email: "ada@example.com"}); err != nil {
		log.Fatal(err)
	}
	if err := c.PutStrategy(ctx, sandtrail.Strategy{ID: "momentum", Name: "Momentum"}); err != nil {
		log.Fatal(err)
	}
	done, err := c.Record(ctx, sandtrail.Draft{
		UserID: "ada", StrategyID: "momentum", Type: sandtrail.Validation, Success: new(true), ExecutionTime: new(1250),
	})
	if err != nil {
		log.Fatal(err)
	}
	health, err := c.StrategyHealth(ctx, "momentum", 100)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.Accepted, "stored,", *health.SuccessRate, "% succeeded")
	// Output: 1 stored, 100 % succeeded
}
