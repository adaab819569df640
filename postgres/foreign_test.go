package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// partitions lists the partitions that hold rows, with their number. Shards of
// one are called after it.
const partitions = `SELECT coalesce(string_agg(p || '=' || n, ' ' ORDER BY p), '') FROM (
	SELECT regexp_replace(tableoid::regclass::text, '(logs_[a-z0-9]+)_[0-9]+$', '\1') AS p, count(*) AS n FROM sandbox_execution_logs GROUP BY 1) c`

func TestAppendMakesThePartitionsItNeeds(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 1)
	appendAll(t, s, execution(now), execution(now.AddDate(0, 0, -80)), execution(now.AddDate(-9, 0, 0)))
	got := value[string](t, foreign(t, url), partitions)
	if want := "sandtrail.logs_20171120=1 sandtrail.logs_20260831=1 sandtrail.logs_20261123=1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	deepCheck(t, s)
}

func TestForeignRowsOfAnyTimeAreTakenAndMoved(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 1)
	conn := foreign(t, url)
	exec(t, conn, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time)
		VALUES ('u0', 's0', 'VALIDATION', true, 5)`) // id and time by default
	for _, days := range []int{0, 120, 121, 400, -100} {
		exec(t, conn, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
			VALUES ('u0', 's0', 'VALIDATION', true, 5, $1)`, now.AddDate(0, 0, -days))
	}
	q := sandtrail.Query{Limit: 1}
	read := 0
	for page, err := s.Executions(t.Context(), q, now); ; page, err = s.Executions(t.Context(), q, now) {
		if err != nil {
			t.Fatal(err)
		}
		read += len(page.Items)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			break
		}
	}
	if read != 6 {
		t.Errorf("read %d of 6 rows before they were moved", read)
	}
	if strays := value[int](t, conn, "SELECT count(*) FROM sandtrail.logs_default"); strays == 0 {
		t.Error("no stray row to move")
	}
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if got := value[string](t, conn, partitions); strings.Contains(got, "default") || strings.Count(got, "=") < 4 {
		t.Errorf("after Maintain: %s", got)
	}
	deepCheck(t, s)
}

// A sender whose record was stored while triggers were disabled sends it again, with
// others: from an outbox, say.
func TestWhatWasStoredPastTheTriggersIsNotStoredTwice(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 1)
	a := execution(now)
	conn := foreign(t, url)
	exec(t, conn, "SET session_replication_role = replica")
	exec(t, conn, `INSERT INTO sandbox_execution_logs (id, user_id, strategy_id, execution_type, success, execution_time, created_at)
		VALUES ($1, 'u0', 's0', 'VALIDATION', true, 120, $2)`, a.Execution.ID.String(), a.Execution.CreatedAt)
	many := []sandtrail.Admitted{a}
	for range 300 { // more than one statement stores at once
		many = append(many, execution(now))
	}
	for _, batch := range [][]sandtrail.Admitted{{a}, {a, execution(now)}, many} {
		if done := appendAll(t, s, batch...); done.Accepted != len(batch)-1 || done.Duplicates != 1 {
			t.Errorf("of %d with one that was stored: %d accepted, %d duplicates", len(batch), done.Accepted, done.Duplicates)
		}
	}
	other := execution(now, func(e *sandtrail.Execution) { e.ID, e.ExecutionTime = a.Execution.ID, 7 })
	if _, err := s.Append(t.Context(), []sandtrail.Admitted{other}); !errors.Is(err, sandtrail.CodeConflict) {
		t.Errorf("another record of its id: %v, want ErrConflict", err)
	}
}

