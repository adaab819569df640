package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sandtrail/sandtrail/ledger/ledgertest"
	"github.com/sandtrail/sandtrail/sqlite"
)

func TestLedger(t *testing.T) {
	open := ledgerTargets(t)
	t.Run("state", func(t *testing.T) { ledgertest.State(t, open(t)) })
	t.Run("no false alarm", func(t *testing.T) { ledgertest.Lawful(t, open, ledgertest.Rounds(t, 3)) })
	t.Run("hostile operator", func(t *testing.T) { ledgertest.Hostile(t, open, ledgertest.Rounds(t, 1)) })
	t.Run("crashes", func(t *testing.T) { ledgertest.Crash(t, open, stepped, ledgertest.Rounds(t, 3)) })
	t.Run("kills", func(t *testing.T) { ledgertest.Kill(t, open, ledgertest.Rounds(t, 1)) })
}

// ledgerTargets migrates one database, of which every target is a copy.
func ledgerTargets(t *testing.T) ledgertest.Opener {
	template := filepath.Join(t.TempDir(), "template.db")
	s, err := sqlite.Open(t.Context(), template, sqlite.Options{})
	if err == nil {
		_, err = s.Migrate(t.Context(), noon)
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) ledgertest.Target {
		path := filepath.Join(t.TempDir(), "ledger.db")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return ledgerTarget(t, path)
	}
}

func ledgerTarget(t *testing.T, path string) ledgertest.Target {
	s := openAt(t, path)
	// The driver's defaults, as another client has them, with foreign keys on.
	other, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return ledgertest.Target{
		Store: s, URL: path, Tables: "sandtrail_ledger_",
		Plain: func(statements ...string) error { return execAll(other, statements) },
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
			if err := execAll(other, all); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// execAll runs statements in one transaction.
func execAll(db *sql.DB, statements []string) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, text := range statements {
		if _, err := tx.Exec(text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return tx.Commit()
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
