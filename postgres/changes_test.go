package postgres_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
)

// atVersion makes a database that has the migrations up to a version, user u and
// strategy s, and another client of it.
func atVersion(t *testing.T, version int) (*postgres.Store, *pgx.Conn) {
	t.Helper()
	if pgtest.OnCitus() {
		t.Skip("a distributed database was made by later versions")
	}
	url := pgtest.New(t)
	s := openAt(t, url, postgres.Options{})
	if err := postgres.MigrateTo(t.Context(), s, now, version); err != nil {
		t.Fatal(err)
	}
	other := foreign(t, url)
	exec(t, other, "INSERT INTO users VALUES ('u', 'u@example.com', NULL)")
	exec(t, other, "INSERT INTO strategies VALUES ('s', 'S')")
	return s, other
}

// insertExecutions stores executions whose ids end in their execution times.
func insertExecutions(from, to int) string {
	return fmt.Sprintf(`INSERT INTO sandbox_execution_logs (id, user_id, strategy_id, execution_type, success, execution_time, created_at)
		SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'u', 's', 'TERMINAL', true, n, '2026-11-24 11:00:00Z'
		FROM generate_series(%d, %d) n`, from, to)
}

// TestPendingChangesAreCarriedOver migrates a database whose roll-ups and ledger
// lack changes of every kind.
func TestPendingChangesAreCarriedOver(t *testing.T) {
	for name, applied := range map[string]string{
		"pending for both": "SELECT 1",
		"pending for one": `INSERT INTO sandtrail.ledger_queue (removed, id, created_at, reason)
			SELECT sign < 0, id, created_at, coalesce(reason, 'delete') FROM sandtrail.journal WHERE reason IS DISTINCT FROM 'update';
			DELETE FROM sandtrail.journal`,
	} {
		t.Run(name, func(t *testing.T) {
			s, other := atVersion(t, 16)
			for _, statement := range []string{
				insertExecutions(0, 8),
				"SET sandtrail.reason = 'retention'", "DELETE FROM sandbox_execution_logs WHERE execution_time < 2", "RESET sandtrail.reason",
				"DELETE FROM sandbox_execution_logs WHERE execution_time IN (2, 3)", insertExecutions(3, 3),
				"UPDATE sandbox_execution_logs SET success = false WHERE execution_time = 4",
				applied,
			} {
				if err := pgtest.ExecAll(t.Context(), other, statement); err != nil {
					t.Fatal(err)
				}
			}
			for _, version := range []int{1, 0} { // of all migrations the last, then none
				if err := postgres.MigrateTo(t.Context(), s, now, version); err != nil {
					t.Fatal(err)
				}
				sum, err := ledger.VerifyLog(t.Context(), s, ledger.Verification{Report: func(f ledger.Finding) { t.Errorf("%+v", f) }})
				if err != nil {
					t.Fatal(err)
				}
				if pending := version == 1; pending && sum.Unsealed != 6 || !pending && (sum.Unsealed != 0 || sum.Intact != 6) {
					t.Errorf("%+v", sum)
				}
				if name == "pending for both" {
					checks, err := s.Doctor(t.Context(), database.Deep, now)
					if c := findCheck(checks, "roll-ups"); err != nil || c == nil || !c.OK {
						t.Errorf("%+v, %v", checks, err)
					}
					stats, err := s.UserStats(t.Context(), "u")
					if err != nil || stats.TotalExecutions != 6 {
						t.Errorf("%d executions are counted, %v; want 6", stats.TotalExecutions, err)
					}
					trend, err := s.Trends(t.Context(), sandtrail.TrendQuery{UserID: "u", Since: now.AddDate(0, 0, -2), Until: now})
					if err != nil || trend[1].Total != 8 {
						t.Errorf("%+v, %v; want 6 and 2 that retention removed", trend, err)
					}
				}
				if err := s.Maintain(t.Context(), now); err != nil {
					t.Fatal(err)
				}
			}
			if n := value[int](t, other, "SELECT count(*) FROM sandtrail.changes"); n != 0 {
				t.Errorf("%d changes are left", n)
			}
		})
	}
}

// TestChangesWaitForTheLedgerAlone tears the ledger: the roll-ups go on, and
// statistics read no change that they count. Once the ledger is whole again it has
// all changes.
func TestChangesWaitForTheLedgerAlone(t *testing.T) {
	s, url := open(t)
	other := foreign(t, url)
	putOwners(t, s, 1)
	appendAll(t, s, execution(now), execution(now), execution(now))
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	exec(t, other, "CREATE TABLE kept AS SELECT * FROM sandtrail.ledger_pages")
	exec(t, other, "UPDATE sandtrail.ledger_pages SET entries = substr(entries, 1, 40)")
	gone := execution(now)
	appendAll(t, s, gone, execution(now))
	exec(t, other, "DELETE FROM sandbox_execution_logs WHERE id = $1", gone.Execution.ID.String())
	reconcile(t, s)
	if err := s.Maintain(t.Context(), now); err == nil {
		t.Error("upkeep of a torn ledger succeeds")
	}
	if pending, counted := value[int](t, other, "SELECT count(*) FROM sandtrail.changes WHERE NOT counted"),
		value[int](t, other, "SELECT count(*) FROM sandtrail.changes WHERE counted"); pending != 0 || counted != 3 {
		t.Errorf("%d changes are pending and %d are left to the ledger, want 0 and 3", pending, counted)
	}
	if stats, err := s.UserStats(t.Context(), "u0"); err != nil || stats.TotalExecutions != 4 {
		t.Errorf("%+v, %v; want 4 executions", stats, err)
	}
	exec(t, other, "UPDATE sandtrail.ledger_pages p SET entries = k.entries FROM kept k WHERE k.n = p.n")
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if n := value[int](t, other, "SELECT count(*) FROM sandtrail.changes"); n != 0 {
		t.Errorf("%d changes are left", n)
	}
	sum, err := ledger.VerifyLog(t.Context(), s, ledger.Verification{Report: func(f ledger.Finding) { t.Errorf("%+v", f) }})
	if err != nil || sum.Intact != 4 {
		t.Errorf("%+v, %v; want 4 intact", sum, err)
	}
	deepCheck(t, s)
}
