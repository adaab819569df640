package postgres_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/postgres"
)

// An application that keeps users and strategies in the same database puts none.
func Example() {
	ctx := context.Background()
	store, err := postgres.Open(ctx, os.Getenv("DATABASE_URL"), postgres.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Migrate(ctx, time.Now()); err != nil {
		log.Fatal(err)
	}
	if err := store.PutUser(ctx, sandtrail.User{ID: "ada", Email: "ada@example.com"}); err != nil {
		log.Fatal(err)
	}
	if err := store.PutStrategy(ctx, sandtrail.Strategy{ID: "momentum", Name: "Momentum"}); err != nil {
		log.Fatal(err)
	}
	done, err := sandtrail.Trail{Store: store}.Record(ctx, sandtrail.Draft{
		UserID: "ada", StrategyID: "momentum", Type: sandtrail.Validation, Success: new(true), ExecutionTime: new(1250),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.Accepted, "stored")
	// Output: 1 stored
}
