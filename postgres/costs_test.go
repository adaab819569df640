package postgres_test

import (
	"testing"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/storetest"
)

func TestCosts(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("there the user of an execution cannot change")
	}
	storetest.Costs(t, withOther)
}

func TestOldRollupsAreCountedAnew(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("there changes by others enter the journal when they are reconciled")
	}
	storetest.CountsOldRollupsAnew(t, withOther, storetest.OldRollups{
		Prefix: "sandtrail.", Bytes: func(hex string) string { return "'\\x" + hex + "'::bytea" },
	})
}

// withOther is a store and another client of its database.
func withOther(t *testing.T) (database.Database, func(...string) error) {
	s, url := open(t)
	other := foreign(t, url)
	return s, func(statements ...string) error {
		return pgtest.ExecAll(t.Context(), other, statements...)
	}
}
