package postgres_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
)

// TestRepairAfterReset drops the schema of the application, as prisma migrate
// reset does: every command says what happened and what to do, and a repair
// begins a new log beside the old one's ledger.
func TestRepairAfterReset(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 2)
	appendAll(t, s, execution(now))
	key, _ := auth.NewKey("app", auth.RoleAdmin, "", now)
	if err := s.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, execution(now), execution(now))
	watch := witnessing(t)
	if err := watch.add(s, watch.old); err != nil {
		t.Fatal(err)
	}
	conn := foreign(t, url)
	exec(t, conn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")

	s = openAt(t, url, postgres.Options{})
	_, migrated := s.Migrate(t.Context(), now)
	_, listed := s.Executions(t.Context(), sandtrail.Query{}, now)
	for _, err := range []error{migrated, listed} {
		if !errors.Is(err, sandtrail.CodeUnavailable) || !offers(err, "repair") {
			t.Errorf("after the reset: %v, want ErrUnavailable naming the repair", err)
		}
	}
	checks, err := s.Doctor(t.Context(), database.Deep, now)
	if err != nil || checks[len(checks)-1].OK || checks[len(checks)-1].Fix != "sandtrail migrate --repair" {
		t.Errorf("doctor: %+v, %v", checks, err)
	}
	s = openAt(t, url, postgres.Options{Repair: true})
	if _, err := s.Migrate(t.Context(), now); !errors.Is(err, sandtrail.CodeConflict) || !strings.Contains(err.Error(), "prisma migrate dev") {
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
	err = watch.add(s, watch.old)
	if !errors.Is(err, ledger.ErrForked) || !strings.Contains(err.Error(), "closed at 2026-11-25T12:00:00Z: sign this one with a new key") {
		t.Errorf("witnessed with the old key: %v, want the repair and the way on", err)
	}
	if err := watch.add(s, watch.new); err != nil {
		t.Errorf("witnessed with a new key: %v", err)
	}
	const noted = "SELECT count(*) FROM sandtrail.access_log WHERE action = 'repair' AND object LIKE 'sandtrail\\_reset\\_%'"
	if n := value[int](t, conn, noted); n != 1 {
		t.Errorf("%d entries of the repair, want 1", n)
	}
	if n := value[int](t, conn, "SELECT count(*) FROM sandtrail_reset_20261125_120000.ids"); n != 3 {
		t.Errorf("the old log kept %d ids, want 3", n)
	}
	if applied := migrate(t, openAt(t, url, postgres.Options{Repair: true})); len(applied) != 0 {
		t.Errorf("repaired again: %v", applied)
	}
}

// watched is a log that signs with an old or a new key, and is its own witness.
type watched struct {
	t        *testing.T
	old, new ledger.Keys
}

func witnessing(t *testing.T) watched {
	t.Helper()
	w := watched{t: t}
	for keys, origin := range map[*ledger.Keys]string{&w.old: "example.com/old", &w.new: "example.com/new"} {
		var err error
		if *keys, err = ledger.GenerateKeys(rand.Reader, origin); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// add has the witness, in the same database, take the newest checkpoint.
func (w watched) add(s *postgres.Store, keys ledger.Keys) error {
	ctx := w.t.Context()
	logs, err := ledger.ParseVerifiers(append(w.old.Public(), w.new.Public()...)...)
	if err != nil {
		return err
	}
	if err := s.Maintain(ctx, now); err != nil {
		return err
	}
	service := ledger.Service{Log: s, Keys: keys}
	signed, err := service.Checkpoint(ctx, now)
	if err != nil {
		return err
	}
	witness := ledger.Witness{Memory: s, Logs: logs, Keys: func() ledger.Keys { return keys }}
	request, err := service.WitnessRequest(ctx, 0, signed)
	if err != nil {
		return err
	}
	_, err = witness.AddCheckpoint(ctx, request, now)
	var seen *ledger.ConflictError
	if errors.As(err, &seen) {
		_, err = service.WitnessRequest(ctx, seen.Size, signed)
	}
	return err
}
