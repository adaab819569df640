package ledger_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/sqlite"
)

// A receipt proves an execution to those who have the log's public keys and no
// store; Verify compares a whole store with its ledger.
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
	done, err := sandtrail.Trail{Store: store}.Record(ctx, sandtrail.Draft{
		UserID: "ada", StrategyID: "momentum", Type: sandtrail.Validation, Success: new(true), ExecutionTime: new(1250),
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Maintain(ctx, time.Now()); err != nil { // enters it in the ledger
		log.Fatal(err)
	}
	stored, err := store.Execution(ctx, done.IDs[0])
	if err != nil {
		log.Fatal(err)
	}

	keys, err := ledger.GenerateKeys(rand.Reader, "example.com/audit")
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := ledger.Service{Log: store, Keys: keys}.Receipt(ctx, stored, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(receipt)
	if err != nil {
		log.Fatal(err)
	}
	proved, checkpoint, err := ledger.VerifyReceipt(text, keys.Verifiers)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(proved.UserID, proved.ExecutionTime, "ms, in a ledger of", checkpoint.Size)

	err = store.Inspect(ctx, 1, func(snapshot ledger.Snapshot) error {
		sum, err := ledger.Verify(ctx, snapshot, ledger.Verification{Trusted: keys.Verifiers})
		fmt.Println(sum.Intact, "intact,", sum.FindingsN, "findings")
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// ada 1250 ms, in a ledger of 1
	// 1 intact, 0 findings
}
