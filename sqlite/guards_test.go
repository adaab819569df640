package sqlite_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/remedy"
	"github.com/sandtrail/sandtrail/sqlite"
)

// verified is what a verification counts, and the kinds of its findings.
func verified(t *testing.T, s *sqlite.Store) (sum ledger.Summary, kinds map[ledger.FindingKind]int) {
	t.Helper()
	kinds = map[ledger.FindingKind]int{}
	sum, err := ledger.VerifyLog(t.Context(), s, ledger.Verification{Report: func(f ledger.Finding) { kinds[f.Kind]++ }})
	if err != nil {
		t.Fatal(err)
	}
	return sum, kinds
}

// TestEveryGuardIsMissed drops each trigger and index of Sandtrail, which the server
// that has the file open must see as well as one that opens it.
func TestEveryGuardIsMissed(t *testing.T) {
	s, path := fileStore(t)
	if _, err := s.Append(t.Context(), batchOf(3)); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT type, name FROM sqlite_schema WHERE type IN ('trigger', 'index') AND sql IS NOT NULL ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	var guards [][2]string
	for rows.Next() {
		var g [2]string
		if err := rows.Scan(&g[0], &g[1]); err != nil {
			t.Fatal(err)
		}
		guards = append(guards, g)
	}
	rows.Close()
	if len(guards) < 20 {
		t.Fatalf("%d triggers and indexes, want all of them", len(guards))
	}
	plain(t, path, "CREATE INDEX of_the_application ON users (name)", "CREATE TRIGGER of_the_application_too AFTER INSERT ON users BEGIN SELECT 1; END")
	expectSound(t, s)
	for _, g := range guards {
		plain(t, path, "DROP "+g[0]+" "+g[1])
		opened := openAt(t, path)
		for name, store := range map[string]*sqlite.Store{"open": s, "opened since": opened} {
			for what, err := range map[string]error{
				"append": func() error { _, err := store.Append(t.Context(), batchOf(1)); return err }(),
				"put":    store.PutUser(t.Context(), sandtrail.User{ID: "v", Email: "v@example.com"}),
				"ping":   store.Ping(t.Context()),
			} {
				var e *sandtrail.Error
				if !errors.As(err, &e) || e.Code != sandtrail.CodeUnavailable || !strings.Contains(e.Message, g[1]) || len(e.Remedies) != 1 || e.Remedies[0].Act != remedy.Migrate {
					t.Errorf("%s of the store %s without %s: %v", what, name, g[1], err)
				}
			}
		}
		if _, kinds := verified(t, s); kinds[ledger.Disarmed] != 1 {
			t.Errorf("verify without %s finds %v", g[1], kinds)
		}
		if report, err := opened.Repair(t.Context(), noon); err != nil || !strings.Contains(strings.Join(report, "\n"), "made "+g[0]+" "+g[1]) {
			t.Errorf("repair of %s: %q, %v", g[1], report, err)
		}
		expectSound(t, s)
	}
	if _, err := s.Append(t.Context(), batchOf(1)); err != nil {
		t.Error(err)
	}
}

// TestRepairTakesInWhatWentPast rebuilds the table, writes past its triggers, and has
// all of it in roll-ups, ledger and streams after the repair. The counts of what
// retention removed before stay.
func TestRepairTakesInWhatWentPast(t *testing.T) {
	s, path := fileStore(t)
	if _, err := s.Append(t.Context(), batchOf(100)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Cleanup(t.Context(), sandtrail.Before(noon.Add(-90*time.Hour))); err != nil {
		t.Fatal(err)
	}
	if err := s.Maintain(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	before := trendTotal(t, s, sandtrail.TrendQuery{})
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	var create string
	err = db.QueryRowContext(t.Context(), "SELECT sql FROM sqlite_schema WHERE name = 'sandbox_execution_logs'").Scan(&create)
	db.Close()
	if err != nil {
		t.Fatal(err)
	}
	plain(t, path, "PRAGMA foreign_keys = OFF", "PRAGMA legacy_alter_table = ON", "BEGIN",
		strings.Replace(create, "sandbox_execution_logs", "fresh", 1), "INSERT INTO fresh SELECT * FROM sandbox_execution_logs", "DROP TABLE sandbox_execution_logs",
		"ALTER TABLE fresh RENAME TO sandbox_execution_logs", "COMMIT",
		"DELETE FROM sandbox_execution_logs WHERE execution_time IN (3, 5)",
		`INSERT INTO sandbox_execution_logs (id, user_id, strategy_id, execution_type, success, execution_time, created_at)
			VALUES ('0193a000-0000-7000-8000-000000000001', 'u', 's', 'VALIDATION', 1, 7, '2026-11-20 10:00:00.000')`)
	_, found := verified(t, s)
	want := map[ledger.FindingKind]int{ledger.Disarmed: 1, ledger.Inserted: 1, ledger.Missing: 2}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("findings before the repair (-want +got)\n%s", diff)
	}
	if _, err := s.Repair(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	expectSound(t, s)
	if err := s.Maintain(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	expectSound(t, s)
	sum, kinds := verified(t, s)
	if len(kinds) > 0 || sum.Reasons[ledger.Unguarded] != 2 || sum.Unsealed != 0 {
		t.Errorf("findings after the repair: %v; removals %v, %d unsealed", kinds, sum.Reasons, sum.Unsealed)
	}
	if got := trendTotal(t, s, sandtrail.TrendQuery{}); got != before-1 {
		t.Errorf("trends count %d after the repair, want %d: two fewer and one more", got, before-1)
	}
	lines, err := s.Accesses(t.Context(), auth.AccessQuery{Limit: 1})
	if err != nil || len(lines) == 0 || lines[0].Action != "repair" || !strings.Contains(lines[0].Detail, "1 executions and 2 removals") {
		t.Errorf("the access log has %+v, %v", lines, err)
	}
}

// BenchmarkFirstWrite opens a file and writes to it: each process compares the
// guards once.
func BenchmarkFirstWrite(b *testing.B) {
	path := filepath.Join(b.TempDir(), "sandtrail.db")
	s := openAt(b, path)
	if _, err := s.Migrate(b.Context(), noon); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := sqlite.Open(b.Context(), path, sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.PutUser(b.Context(), sandtrail.User{ID: "u", Email: "u@example.com"}); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
