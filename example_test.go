package sandtrail_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/sqlite"
)

// An execution arrives as JSON, is refused for what is wrong with it, and stored
// when it is right.
func Example() {
	ctx := context.Background()
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
	if err := store.PutUser(ctx, sandtrail.User{ID: "ada", Email: "ada@example.com"}); err != nil {
		log.Fatal(err)
	}
	if err := store.PutStrategy(ctx, sandtrail.Strategy{ID: "momentum", Name: "Momentum"}); err != nil {
		log.Fatal(err)
	}

	var draft sandtrail.Draft
	arrived := `{"userId":"ada","strategyId":"momentum","executionType":"VALIDATION","success":true,"executionTime":-1}`
	if err := json.Unmarshal([]byte(arrived), &draft); err != nil {
		log.Fatal(err)
	}
	trail := sandtrail.Trail{Store: store}
	_, err = trail.Record(ctx, draft)
	fmt.Println(err)

	draft.ExecutionTime = new(1250)
	done, err := trail.Record(ctx, draft)
	if err != nil {
		log.Fatal(err)
	}
	stored, err := store.Execution(ctx, done.IDs[0])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stored.User.Email, stored.Strategy.Name, stored.ExecutionTime, "ms")
	// Output:
	// invalid execution: executionTime: must be an integer from 0 to 2147483647, got -1
	// ada@example.com Momentum 1250 ms
}
