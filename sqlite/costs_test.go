package sqlite_test

import (
	"testing"

	"github.com/sandtrail/sandtrail/storetest"
)

func TestCosts(t *testing.T) { storetest.Costs(t, withOther) }

func TestOldRollupsAreCountedAnew(t *testing.T) {
	storetest.CountsOldRollupsAnew(t, withOther, storetest.OldRollups{
		Prefix: "sandtrail_", Bytes: func(hex string) string { return "x'" + hex + "'" },
	})
}
