package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/storetest"
)

// TestKeysOfEveryType records and reads through tables that an application has
// made, with keys of each type that SQLite knows.
func TestKeysOfEveryType(t *testing.T) {
	for _, c := range []struct {
		users, strategies string
		keys              storetest.KeyNames
	}{
		{"TEXT NOT NULL PRIMARY KEY", "TEXT NOT NULL PRIMARY KEY", storetest.KeyNames{User: "007", Strategy: "S0", Nobody: "7"}},
		{
			"INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "BIGINT NOT NULL PRIMARY KEY",
			storetest.KeyNames{User: "7", UserToo: "007", Strategy: "9007199254740993", StrategyToo: "+9007199254740993", Nobody: "nobody"},
		},
	} {
		t.Run(c.users, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec("PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE users (id " + c.users + ", email TEXT NOT NULL UNIQUE, name TEXT); CREATE TABLE strategies (id " + c.strategies + ", name TEXT NOT NULL)"); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			s, now := openAt(t, path), time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
			if _, err := s.Migrate(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			storetest.Keys(t, s, now, c.keys)
		})
	}
}
