package sqlite_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/sandtrail/sandtrail/ledger/ledgertest"
)

// TestMain lets the test binary be a process of its own that works on a
// database; see process_test.go and ledgertest.Kill.
func TestMain(m *testing.M) {
	if path := os.Getenv(recordInto); path != "" {
		os.Exit(recordUntilKilled(path))
	}
	if ledgertest.Child(stepped) {
		return
	}
	goleak.VerifyTestMain(m)
}
