package postgres_test

import (
	"fmt"
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

// TestOldRollupsAreCountedAnew migrates roll-ups that the version before costs
// wrote, with pending changes.
func TestOldRollupsAreCountedAnew(t *testing.T) {
	s, other := atVersion(t, 13)
	// A fifth execution, of 2,000 ms, was removed by retention before.
	const part = "01060600d08c0106a001068090bcfd02000003d00f02a01f02a01f0201020200a01f0228028084af5f000001a01f02"
	for _, statement := range []string{
		insertCost(1000, 50, 10), insertCost(3000, 150, 30), insertCost(5000, 200, 40),
		"DELETE FROM sandtrail.journal",
		"INSERT INTO sandtrail.rollups SELECT column1, column2, 20781, '\\x01" + part + "', '\\x010130" + part + "' FROM (VALUES (0, ''), (1, 'u'), (2, 's')) v",
		"INSERT INTO sandtrail.totals SELECT column1, column2, '\\x0101060600d08c0106a001068090bcfd02000003d00f02a01f02a01f02' FROM (VALUES (0, ''), (1, 'u'), (2, 's')) v",
		insertCost(7000, 100, 70),
		"DELETE FROM sandbox_execution_logs WHERE execution_time IN (3000, 5000)",
		"UPDATE sandtrail.journal SET reason = 'retention' WHERE execution_time = 3000",
	} {
		exec(t, other, statement)
	}
	storetest.CountsOldRollupsAnew(t, s)
	deepCheck(t, s)
}

func insertCost(ms, percent, memory int) string {
	return fmt.Sprintf(`INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, cpu_usage, memory_used, created_at)
		VALUES ('u', 's', 'VALIDATION', true, %d, %d, %d, '2026-11-24 12:00:00Z')`, ms, percent, memory)
}

// withOther is a store and another client of its database.
func withOther(t *testing.T) (database.Database, func(...string) error) {
	s, url := open(t)
	other := foreign(t, url)
	return s, func(statements ...string) error {
		return pgtest.ExecAll(t.Context(), other, statements...)
	}
}
