package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/storetest"
)

func TestHoldsBind(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("there the user of an execution cannot change, and holds do not follow a strategy")
	}
	another := copies(t, "", "2")
	storetest.HoldsBind(t, func(t *testing.T) (sandtrail.Database, func(...string) error) {
		url := another(t)
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
	another := copies(t, "", "2")
	for level, want := range map[pgx.TxIsoLevel]string{pgx.ReadCommitted: "SHELD", pgx.RepeatableRead: "40001", pgx.Serializable: "40001"} {
		for name, removal := range map[string]string{
			"delete": "DELETE FROM sandbox_execution_logs",
			"owner":  "DELETE FROM users WHERE id = 'u0'",
			"move":   "UPDATE sandbox_execution_logs SET user_id = 'u1'",
		} {
			t.Run(string(level)+" "+name, func(t *testing.T) {
				url := another(t)
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
				// The hold's own key of the owner may refuse first.
				if code := stateOf(err); code != want && (name != "owner" || code != "23503") {
					t.Errorf("%v, want SQLSTATE %s", err, want)
				}
			})
		}
	}
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
	if _, err := s.DeleteUser(t.Context(), id); !errors.Is(err, sandtrail.ErrHeld) {
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
