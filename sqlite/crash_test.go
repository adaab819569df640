package sqlite_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/sandtrail/sandtrail/ledger/ledgertest"
	"github.com/sandtrail/sandtrail/sqlite"
)

// faultyAt opens a file so that one of its statements and commits fails.
func faultyAt(path string) ledgertest.Faulty {
	return func(t testing.TB, f ledgertest.Fault) (ledgertest.Database, func() int) {
		var taken atomic.Int64
		var counting atomic.Bool
		s, err := sqlite.OpenFaulty(t.Context(), path, func(after bool) error {
			if !counting.Load() {
				return nil
			}
			n := taken.Load()
			if !after {
				n = taken.Add(1)
			}
			if int(n) == f.Step && after == f.Applied {
				return errors.New("a fault")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		counting.Store(true)
		return s, func() int { return int(taken.Load()) }
	}
}
