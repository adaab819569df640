package postgres_test

import (
	"testing"

	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/storetest"
)

// withForeignTables opens a store in a database in which an application has
// made its tables, and another client's connection to it.
func withForeignTables(t *testing.T) (storetest.ForeignStore, storetest.ForeignWriter) {
	url := pgtest.New(t)
	other := foreign(t, url)
	exec(t, other, "SET timezone = 'UTC'")
	exec(t, other, `CREATE TABLE users (id text PRIMARY KEY, email text UNIQUE, name text)`)
	exec(t, other, `CREATE TABLE strategies (id text PRIMARY KEY, name text)`)
	s := openAt(t, url, postgres.Options{})
	migrate(t, s)
	return s, storetest.ForeignWriter{
		Exec: func(statement string) error {
			_, err := other.Exec(t.Context(), statement)
			return err
		},
		Values: map[string][]string{
			"created_at": {
				"'4713-01-01 00:00:00 BC'", "'0044-03-15 12:00:00 BC'", "'10000-01-01 00:00:00'", "'294276-12-31 23:59:59.999'",
				"to_timestamp(1764500000000)", "'2026-11-24 11:00:00.123456'",
			},
		},
		Refused: map[string][]string{
			"cpu_usage":  {"'Infinity'", "'NaN'", "-1"},
			"created_at": {"'infinity'", "'-infinity'"},
		},
	}
}

func TestForeignValues(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("Citus distributes tables of its own making")
	}
	storetest.ForeignValues(t, withForeignTables)
}
