package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/follow"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/sqlite"
)

// fileAtVersion makes a file that has the migrations up to a version.
func fileAtVersion(t *testing.T, version int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "sandtrail.db")
	all, err := sqlite.AllMigrations()
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{
		"PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA journal_mode = WAL",
		"CREATE TABLE sandtrail_migrations (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL) STRICT",
	}
	for _, m := range all[:version] {
		statements = append(statements, m.SQL, fmt.Sprintf("INSERT INTO sandtrail_migrations VALUES (%d, '%s', '2026-11-24 12:00:00.000')", m.Version, m.Name))
	}
	plain(t, path, statements...)
	return path
}

// insertExecution is the statement of an execution whose id ends in n, which is
// its execution time.
func insertExecution(n int) string {
	return fmt.Sprintf(`INSERT INTO sandbox_execution_logs (id, user_id, strategy_id, execution_type, success, execution_time, created_at)
		VALUES ('00000000-0000-4000-8000-%012d', 'u', 's', 'TERMINAL', 1, %d, '2026-11-24 11:00:00.000')`, n, n)
}

func insertCost(ms, percent, memory int) string {
	return fmt.Sprintf(`INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, cpu_usage, memory_used, created_at)
		VALUES ('u', 's', 'VALIDATION', 1, %d, %d, %d, '2026-11-24 12:00:00.000')`, ms, percent, memory)
}

// TestPendingChangesAreCarriedOver migrates a file whose roll-ups and ledger lack
// changes of every kind.
func TestPendingChangesAreCarriedOver(t *testing.T) {
	for name, applied := range map[string]string{
		"pending for both":    "SELECT 1",
		"pending for one":     "DELETE FROM sandtrail_journal",
		"of the ledger, none": "UPDATE sandtrail_ledger_sealed SET seq = 0",
	} {
		t.Run(name, func(t *testing.T) {
			path := fileAtVersion(t, 14)
			statements := []string{"INSERT INTO users VALUES ('u', 'u@example.com', NULL)", "INSERT INTO strategies VALUES ('s', 'S')"}
			for n := range 9 {
				statements = append(statements, insertExecution(n))
			}
			plain(t, path, append(statements,
				"INSERT INTO sandtrail_reason VALUES ('retention')", "DELETE FROM sandbox_execution_logs WHERE execution_time < 2", "DELETE FROM sandtrail_reason",
				"DELETE FROM sandbox_execution_logs WHERE execution_time IN (2, 3)", insertExecution(3),
				"UPDATE sandbox_execution_logs SET success = 0 WHERE execution_time = 4")...)
			counted := name != "pending for one"
			plain(t, path, applied)
			s := openAt(t, path)
			if _, err := s.Migrate(t.Context(), noon); err != nil {
				t.Fatal(err)
			}
			for _, when := range []string{"migrated", "maintained"} {
				sum, err := ledger.VerifyLog(t.Context(), s, ledger.Verification{Report: func(f ledger.Finding) { t.Errorf("%s: %+v", when, f) }})
				if err != nil {
					t.Fatal(err)
				}
				if pending := when == "migrated"; pending && sum.Unsealed != 6 || !pending && (sum.Unsealed != 0 || sum.Intact != 6 || sum.Reasons["retention"] != 2 || sum.Reasons["delete"] != 2) {
					t.Errorf("%s: %+v", when, sum)
				}
				if counted {
					expectSound(t, s)
					if n := trendTotal(t, s, sandtrail.TrendQuery{}); n != 8 {
						t.Errorf("%s: the trend counts %d executions, want 6 and 2 that retention removed", when, n)
					}
				}
				if err := s.Maintain(t.Context(), noon); err != nil {
					t.Fatal(err)
				}
			}
			wantChanges(t, path, 0)
		})
	}
}

