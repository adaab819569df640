package postgres_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/ledger/ledgertest"
	"github.com/sandtrail/sandtrail/postgres"
)

func TestLedger(t *testing.T) {
	open := ledgerTargets(t)
	t.Run("no false alarm", func(t *testing.T) { ledgertest.Lawful(t, open, ledgertest.Rounds(t, 3)) })
	if !pgtest.OnCitus() { // where nothing tells a removal behind the back of all from another, nor at once
		t.Run("state", func(t *testing.T) { ledgertest.State(t, open(t)) })
		t.Run("hostile operator", func(t *testing.T) { ledgertest.Hostile(t, open, ledgertest.Rounds(t, 1)) })
	}
	t.Run("crashes", func(t *testing.T) { ledgertest.Crash(t, open, stepped, ledgertest.Rounds(t, 2)) })
	t.Run("kills", func(t *testing.T) { ledgertest.Kill(t, open, ledgertest.Rounds(t, 1)) })
}

// TestLedgerSaysWhy removes records in every lawful way.
func TestLedgerSaysWhy(t *testing.T) {
	s, url := open(t)
	other := foreign(t, url)
	putOwners(t, s, 4)
	for i := range 4 {
		appendAll(t, s, execution(now.Add(time.Duration(i)*time.Second), func(e *sandtrail.Execution) {
			e.UserID, e.StrategyID = fmt.Sprint("u", i), fmt.Sprint("s", i)
		}))
	}
	appendAll(t, s, execution(now.AddDate(0, -3, 0)), execution(now.AddDate(0, -3, 0)), execution(now))
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}

	exec(t, other, "DELETE FROM users WHERE id = 'u1'") // cascades
	exec(t, other, "DELETE FROM strategies WHERE id = 's2'")
	if _, err := s.DeleteUser(t.Context(), "u3"); err != nil {
		t.Fatal(err)
	}
	exec(t, other, "DELETE FROM sandbox_execution_logs WHERE created_at = $1", now)
	if deleted, err := s.Cleanup(t.Context(), sandtrail.Before(now.AddDate(0, -2, 0))); err != nil || deleted != 2 {
		t.Fatalf("cleaned up %d, %v; want 2", deleted, err)
	}
	appendAll(t, s, execution(now))
	for _, when := range []string{"before sealing", "after it"} {
		sum, err := ledger.VerifyLog(t.Context(), s, ledger.Verification{
			Report: func(f ledger.Finding) { t.Errorf("%s: %+v", when, f) },
		})
		if err != nil || sum.Records != 8 || sum.Removed != 7 {
			t.Errorf("%s: %d records, %d removed, %v; want 8 and 7", when, sum.Records, sum.Removed, err)
		}
		if err := s.Maintain(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		want := map[string]int64{"user": 2, "strategy": 1, "delete": 2, "retention": 2}
		if when == "after it" {
			if diff := cmp.Diff(want, sum.Reasons); diff != "" {
				t.Errorf("removed (-want +got):\n%s", diff)
			}
		}
	}
	deepCheck(t, s)
}

// TestLedgerKeepsWhatWasWritten changes a record through the triggers, and
// looks before and after the change is folded.
func TestLedgerKeepsWhatWasWritten(t *testing.T) {
	s, url := open(t)
	other := foreign(t, url)
	putOwners(t, s, 1)
	e := execution(now)
	appendAll(t, s, e)
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	keys, err := ledger.GenerateKeys(rand.Reader, "example.com/audit")
	if err != nil {
		t.Fatal(err)
	}
	proofs := ledger.Service{Log: s, Keys: keys}
	exec(t, other, "UPDATE sandbox_execution_logs SET execution_time = 1")
	for range 2 {
		var found []ledger.Finding
		if _, err := ledger.VerifyLog(t.Context(), s, ledger.Verification{
			Report: func(f ledger.Finding) { found = append(found, f) },
		}); err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 || found[0].Kind != ledger.Altered || found[0].ID != e.Execution.ID.String() {
			t.Errorf("found %+v, want that %s was altered", found, e.Execution.ID)
		}
		stored, err := s.Execution(t.Context(), e.Execution.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proofs.Receipt(t.Context(), stored, now); sandtrail.CodeOf(err) != sandtrail.CodeConflict {
			t.Errorf("receipt of what was altered: %v, want a conflict", err)
		}
		if err := s.Maintain(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
}

// ledgerTargets migrates one database, of which every target is a copy.
func ledgerTargets(t *testing.T) ledgertest.Opener {
	return func(t *testing.T) ledgertest.Target { return ledgerTarget(t, template.copy(t)) }
}

func ledgerTarget(t *testing.T, url string) ledgertest.Target {
	s, other := openAt(t, url, postgres.Options{}), foreign(t, url)
	exec(t, other, "SET timezone = 'UTC'")
	return ledgertest.Target{
		Store: s, URL: url, Tables: "sandtrail.ledger_", IDs: "sandtrail.ids", FixedOwners: pgtest.OnCitus(),
		Plain: func(statements ...string) error {
			err := pgtest.ExecAll(t.Context(), other, statements...)
			reconcile(t, s) // or a record that goes and comes again would have been changed
			return err
		},
		Behind: func(t testing.TB, statements ...string) {
			statements = append([]string{"SET LOCAL session_replication_role = replica"}, statements...)
			if err := pgtest.ExecAll(t.Context(), other, statements...); err != nil {
				t.Fatal(err)
			}
		},
	}
}
