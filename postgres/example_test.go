package postgres_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/postgres"
)

// A database that was migrated, and whose users and strategies an application keeps.
func Example() {
	ctx := context.Background()
	store, err := postgres.Open(ctx, os.Getenv("DATABASE_URL"), postgres.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	done, err := sandtrail.Trail{Store: store}.Record(ctx, sandtrail.Draft{
		UserID: "ada", StrategyID: "momentum", Type: sandtrail.Validation, Success: new(true), ExecutionTime: new(1250),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.Accepted, "stored")
}
