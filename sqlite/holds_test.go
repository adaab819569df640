package sqlite_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/storetest"
)

func TestHoldsBind(t *testing.T) {
	storetest.HoldsBind(t, func(t *testing.T) (database.Database, func(...string) error) {
		s, other := withOther(t)
		return s, other
	})
}

// REPLACE removes rows without the triggers of a removal, where a client has
// SQLite's defaults.
func TestHoldsBindAgainstReplace(t *testing.T) {
	s, other := withOther(t)
	const columns = "(rowid, id, user_id, strategy_id, execution_type, success, execution_time)"
	do := func(statement string) {
		t.Helper()
		if err := other(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	do("INSERT INTO users (id, email) VALUES ('u', 'u'), ('v', 'v')")
	do("INSERT INTO strategies (id, name) VALUES ('s', 's')")
	held, free := sandtrail.NewID(noon).String(), sandtrail.NewID(noon).String()
	do("INSERT INTO sandbox_execution_logs " + columns + " VALUES (5, '" + held + "', 'u', 's', 'TERMINAL', 1, 1), (6, '" + free + "', 'v', 's', 'TERMINAL', 1, 1)")
	hold := sandtrail.Hold{Subject: sandtrail.Users, SubjectID: "u", Reason: "r", CreatedBy: "cli", CreatedAt: noon}
	if err := s.PutHold(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	other2 := sandtrail.NewID(noon).String()
	for _, statement := range []string{
		"INSERT OR REPLACE INTO sandbox_execution_logs " + columns + " VALUES (9, '" + held + "', 'v', 's', 'TERMINAL', 1, 1)",
		"INSERT OR REPLACE INTO sandbox_execution_logs " + columns + " VALUES (5, '" + other2 + "', 'v', 's', 'TERMINAL', 1, 1)",
		"UPDATE OR REPLACE sandbox_execution_logs SET id = '" + held + "' WHERE id = '" + free + "'",
		"UPDATE OR REPLACE sandbox_execution_logs SET rowid = 5 WHERE id = '" + free + "'",
		"REPLACE INTO users (id, email) VALUES ('u', 'new')",
	} {
		if err := other(statement); err == nil || !strings.Contains(err.Error(), "legal hold") && !strings.Contains(err.Error(), "cannot change") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	do("INSERT OR IGNORE INTO sandbox_execution_logs " + columns + " VALUES (9, '" + held + "', 'v', 's', 'TERMINAL', 1, 1)")
	do("INSERT INTO sandbox_execution_logs " + columns + " VALUES (9, '" + held + "', 'v', 's', 'TERMINAL', 1, 1) ON CONFLICT (id) DO UPDATE SET warning_count = 1")
	do("INSERT OR REPLACE INTO sandbox_execution_logs " + columns + " VALUES (9, '" + free + "', 'v', 's', 'TERMINAL', 1, 2)")
	if _, err := s.DeleteUser(t.Context(), "u"); !errors.Is(err, sandtrail.CodeHeld) {
		t.Errorf("delete: %v, want ErrHeld", err)
	}
}

// TestHeldOwnersSayWhy deletes held owners that have no executions.
func TestHeldOwnersSayWhy(t *testing.T) {
	s, other := withOther(t)
	if err := other("INSERT INTO users (id, email) VALUES ('u', 'u')", "INSERT INTO strategies (id, name) VALUES ('s', 's')"); err != nil {
		t.Fatal(err)
	}
	for subject, id := range map[sandtrail.Subject]string{sandtrail.Users: "u", sandtrail.Strategies: "s"} {
		hold := sandtrail.Hold{Subject: subject, SubjectID: id, Reason: "r", CreatedBy: "cli", CreatedAt: noon}
		if err := s.PutHold(t.Context(), hold); err != nil {
			t.Fatal(err)
		}
	}
	for statement, want := range map[string]string{
		"DELETE FROM users": "a legal hold keeps this user", "DELETE FROM strategies": "a legal hold keeps this strategy",
	} {
		if err := other(statement); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", statement, err, want)
		}
	}
}

// withOther is a store and another client of its file, with the driver's
// defaults but for foreign keys.
func withOther(t *testing.T) (database.Database, func(...string) error) {
	path := filepath.Join(t.TempDir(), "sandtrail.db")
	s := openAt(t, path)
	if _, err := s.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return s, func(statements ...string) error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		for _, statement := range statements {
			if _, err := tx.Exec(statement); err != nil {
				return err
			}
		}
		return tx.Commit()
	}
}
