package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/storetest"
)

func TestHoldsBind(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("there the user of an execution cannot change, and holds do not follow a strategy")
	}
	storetest.HoldsBind(t, func(t *testing.T) (database.Database, func(...string) error) {
		url := template.copy(t)
		s, other := openAt(t, url, postgres.Options{}), foreign(t, url)
		return s, func(statements ...string) error {
			return pgtest.ExecAll(t.Context(), other, statements...)
		}
	})
}

// Renaming the owner and moving its executions in one statement binds them.
func TestHoldsBindWithinAStatement(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("there the user of an execution cannot change")
	}
	s, url := open(t)
	other := foreign(t, url)
	putOwners(t, s, 2)
	appendAll(t, s, execution(now))
	hold(t, s, sandtrail.Users, "u0")
	exec(t, other, `WITH moved AS (UPDATE sandbox_execution_logs SET user_id = 'u1' WHERE user_id = 'u0' RETURNING 1)
		UPDATE users SET id = 'renamed' WHERE id = 'u0'`)
	mustBeHeld(t, other, "DELETE FROM sandbox_execution_logs")
	mustBeHeld(t, other, "TRUNCATE users CASCADE")
	mustBeHeld(t, other, "TRUNCATE sandbox_execution_logs")
	exec(t, other, "DELETE FROM sandtrail.holds")
	exec(t, other, "DELETE FROM sandbox_execution_logs")
}

// A transaction whose snapshot is older than the hold removes nothing that is
// held, and moves nothing out of it.
func TestHoldsBindOlderSnapshots(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("there is no trigger that could refuse")
	}
	for level, want := range map[pgx.TxIsoLevel]string{pgx.ReadCommitted: "SHELD", pgx.RepeatableRead: "40001", pgx.Serializable: "40001"} {
		for name, removal := range map[string]string{
			"delete": "DELETE FROM sandbox_execution_logs",
			"owner":  "DELETE FROM users WHERE id = 'u0'",
			"move":   "UPDATE sandbox_execution_logs SET user_id = 'u1'",
		} {
			t.Run(string(level)+" "+name, func(t *testing.T) {
				url := template.copy(t)
				s, other := openAt(t, url, postgres.Options{}), foreign(t, url)
				putOwners(t, s, 2)
				appendAll(t, s, execution(now))
				tx, err := other.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec(t.Context(), "SELECT count(*) FROM sandbox_execution_logs"); err != nil {
					t.Fatal(err)
				}
				hold(t, s, sandtrail.Users, "u0")
				_, err = tx.Exec(t.Context(), removal)
				if err == nil && name == "move" && level == pgx.ReadCommitted { // which binds
					_, err = tx.Exec(t.Context(), "DELETE FROM sandbox_execution_logs")
				}
				want := want
				if name == "owner" { // the hold itself refuses, whatever the snapshot shows
					want = "SHELD"
				}
				if code := stateOf(err); code != want {
					t.Errorf("%v, want SQLSTATE %s", err, want)
				}
			})
		}
	}
}

// A held owner is refused as held, whether it has executions or not, and
// whichever foreign key the database looks at first.
func TestHeldOwnersAreRefusedAsHeld(t *testing.T) {
	s, url := open(t)
	other := foreign(t, url)
	putOwners(t, s, 2)
	appendAll(t, s, execution(now)) // of u0 and s0
	for _, id := range []string{"0", "1"} {
		hold(t, s, sandtrail.Users, "u"+id)
		hold(t, s, sandtrail.Strategies, "s"+id)
	}
	refused := func(t *testing.T) {
		for _, id := range []string{"0", "1"} {
			if !pgtest.OnCitus() { // there only the store refuses
				mustBeHeld(t, other, "DELETE FROM users WHERE id = 'u"+id+"'")
				mustBeHeld(t, other, "DELETE FROM strategies WHERE id = 's"+id+"'")
			}
			if _, err := s.DeleteUser(t.Context(), "u"+id); !errors.Is(err, sandtrail.CodeHeld) {
				t.Errorf("delete user: %v, want ErrHeld", err)
			}
			if _, err := s.DeleteStrategy(t.Context(), "s"+id); !errors.Is(err, sandtrail.CodeHeld) {
				t.Errorf("delete strategy: %v, want ErrHeld", err)
			}
		}
	}
	t.Run("as migrated", refused)
	if pgtest.OnCitus() {
		return
	}
	key := value[string](t, other, `SELECT format('ALTER TABLE sandbox_execution_logs DROP CONSTRAINT %1$I, ADD CONSTRAINT %1$I %2$s', conname, pg_get_constraintdef(oid))
		FROM pg_constraint WHERE conrelid = 'sandbox_execution_logs'::regclass AND contype = 'f' AND confrelid = 'users'::regclass AND conparentid = 0`)
	exec(t, other, key)
	t.Run("the executions' key made anew", refused)
	exec(t, other, "DELETE FROM sandtrail.holds")
	exec(t, other, "DELETE FROM users")
}