func TestIDsAreUniqueAcrossPartitionsWhoeverWrites(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 1)
	a := execution(now)
	appendAll(t, s, a)
	_, err := foreign(t, url).Exec(t.Context(), `INSERT INTO sandbox_execution_logs
		(id, user_id, strategy_id, execution_type, success, execution_time, created_at)
		VALUES ($1, 'u0', 's0', 'VALIDATION', true, 5, $2)`, a.Execution.ID.String(), now.AddDate(0, -1, 0))
	if err == nil && !pgtest.OnCitus() {
		t.Error("the same id was stored in two partitions")
	}
	moved := execution(now.AddDate(0, 0, -14), func(e *sandtrail.Execution) { e.ID = a.Execution.ID })
	if _, err := s.Append(t.Context(), []sandtrail.Admitted{moved}); !errors.Is(err, sandtrail.CodeConflict) {
		t.Errorf("the same id at another time: %v, want ErrConflict", err)
	}
	moved.TimeDefaulted = true
	if done := appendAll(t, s, moved); done.Duplicates != 1 {
		t.Errorf("the same record retried without its time: %+v, want a duplicate", done)
	}
}

func TestForeignChangesAreFollowed(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 4)
	conn := foreign(t, url)
	var batch []sandtrail.Admitted
	for i := range 200 {
		batch = append(batch, execution(now.Add(-time.Duration(i)*13*time.Hour), func(e *sandtrail.Execution) {
			e.UserID, e.StrategyID = fmt.Sprint("u", i%4), fmt.Sprint("s", i%3)
		}))
	}
	appendAll(t, s, batch...)
	rename := "UPDATE users SET id = 'renamed' WHERE id = 'u2'"
	if pgtest.OnCitus() { // a user with executions keeps the id
		rename = "INSERT INTO users VALUES ('renamed', 'renamed@example.com')"
	}
	for _, statement := range []string{
		`UPDATE sandbox_execution_logs SET created_at = (created_at AT TIME ZONE 'UTC' - interval '30 days') AT TIME ZONE 'UTC'
			WHERE user_id = 'u1'`, // to other partitions
		"UPDATE sandbox_execution_logs SET success = NOT success WHERE user_id = 'u3'",
		rename,
		"UPDATE strategies SET id = 'also renamed' WHERE id = 's0'",
		"DELETE FROM users WHERE id = 'u0'",
		"DELETE FROM strategies WHERE id = 's2'",
		"DELETE FROM sandbox_execution_logs WHERE user_id = 'renamed' AND success",
		`INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time)
			SELECT 'u1', 's1', 'TERMINAL', false, n FROM generate_series(1, 50) n`,
		"TRUNCATE sandbox_execution_logs",
	} {
		exec(t, conn, statement)
		if err := s.Maintain(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		deepCheck(t, s)
	}
	if n := value[int](t, conn, "SELECT count(*) FROM sandtrail.ids"); n != 0 {
		t.Errorf("%d ids are left of no executions", n)
	}
}

// TestIDsCannotChange: whatever an id was given to keeps it.
func TestIDsCannotChange(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("without triggers an update of an id is found when it is reconciled")
	}
	s, url := open(t)
	putOwners(t, s, 1)
	appendAll(t, s, execution(now), execution(now.AddDate(0, 0, -30)))
	conn := foreign(t, url)
	for _, statement := range []string{
		"UPDATE sandbox_execution_logs SET id = gen_random_uuid()",
		"UPDATE sandbox_execution_logs SET id = md5(id::text)::uuid, user_id = user_id WHERE created_at > '2026-11-20'",
	} {
		if _, err := conn.Exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "cannot change") {
			t.Errorf("%s: %v, want that the id cannot change", statement, err)
		}
	}
	exec(t, conn, "UPDATE sandbox_execution_logs SET id = id, success = NOT success")
	deepCheck(t, s)
}

func TestDoctorFindsLocalTime(t *testing.T) {
	s, url := open(t)
	conn := foreign(t, url)
	db := value[string](t, conn, "SELECT current_database()")
	exec(t, conn, "ALTER DATABASE "+db+" SET timezone TO 'Europe/Paris'")
	checks, err := s.Doctor(t.Context(), database.Shallow, now)
	if err != nil {
		t.Fatal(err)
	}
	if c := checks[0]; c.OK || !strings.Contains(c.Detail, "Europe/Paris") || c.Fix != `ALTER DATABASE "`+db+`" SET timezone TO 'UTC'` {
		t.Errorf("got %+v", c)
	}
	exec(t, conn, checks[0].Fix)
	deepCheck(t, s)
}

