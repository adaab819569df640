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
	for _, statement := range storetest.ForeignTables {
		if err := exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	s := openAt(t, path)
	if _, err := s.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	return s, storetest.ForeignSQLite(exec)
}

func TestForeignValues(t *testing.T) { storetest.ForeignValues(t, withForeignTables) }
