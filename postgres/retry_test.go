package postgres_test

import (
	"testing"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/storetest"
)

// PostgreSQL may end any transaction and leave it to be repeated: it does the
// same then as if it had been the first.
func TestEverythingMayBeRepeated(t *testing.T) {
	open := func(t *testing.T) database.Database {
		s, _ := open(t)
		s.EndAtFirst()
		return s
	}
	storetest.RunRepeated(t, open)
	storetest.CleanupArchived(t, open)
	storetest.AlertLog(t, open(t).(*postgres.Store))
}
