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
	for _, statement := range storetest.ForeignTables {
		exec(t, other, statement)
	}
	s := openAt(t, url, postgres.Options{})
	migrate(t, s)
	return s, storetest.ForeignPostgres(func(statement string) error {
		_, err := other.Exec(t.Context(), statement)
		return err
	})
}

func TestForeignValues(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("Citus distributes tables of its own making")
	}
	storetest.ForeignValues(t, withForeignTables)
}
