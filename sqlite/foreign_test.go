package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/sandtrail/sandtrail/storetest"
)

// withForeignTables opens a store in a file in which an application has made
// its tables, and another client's connection to it.
func withForeignTables(t *testing.T) (storetest.ForeignStore, storetest.ForeignWriter) {
	path := filepath.Join(t.TempDir(), "foreign.db")
	other, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	other.SetMaxOpenConns(1) // of which transactions are
	exec := func(statement string) error {
		_, err := other.ExecContext(t.Context(), statement)
		return err
	}
	for _, statement := range []string{
		"CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT UNIQUE, name TEXT)",
		"CREATE TABLE strategies (id TEXT PRIMARY KEY, name TEXT)",
	} {
		if err := exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	s := openAt(t, path)
	if _, err := s.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	return s, storetest.ForeignWriter{
		Exec: exec,
		Values: map[string][]string{
			"cpu_usage":  {"9e999"},
			"metadata":   {`'{"a":"' || CAST(x'ff' AS TEXT) || '"}'`, "CAST(x'fe' AS TEXT)", "'a' || char(0) || 'b'"},
			"created_at": {"'-4713-11-24 12:00:00.000'", "'-1000-12-31 12:00:00.000'", "'0000-01-01 00:00:00.000'"},
		},
		Refused: map[string][]string{
			"id": {
				"'------------------------------------'", "'019AC000-0000-0000-0000-000000000002'", "'019ac000-0000-0000-0000-000000000003' || char(0) || 'x'",
				"'019ac000-0000-0000-000000000-000004'",
			},
			"created_at": {"'10000-01-01 00:00:00.000'", "'2026-11-24'", "'now'"},
		},
	}
}

func TestForeignValues(t *testing.T) { storetest.ForeignValues(t, withForeignTables) }