func TestLocalSessionsDoNotShiftOurTimes(t *testing.T) {
	s, url := open(t)
	conn := foreign(t, url)
	exec(t, conn, "ALTER DATABASE "+value[string](t, conn, "SELECT current_database()")+" SET timezone TO 'Asia/Kolkata'")
	local := openAt(t, url, postgres.Options{})
	putOwners(t, s, 1)
	a := execution(now.Add(-7 * 24 * time.Hour))
	appendAll(t, local, a)
	if err := local.Maintain(t.Context(), now.AddDate(0, 1, 0)); err != nil {
		t.Fatal(err)
	}
	got, err := local.Execution(t.Context(), a.Execution.ID)
	if err != nil || !got.CreatedAt.Equal(a.Execution.CreatedAt) {
		t.Errorf("got %v, %v, want %v", got.CreatedAt, err, a.Execution.CreatedAt)
	}
	if n := value[int](t, conn, `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'sandtrail' AND relname = 'logs_20261116'`); n != 1 {
		t.Error("the week does not begin on Monday in UTC")
	}
}

func TestCleanupDropsWholeWeeksAndCountsExactly(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 1)
	var batch []sandtrail.Admitted
	before := now.AddDate(0, 0, -20)
	for i := range 1000 {
		batch = append(batch, execution(now.Add(-time.Duration(i)*time.Hour)))
	}
	batch = append(batch, execution(before), execution(before.Add(-time.Millisecond)))
	appendAll(t, s, batch...)
	conn := foreign(t, url)
	exec(t, conn, `INSERT INTO strategies (id, name) VALUES ('kept', 'Kept'), ('idle', 'Idle')`)
	exec(t, conn, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
		VALUES ('u0', 's0', 'VALIDATION', true, 5, '2000-01-01'), -- a stray
			('u0', 'kept', 'VALIDATION', true, 5, '2026-10-14')`)
	old := sandtrail.Cutoff{Before: before, Strategies: map[string]time.Time{"kept": {}, "idle": {}}}
	want, err := s.CountBefore(t.Context(), old)
	if err != nil || want != value[int64](t, conn, "SELECT count(*) FROM sandbox_execution_logs WHERE created_at < $1 AND strategy_id <> 'kept'", before) {
		t.Fatalf("counted %d, %v", want, err)
	}
	if got, err := s.Cleanup(t.Context(), old); err != nil || got != want {
		t.Errorf("deleted %d, %v; want %d", got, err, want)
	}
	if oldest := value[time.Time](t, conn, "SELECT min(created_at) FROM sandbox_execution_logs WHERE strategy_id <> 'kept'"); !oldest.Equal(before) {
		t.Errorf("oldest left: %v, want %v", oldest, before)
	}
	if n := value[int](t, conn, "SELECT count(*) FROM pg_class WHERE relname LIKE 'logs_20261019'"); n != 0 {
		t.Error("a week that is old as a whole still has its partition")
	}
	if got := value[string](t, conn, partitions); !strings.HasPrefix(got, "sandtrail.logs_20261012=1 sandtrail.logs_20261102=") {
		t.Errorf("partitions with rows: %s, want the first to have the execution that is kept alone", got)
	}
	deepCheck(t, s)
}

func TestPurgeInBatches(t *testing.T) {
	s, _ := open(t)
	putOwners(t, s, 2)
	for range 2 {
		var batch []sandtrail.Admitted
		for i := range 6000 {
			batch = append(batch, execution(now.Add(-time.Duration(i)*time.Minute), func(e *sandtrail.Execution) {
				e.UserID = fmt.Sprint("u", i%2)
			}))
		}
		appendAll(t, s, batch...)
	}
	if n, err := s.DeleteUser(t.Context(), "u1"); err != nil || n != 6000 {
		t.Errorf("user: %d, %v; want 6000", n, err)
	}
	if n, err := s.DeleteStrategy(t.Context(), "s0"); err != nil || n != 6000 {
		t.Errorf("strategy: %d, %v; want 6000", n, err)
	}
	if _, err := s.DeleteStrategy(t.Context(), "s0"); !errors.Is(err, sandtrail.CodeNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	deepCheck(t, s)
}
