package postgres_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// The same user is stored twice at once: the second looks for the key, waits,
// and meets the email before the key of the user who has come meanwhile.
func TestTheSameOwnerTwiceAtOnce(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("its tables are made in another way")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	address := pgtest.New(t)
	conn, watch := foreign(t, address), foreign(t, address)
	for _, statement := range []string{
		`CREATE FUNCTION hesitate(id text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
			IF current_setting('test.second', true) = 'on' THEN PERFORM pg_advisory_xact_lock_shared(1); END IF;
			RETURN id;
		END $$`,
		"CREATE TABLE users (id text NOT NULL, email text NOT NULL, name text)",
		"CREATE TABLE strategies (id text NOT NULL, name text NOT NULL)",
		// Indexes are filled in the order in which they were made.
		"CREATE INDEX ON users (hesitate(id))",
		"CREATE INDEX ON strategies (hesitate(id))",
		"ALTER TABLE users ADD PRIMARY KEY (id)",
		"ALTER TABLE strategies ADD PRIMARY KEY (id)",
		"CREATE UNIQUE INDEX ON users (email)",
		"CREATE UNIQUE INDEX ON strategies (name)",
	} {
		exec(t, conn, statement)
	}
	first := openAt(t, address, postgres.Options{})
	if _, err := first.Migrate(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := at.Query()
	query.Set("test.second", "on")
	at.RawQuery = query.Encode()
	second := openAt(t, at.String(), postgres.Options{})
	for name, put := range map[string]func(*postgres.Store) error{
		"user": func(s *postgres.Store) error {
			return s.PutUser(ctx, sandtrail.User{ID: "ada", Email: "ada@example.com"})
		},
		"strategy": func(s *postgres.Store) error {
			return s.PutStrategy(ctx, sandtrail.Strategy{ID: "momentum", Name: "Momentum"})
		},
	} {
		exec(t, conn, "SELECT pg_advisory_lock(1)")
		late := make(chan error, 1)
		go func() { late <- put(second) }()
		for !value[bool](t, watch, "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)") {
			select {
			case err := <-late:
				t.Fatalf("%s: the second did not wait: %v", name, err)
			case <-ctx.Done():
				t.Fatalf("%s: the second does not come to wait", name)
			default:
			}
		}
		if err := put(first); err != nil {
			t.Errorf("%s: the first: %v", name, err)
		}
		exec(t, conn, "SELECT pg_advisory_unlock(1)")
		if err := <-late; err != nil {
			t.Errorf("%s: the second: %v", name, err)
		}
	}
}
