package sqlite_test

import (
	"testing"

	"github.com/sandtrail/sandtrail/storetest"
)

func TestCosts(t *testing.T) { storetest.Costs(t, withOther) }

// TestOldRollupsAreCountedAnew migrates roll-ups that the version before costs
// wrote, with pending changes.
func TestOldRollupsAreCountedAnew(t *testing.T) {
	path := fileAtVersion(t, 11)
	// A fifth execution, of 2,000 ms, was removed by retention before.
	const part = "01060600d08c0106a001068090bcfd02000003d00f02a01f02a01f0201020200a01f0228028084af5f000001a01f02"
	plain(t, path,
		"INSERT INTO users VALUES ('u', 'u@example.com', NULL)", "INSERT INTO strategies VALUES ('s', 'S')",
		insertCost(1000, 50, 10), insertCost(3000, 150, 30), insertCost(5000, 200, 40),
		"DELETE FROM sandtrail_journal",
		"INSERT INTO sandtrail_rollups SELECT column1, column2, 20781, x'01"+part+"', x'010130"+part+"' FROM (VALUES (0, ''), (1, 'u'), (2, 's'))",
		"INSERT INTO sandtrail_totals SELECT column1, column2, x'0101060600d08c0106a001068090bcfd02000003d00f02a01f02a01f02' FROM (VALUES (0, ''), (1, 'u'), (2, 's'))",
		insertCost(7000, 100, 70),
		"DELETE FROM sandbox_execution_logs WHERE execution_time IN (3000, 5000)",
		"UPDATE sandtrail_journal SET reason = 'retention' WHERE execution_time = 3000")
	s := openAt(t, path)
	storetest.CountsOldRollupsAnew(t, s)
	expectSound(t, s)
}