// A migration keeps the holds that were placed before: on owners however they
// are spelled, and on those that are gone.
func TestMigrationKeepsHolds(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("a distributed database was made by later versions")
	}
	url := pgtest.New(t)
	other := foreign(t, url)
	exec(t, other, "CREATE TABLE users (id uuid PRIMARY KEY, email text NOT NULL)")
	s := openAt(t, url, postgres.Options{})
	list, err := s.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.MigrateTo(t.Context(), s, now, 8); err != nil {
		t.Fatal(err)
	}
	user := sandtrail.NewID(now).String()
	exec(t, other, "INSERT INTO users VALUES ($1, 'a@example.com')", user)
	exec(t, other, "INSERT INTO strategies VALUES ('s0', 'S'), ('s1', 'T')")
	exec(t, other, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
		VALUES ($1, 's0', 'TERMINAL', true, 1, $2), ($1, 's1', 'TERMINAL', true, 1, $2)`, user, now)
	exec(t, other, `INSERT INTO sandtrail.holds (subject, subject_id, reason, created_by, created_at) VALUES
		('user', $1, 'case 7', 'cli', $2), ('strategy', 's1', 'case 8', 'cli', $2), ('strategy', 'gone', 'case 9', 'cli', $2)`, strings.ToUpper(user), now)
	if applied := migrate(t, s); len(applied) != len(list)-8 {
		t.Errorf("%d migrations were applied, want %d", len(applied), len(list)-8)
	}
	want := []sandtrail.Hold{
		{Subject: sandtrail.Strategies, SubjectID: "gone", Reason: "case 9", CreatedBy: "cli", CreatedAt: now},
		{Subject: sandtrail.Strategies, SubjectID: "s1", Reason: "case 8", CreatedBy: "cli", CreatedAt: now},
		{Subject: sandtrail.Users, SubjectID: user, Reason: "case 7", CreatedBy: "cli", CreatedAt: now},
	}
	got, err := s.Holds(t.Context())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("holds: %v (-want +got):\n%s", err, diff)
	}
	mustBeHeld(t, other, "DELETE FROM sandbox_execution_logs WHERE strategy_id = 's0'")
	mustBeHeld(t, other, "DELETE FROM users")
	exec(t, other, "UPDATE strategies SET id = 'renamed' WHERE id = 's1'")
	mustBeHeld(t, other, "DELETE FROM strategies WHERE id = 'renamed'")
	for _, h := range []sandtrail.Hold{{Subject: sandtrail.Strategies, SubjectID: "gone"}, {Subject: sandtrail.Strategies, SubjectID: "renamed"}, want[2]} {
		if err := s.RemoveHold(t.Context(), h.Subject, h.SubjectID); err != nil {
			t.Error(err)
		}
	}
	exec(t, other, "DELETE FROM users")
	deepCheck(t, s)
}

// Owners whose keys are UUIDs are held however their ids are spelled.
func TestHoldsAreOnIDsAsTheDatabaseSpellsThem(t *testing.T) {
	url := pgtest.New(t)
	other := foreign(t, url)
	exec(t, other, "CREATE TABLE users (id uuid PRIMARY KEY, email text NOT NULL)")
	s := openAt(t, url, postgres.Options{})
	migrate(t, s)
	id := sandtrail.NewID(now).String()
	exec(t, other, "INSERT INTO users VALUES ($1, 'a@example.com')", id)
	exec(t, other, "INSERT INTO strategies VALUES ('s0', 'S')")
	appendAll(t, s, execution(now, func(e *sandtrail.Execution) { e.UserID = id }))
	hold(t, s, sandtrail.Users, strings.ToUpper(id))
	holds, err := s.Holds(t.Context())
	if err != nil || len(holds) != 1 || holds[0].SubjectID != id {
		t.Errorf("holds are %+v, %v; want one on %s", holds, err, id)
	}
	if _, err := s.DeleteUser(t.Context(), id); !errors.Is(err, sandtrail.CodeHeld) {
		t.Errorf("delete: %v, want ErrHeld", err)
	}
	if !pgtest.OnCitus() {
		mustBeHeld(t, other, "DELETE FROM sandbox_execution_logs")
	}
	if err := s.RemoveHold(t.Context(), sandtrail.Users, "{"+strings.ToUpper(id)+"}"); err != nil {
		t.Error(err)
	}
}

func hold(t testing.TB, s *postgres.Store, subject sandtrail.Subject, id string) {
	t.Helper()
	h := sandtrail.Hold{Subject: subject, SubjectID: id, Reason: "case 7", CreatedBy: "cli", CreatedAt: now}
	if err := s.PutHold(t.Context(), h); err != nil {
		t.Fatal(err)
	}
}

func mustBeHeld(t testing.TB, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); stateOf(err) != "SHELD" {
		t.Errorf("%s: %v, want that it is held", statement, err)
	}
}

func stateOf(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
