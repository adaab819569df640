package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/sqlite"
	"github.com/sandtrail/sandtrail/worker"
)

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
	if _, err := store.Migrate(ctx, time.Now()); err != nil {
		log.Fatal(err)
	}
	trail := sandtrail.Trail{Store: store, Periods: sandtrail.Periods{Keep: 90 * 24 * time.Hour}}
	var upkeep sync.WaitGroup
	upkeep.Go(func() { worker.Keep(ctx, store, trail.Periods, slog.Default()) })

	if err := store.PutUser(ctx, sandtrail.User{ID: "ada", Email: "ada@example.com"}); err != nil {
		log.Fatal(err)
	}
	if err := store.PutStrategy(ctx, sandtrail.Strategy{ID: "momentum", Name: "Momentum"}); err != nil {
		log.Fatal(err)
	}
	_, err = trail.Record(ctx, sandtrail.Draft{
		UserID: "ada", StrategyID: "momentum", Type: sandtrail.Validation, Success: new(true), ExecutionTime: new(1250),
	})
	if err != nil {
		log.Fatal(err)
	}
	health, err := store.StrategyHealth(ctx, "momentum", 100)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(health.TotalValidations, "execution,", *health.SuccessRate, "% succeeded")
	stop()
	upkeep.Wait()
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: 1 execution, 100 % succeeded
}
