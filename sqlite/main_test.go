package sqlite_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be a process of its own that records into a
// database; see process_test.go.
func TestMain(m *testing.M) {
	if path := os.Getenv(recordInto); path != "" {
		os.Exit(recordUntilKilled(path))
	}
	goleak.VerifyTestMain(m)
}
