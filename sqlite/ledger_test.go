package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/sandtrail/sandtrail/ledger/ledgertest"
)

func TestLedger(t *testing.T) {
	t.Run("state", func(t *testing.T) { ledgertest.State(t, ledgerTarget(t)) })
	t.Run("no false alarm", func(t *testing.T) { ledgertest.Lawful(t, ledgerTarget(t), ledgertest.Rounds(t, 40)) })
	t.Run("hostile operator", func(t *testing.T) { ledgertest.Hostile(t, ledgerTarget(t), ledgertest.Rounds(t, 2)) })
	t.Run("crashes", func(t *testing.T) {
		target := ledgerTarget(t)
		ledgertest.Crash(t, target, faultyAt(target.URL), ledgertest.Rounds(t, 6))
	})
}

func ledgerTarget(t *testing.T) ledgertest.Target {
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := openAt(t, path)
	if _, err := s.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	// The driver's defaults, as another client has them, with foreign keys on.
	other, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return ledgertest.Target{
		Store: s, URL: path, Tables: "sandtrail_ledger_",
		Plain: func(t testing.TB, statements ...string) { execAll(t, other, statements) },
		Behind: func(t testing.TB, statements ...string) {
			triggers := triggersOf(t, other)
			var all []string
			for name := range triggers {
				all = append(all, "DROP TRIGGER "+name)
			}
			all = append(all, "PRAGMA defer_foreign_keys = ON")
			all = append(all, statements...)
			for _, text := range triggers {
				all = append(all, text)
			}
			execAll(t, other, all)
		},
	}
}

// execAll runs statements in one transaction.
func execAll(t testing.TB, db *sql.DB, statements []string) {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, text := range statements {
		if _, err := tx.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func triggersOf(t testing.TB, db *sql.DB) map[string]string {
	t.Helper()
	rows, err := db.Query(`SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	triggers := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		triggers[name] = text
	}
	return triggers
}
