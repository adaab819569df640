package sqlite_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/sqlite"
)

// fileStore is a migrated store with the owners of batchOf, and its path.
func fileStore(t *testing.T) (*sqlite.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sandtrail.db")
	s := openAt(t, path)
	if _, err := s.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	plain(t, path, "INSERT INTO users VALUES ('u', 'u@example.com', NULL)", "INSERT INTO strategies VALUES ('s', 'S')")
	return s, path
}

func trendTotal(t *testing.T, s *sqlite.Store, q sandtrail.TrendQuery) (total int64) {
	t.Helper()
	q.Since, q.Until = sandtrail.LastDays(noon, 100)
	trend, err := s.Trends(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range trend {
		total += b.Total
	}
	return total
}

// TestTrendsKeepTheirHistory removes records by retention and otherwise:
// trends forget only the latter, statistics both.
func TestTrendsKeepTheirHistory(t *testing.T) {
	for name, maintain := range map[string]bool{"from the journal": false, "folded": true} {
		t.Run(name, func(t *testing.T) {
			s, path := fileStore(t)
			settle := func() {
				if maintain {
					if err := s.Maintain(t.Context(), noon); err != nil {
						t.Fatal(err)
					}
				}
			}
			if _, err := s.Append(t.Context(), batchOf(100)); err != nil {
				t.Fatal(err)
			}
			settle()
			if deleted, err := s.Cleanup(t.Context(), sandtrail.Before(noon.Add(-50*time.Hour))); err != nil || deleted != 49 {
				t.Fatalf("deleted %d, %v; want 49", deleted, err)
			}
			plain(t, path, "PRAGMA foreign_keys = ON", "DELETE FROM sandbox_execution_logs WHERE created_at = '2026-11-24 12:00:00.000'")
			settle()
			stats, err := s.UserStats(t.Context(), "u")
			if err != nil || stats.TotalExecutions != 50 {
				t.Errorf("statistics count %d, %v; want the 50 stored", stats.TotalExecutions, err)
			}
			if got := trendTotal(t, s, sandtrail.TrendQuery{UserID: "u"}); got != 99 {
				t.Errorf("the user's trend counts %d, want 99", got)
			}
			if _, err := s.DeleteUser(t.Context(), "u"); err != nil {
				t.Fatal(err)
			}
			if err := s.Maintain(t.Context(), noon); err != nil {
				t.Fatal(err)
			}
			if all := trendTotal(t, s, sandtrail.TrendQuery{}); all != 49 {
				t.Errorf("after the user is deleted, trends count %d of all; want 49", all)
			}
			theirs := sandtrail.TrendQuery{UserID: "u"}
			theirs.Since, theirs.Until = sandtrail.LastDays(noon, 100)
			if _, err := s.Trends(t.Context(), theirs); !errors.Is(err, sandtrail.CodeNotFound) {
				t.Errorf("after the user is deleted, their trend is %v, want ErrNotFound", err)
			}
			expectSound(t, s)
		})
	}
}

// TestOtherWritersCount changes records by plain SQL in every way.
func TestOtherWritersCount(t *testing.T) {
	s, path := fileStore(t)
	if _, err := s.Append(t.Context(), batchOf(100)); err != nil {
		t.Fatal(err)
	}
	for name, statement := range map[string]string{
		"insert": `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time)
			VALUES ('u', 's', 'TERMINAL', 0, 7)`,
		"update":             "UPDATE sandbox_execution_logs SET execution_time = 9, success = 0, created_at = '2026-11-01 00:00:00.000' WHERE execution_time < 9",
		"delete":             "DELETE FROM sandbox_execution_logs WHERE execution_time > 90",
		"rename a user":      "UPDATE users SET id = 'renamed'",
		"replace":            "REPLACE INTO sandbox_execution_logs SELECT * FROM sandbox_execution_logs LIMIT 5",
		"cascade a strategy": "DELETE FROM strategies",
	} {
		plain(t, path, "PRAGMA foreign_keys = ON", "PRAGMA recursive_triggers = ON", statement)
		t.Log(name)
		expectSound(t, s)
		if err := s.Maintain(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
		expectSound(t, s)
		plain(t, path, "INSERT OR IGNORE INTO strategies VALUES ('s', 'S')", "INSERT OR IGNORE INTO users VALUES ('u', 'x@example.com', NULL)")
	}
}

// TestDriftIsFoundAndMended replaces executions as a client does whose recursive
// triggers are off, so that the deletions fire none.
func TestDriftIsFoundAndMended(t *testing.T) {
	s, path := fileStore(t)
	if _, err := s.Append(t.Context(), batchOf(20)); err != nil {
		t.Fatal(err)
	}
	plain(t, path, "PRAGMA recursive_triggers = OFF", "REPLACE INTO sandbox_execution_logs SELECT * FROM sandbox_execution_logs WHERE execution_time = 3")
	checks, err := s.Doctor(t.Context(), database.Deep, noon)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(checks, func(c database.Check) bool {
		return !c.OK && c.Name == "roll-ups" && strings.Contains(c.Fix, "migrate --repair")
	}) {
		t.Fatalf("the drift is not found: %+v", checks)
	}
	if _, err := s.Repair(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	expectSound(t, s)
}

// TestCampaign lets writers, removals, plain SQL and folds work at once.
func TestCampaign(t *testing.T) {
	s, path := fileStore(t)
	other := openAt(t, path)
	var wg sync.WaitGroup
	for _, work := range []func(round int) error{
		func(int) error { _, err := s.Append(t.Context(), batchOf(120)); return err },
		func(int) error { _, err := other.Append(t.Context(), batchOf(40)); return err },
		func(round int) error {
			_, err := other.Cleanup(t.Context(), sandtrail.Before(noon.Add(-time.Duration(120-3*round)*time.Hour)))
			return err
		},
		func(int) error { return s.Maintain(t.Context(), noon) },
		func(int) error { return other.Maintain(t.Context(), noon) },
		func(int) error { _, err := s.StrategyStats(t.Context(), "s"); return err },
	} {
		wg.Go(func() {
			for round := range 20 {
				if err := work(round); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	expectSound(t, s)
	stored, err := s.CountBefore(t.Context(), sandtrail.Before(noon.Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	if stats, err := s.UserStats(t.Context(), "u"); err != nil || stats.TotalExecutions != stored {
		t.Errorf("statistics count %d of %d stored, %v", stats.TotalExecutions, stored, err)
	}
	if got := trendTotal(t, s, sandtrail.TrendQuery{}); got != 20*(120+40) {
		t.Errorf("the trend counts %d of %d ever stored", got, 20*(120+40))
	}
}