// wantChanges counts the changes that have more than the number and id of an
// insertion.
func wantChanges(t *testing.T, path string, want int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM sandtrail_changes)
		+ (SELECT count(*) FROM sandtrail_counted WHERE sign < 0)`).Scan(&n); err != nil || n != want {
		t.Errorf("%d changes are left, %v; want %d", n, err, want)
	}
}

// TestChangesAreDeleted wants nothing but the ids of insertions to be left once
// roll-ups and ledger have read the changes.
func TestChangesAreDeleted(t *testing.T) {
	s, path := fileStore(t)
	for range 3 {
		if _, err := s.Append(t.Context(), batchOf(10)); err != nil {
			t.Fatal(err)
		}
	}
	plain(t, path, "UPDATE sandbox_execution_logs SET success = 0 WHERE execution_time = 1", "DELETE FROM sandbox_execution_logs WHERE execution_time = 2")
	wantChanges(t, path, 30+2*3+3)
	if err := s.Maintain(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	wantChanges(t, path, 0)
	expectSound(t, s)
}

func followed(t *testing.T, s *sqlite.Store, from follow.Place) (times []int, last follow.Place) {
	t.Helper()
	found, err := s.Follow(t.Context(), from, 100)
	if err != nil {
		t.Fatal(err)
	}
	last = from
	for _, f := range found {
		times, last = append(times, f.ExecutionTime), f.Place
	}
	return times, last
}

// TestUpdatesAreNotFollowed changes executions and the key of their owner.
func TestUpdatesAreNotFollowed(t *testing.T) {
	s, path := fileStore(t)
	plain(t, path, "PRAGMA foreign_keys = ON", insertExecution(1))
	tip, err := s.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plain(t, path, "PRAGMA foreign_keys = ON", "UPDATE sandbox_execution_logs SET success = 0", "UPDATE users SET id = 'renamed'",
		"UPDATE users SET id = 'u'", insertExecution(2), "UPDATE sandbox_execution_logs SET execution_time = 3 WHERE execution_time = 2")
	for range 2 {
		if got, _ := followed(t, s, tip); !cmp.Equal(got, []int{3}) {
			t.Errorf("followed %v, want the new execution alone", got)
		}
		if err := s.Maintain(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPlacesOfACopyAreRefused goes on in a file and in its copy.
func TestPlacesOfACopyAreRefused(t *testing.T) {
	one, path := fileStore(t)
	plain(t, path, insertExecution(1), insertExecution(2))
	common, err := one.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	plain(t, path, "VACUUM INTO '"+copied+"'")
	if _, err := os.Stat(copied); err != nil {
		t.Fatal(err)
	}
	other := openAt(t, copied)
	plain(t, path, insertExecution(11), insertExecution(12))
	plain(t, copied, insertExecution(21), insertExecution(22), insertExecution(23))
	places := map[*sqlite.Store]follow.Place{}
	for s, want := range map[*sqlite.Store][]int{one: {11, 12}, other: {21, 22, 23}} {
		got, last := followed(t, s, common)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("from a place before the copy:\n%s", diff)
		}
		places[s] = last
	}
	for _, maintained := range []bool{false, true} {
		for s, of := range map[*sqlite.Store]*sqlite.Store{one: other, other: one} {
			if found, err := s.Follow(t.Context(), places[of], 10); !errors.Is(err, sandtrail.CodeInvalid) {
				t.Errorf("maintained %v: the place of the other file is followed: %d executions, %v", maintained, len(found), err)
			}
			if got, _ := followed(t, s, places[s]); len(got) != 0 {
				t.Errorf("maintained %v: the last place leads to %v", maintained, got)
			}
			if err := s.Maintain(t.Context(), noon); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, bad := range []follow.Place{"2", "0", "2.", "-1.x", "9.00000000-0000-4000-8000-000000000011"} {
		if _, err := one.Follow(t.Context(), bad, 1); !errors.Is(err, sandtrail.CodeInvalid) {
			t.Errorf("place %q: %v, want ErrInvalid", bad, err)
		}
	}
}
