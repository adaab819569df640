package sqlite_test

import (
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/sqlite"
)

// TestRenamesWithoutForeignKeys is about clients that leave foreign_keys off,
// as SQLite does by default.
func TestRenamesWithoutForeignKeys(t *testing.T) {
	const records = 20
	for name, c := range map[string]struct {
		statements []string
		renames    int64
		altered    int64
	}{
		"owners alone": {[]string{"UPDATE users SET id = 'renamed'", "UPDATE strategies SET id = 'renamed'"}, 2, 0},
		"and their executions": {[]string{
			"UPDATE users SET id = 'renamed'", "UPDATE sandbox_execution_logs SET user_id = 'renamed'",
			"UPDATE strategies SET id = 'renamed'", "UPDATE sandbox_execution_logs SET strategy_id = 'renamed'",
		}, 2, 0},
		"their executions first": {[]string{
			"UPDATE sandbox_execution_logs SET user_id = 'renamed', strategy_id = 'renamed'",
			"UPDATE users SET id = 'renamed'", "UPDATE strategies SET id = 'renamed'",
		}, 0, records},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, path := fileStore(t)
			if _, err := s.Append(t.Context(), batchOf(records)); err != nil {
				t.Fatal(err)
			}
			hold := sandtrail.Hold{Subject: sandtrail.Users, SubjectID: "u", Reason: "r", CreatedBy: "cli", CreatedAt: noon}
			if err := s.PutHold(t.Context(), hold); err != nil {
				t.Fatal(err)
			}
			maintain(t, s)
			plain(t, path, append([]string{"PRAGMA foreign_keys = OFF"}, c.statements...)...)
			maintain(t, s)
			expectSound(t, s)
			sum, err := ledger.VerifyLog(t.Context(), s, ledger.Verification{})
			if err != nil || sum.Renames != c.renames || sum.Altered != c.altered || sum.FindingsN != c.altered || sum.Intact != records-c.altered {
				t.Errorf("verify: %+v, %v; want %d renames and %d altered", sum, err, c.renames, c.altered)
			}
			if stats, err := s.UserStats(t.Context(), "renamed"); err != nil || stats.TotalExecutions != records {
				t.Errorf("statistics: %+v, %v; want %d executions", stats, err, records)
			}
			if _, err := s.DeleteUser(t.Context(), "renamed"); sandtrail.CodeOf(err) != sandtrail.CodeHeld {
				t.Errorf("the held user was deleted: %v", err)
			}
		})
	}
}

func maintain(t *testing.T, s *sqlite.Store) {
	t.Helper()
	if err := s.Maintain(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
}
