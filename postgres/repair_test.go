package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/postgres"
)

// TestRepairAfterReset drops the schema of the application, as prisma migrate
// reset does: every command says what happened and what to do, and a repair
// begins a new log beside the old one's ledger.
func TestRepairAfterReset(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 2)
	appendAll(t, s, execution(now))
	key, _ := sandtrail.NewKey("app", sandtrail.RoleAdmin, "", now)
	if err := s.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	conn := foreign(t, url)
	exec(t, conn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")

	s = openAt(t, url, postgres.Options{})
	_, migrated := s.Migrate(t.Context(), now)
	_, listed := s.Executions(t.Context(), sandtrail.Query{}, now)
	for _, err := range []error{migrated, listed} {
		if !errors.Is(err, sandtrail.ErrUnavailable) || !offers(err, "repair") {
			t.Errorf("after the reset: %v, want ErrUnavailable naming the repair", err)
		}
	}
	checks, err := s.Doctor(t.Context(), sandtrail.Deep, now)
	if err != nil || checks[len(checks)-1].OK || checks[len(checks)-1].Fix != "sandtrail migrate --repair" {
		t.Errorf("doctor: %+v, %v", checks, err)
	}
	s = openAt(t, url, postgres.Options{Repair: true})
	if _, err := s.Migrate(t.Context(), now); !errors.Is(err, sandtrail.ErrConflict) || !strings.Contains(err.Error(), "prisma migrate dev") {
		t.Errorf("repaired without users: %v, want ErrConflict naming what makes them", err)
	}

	exec(t, conn, "CREATE TABLE users (id text PRIMARY KEY, email text UNIQUE NOT NULL, name text); CREATE TABLE strategies (id text PRIMARY KEY, name text NOT NULL)")
	migrate(t, s)
	s = openAt(t, url, postgres.Options{})
	putOwners(t, s, 1)
	appendAll(t, s, execution(now))
	deepCheck(t, s)
	if keys, err := s.Keys(t.Context()); err != nil || len(keys) != 1 || keys[0].ID != key.ID {
		t.Errorf("keys: %+v, %v", keys, err)
	}
	const noted = "SELECT count(*) FROM sandtrail.access_log WHERE action = 'repair' AND object LIKE 'sandtrail\\_reset\\_%'"
	if n := value[int](t, conn, noted); n != 1 {
		t.Errorf("%d entries of the repair, want 1", n)
	}
	if n := value[int](t, conn, "SELECT count(*) FROM sandtrail_reset_20261125_120000.ids"); n != 1 {
		t.Errorf("the old log kept %d ids, want 1", n)
	}
	if applied := migrate(t, openAt(t, url, postgres.Options{Repair: true})); len(applied) != 0 {
		t.Errorf("repaired again: %v", applied)
	}
}
