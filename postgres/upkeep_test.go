package postgres_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
)

// upkeepFault is something that other clients do to the table of executions.
type upkeepFault struct {
	name string
	do   func(t *testing.T, conn *pgx.Conn)
	undo func(t *testing.T, s *postgres.Store, conn *pgx.Conn)
	// harmless faults keep no step from its work; others are told by doctor
	// in these words.
	told string
}

// idle leaves a transaction open after a statement.
func idle(statement string) func(*testing.T, *pgx.Conn) {
	return func(t *testing.T, conn *pgx.Conn) { exec(t, conn, "BEGIN; "+statement) }
}

func rollback(t *testing.T, _ *postgres.Store, conn *pgx.Conn) { exec(t, conn, "ROLLBACK") }

var upkeepFaults = []upkeepFault{
	{
		"partition detached by hand",
		func(t *testing.T, conn *pgx.Conn) {
			exec(t, conn, "ALTER TABLE sandbox_execution_logs DETACH PARTITION sandtrail.logs_20261130")
		},
		func(t *testing.T, s *postgres.Store, conn *pgx.Conn) {
			exec(t, conn, doctorSays(t, s, "partitions detached").Fix)
		},
		"logs_20261130",
	},
	{
		"partition attached under another name",
		func(t *testing.T, conn *pgx.Conn) {
			exec(t, conn, `ALTER TABLE sandbox_execution_logs DETACH PARTITION sandtrail.logs_20261130;
				ALTER TABLE sandtrail.logs_20261130 RENAME TO theirs;
				ALTER TABLE sandtrail.theirs SET SCHEMA public;
				ALTER TABLE sandbox_execution_logs ATTACH PARTITION theirs FOR VALUES FROM ('2026-11-30 00:00:00+00') TO ('2026-12-07 00:00:00+00')`)
		},
		func(*testing.T, *postgres.Store, *pgx.Conn) {},
		"",
	},
	{
		"partitions of everything before and after",
		func(t *testing.T, conn *pgx.Conn) {
			exec(t, conn, `CREATE TABLE past PARTITION OF sandbox_execution_logs FOR VALUES FROM (MINVALUE) TO ('2020-01-01 12:34:56+00');
				CREATE TABLE future PARTITION OF sandbox_execution_logs FOR VALUES FROM ('2040-01-01 12:34:56+00') TO (MAXVALUE)`)
		},
		func(*testing.T, *postgres.Store, *pgx.Conn) {},
		"",
	},
	{
		"generated column",
		func(t *testing.T, conn *pgx.Conn) {
			exec(t, conn, "ALTER TABLE sandbox_execution_logs ADD COLUMN seconds double precision GENERATED ALWAYS AS (execution_time / 1000.0) STORED")
		},
		func(*testing.T, *postgres.Store, *pgx.Conn) {},
		"",
	},
	{
		"idle writer",
		idle(`INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
			VALUES ('u0', 's0', 'TERMINAL', true, 7, '2026-11-25')`),
		rollback, "idle in transaction",
	},
	{"idle reader", idle("SELECT count(*) FROM sandbox_execution_logs"), rollback, "idle in transaction"},
}

// doctorSays is the first finding of doctor whose name has a part.
func doctorSays(t *testing.T, s *postgres.Store, name string) database.Check {
	t.Helper()
	checks, err := s.Doctor(t.Context(), database.Shallow, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if !c.OK && strings.Contains(c.Name, name) {
			return c
		}
	}
	t.Fatalf("doctor finds nothing wrong of %q: %+v", name, checks)
	return database.Check{}
}

// TestUpkeepGoesOn does to the table what keeps one step of upkeep from its
// work, or did. The others are done meanwhile, appends are quick, and doctor
// says what stands in the way.
func TestUpkeepGoesOn(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("partitions are made there in another way")
	}
	for _, fault := range upkeepFaults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			s, url := open(t)
			putOwners(t, s, 1)
			conn, other := foreign(t, url), foreign(t, url)
			appendAll(t, s, execution(now.AddDate(0, 0, -60)), execution(now.AddDate(0, 0, 6)))
			if err := s.Maintain(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			fault.do(t, conn)
			later := now.AddDate(0, 0, 14) // partitions are to be made
			exec(t, other, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
				VALUES ('u0', 's0', 'TERMINAL', true, 7, '2026-07-01')`)
			start := time.Now()
			appendAll(t, s, execution(now.AddDate(0, 0, -90)), execution(now.AddDate(-7, -6, 0)), execution(now.AddDate(0, 0, -100)), execution(now.AddDate(0, 0, 7)), execution(now))
			if took := time.Since(start); took > 10*time.Second { // it waits for locks a second in all; it waited 15
				t.Errorf("an append took %s", took)
			}
			err := s.Maintain(t.Context(), later)
			if (err != nil) != (fault.told != "") || err != nil && !strings.Contains(err.Error(), fault.told) {
				t.Errorf("upkeep: %v, want it to tell of %q", err, fault.told)
			}
			if n := value[int](t, other, "SELECT count(*) FROM sandtrail.changes"); n != 0 {
				t.Errorf("%d changes are not folded and sealed", n)
			}
			if fault.told != "" {
				if c := doctorSays(t, s, "upkeep: "); !strings.Contains(c.Detail, fault.told) {
					t.Errorf("doctor: %+v, want it to tell of %q", c, fault.told)
				}
			}
			if n, err := s.Cleanup(t.Context(), sandtrail.Before(now.AddDate(0, 0, -50))); n != 5 || err != nil {
				t.Errorf("cleanup: %d, %v; want 5 deleted", n, err)
			}
			fault.undo(t, s, conn)
			if err := s.Maintain(t.Context(), later); err != nil {
				t.Errorf("upkeep afterwards: %v", err)
			}
			if n := value[int](t, other, "SELECT count(*) FROM sandtrail.logs_default"); n != 0 {
				t.Errorf("%d rows are left in the default partition", n)
			}
			deepCheckAt(t, s, later)
		})
	}
}

// Rows of times far ahead stay where they are, and lists walk no empty future.
func TestRowsOfTheFutureStayInTheDefaultPartition(t *testing.T) {
	s, url := open(t)
	putOwners(t, s, 1)
	conn := foreign(t, url)
	before := partitionsOf(t, s)
	exec(t, conn, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
		SELECT 'u0', 's0', 'TERMINAL', true, 7, t::timestamptz FROM unnest(ARRAY['2028-02-01', '2199-02-01', '2270-01-01']) t`)
	appendAll(t, s, execution(now.AddDate(173, 0, 0)))
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if after := partitionsOf(t, s); !slices.Equal(after, before) {
		t.Errorf("partitions: %v, want %v", after, before)
	}
	page, err := s.Executions(t.Context(), sandtrail.Query{}, now)
	if err != nil || len(page.Items) != 4 {
		t.Errorf("%d rows, %v; want 4", len(page.Items), err)
	}
	deepCheck(t, s)
	later := time.Date(2028, 1, 5, 0, 0, 0, 0, time.UTC)
	if err := s.Maintain(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	if n := value[int](t, conn, "SELECT count(*) FROM sandtrail.logs_default"); n != 3 {
		t.Errorf("%d rows wait when the time of one is near, want 3", n)
	}
}

func TestPartitionsAreBounded(t *testing.T) {
	var many []time.Time
	for i := range 500 {
		many = append(many, now.AddDate(0, 0, 7*i-7*499))
	}
	for _, c := range []struct {
		name  string
		weeks []time.Time
		t     time.Time
		want  bool
	}{
		{"the first", nil, now, true},
		{"years ago", many[400:], now.AddDate(-30, 0, 0), true},
		{"some months ahead", many[400:], now.AddDate(0, 6, 0), true},
		{"far ahead of the others", many[400:], now.AddDate(2, 0, 0), false},
		{"beside many", many, now.AddDate(-30, 0, 0), false},
	} {
		if got := postgres.HasRoom(c.weeks, c.t); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// An application's model calls its foreign keys as it likes, and has more of them.
func TestCleanupWithKeysOfOtherNames(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("partitions are dropped there at once")
	}
	s, url := open(t)
	putOwners(t, s, 1)
	conn := foreign(t, url)
	exec(t, conn, `ALTER TABLE sandbox_execution_logs RENAME CONSTRAINT sandbox_execution_logs_user_id_fkey TO "Log_owner";
		ALTER TABLE sandbox_execution_logs RENAME CONSTRAINT sandbox_execution_logs_strategy_id_fkey TO "Log strategy";
		CREATE TABLE teams (id text PRIMARY KEY);
		ALTER TABLE sandbox_execution_logs ADD COLUMN team_id text REFERENCES teams ON DELETE CASCADE`)
	appendAll(t, s, execution(now.AddDate(0, 0, -60)), execution(now.AddDate(0, 0, -40)), execution(now))
	if n, err := s.Cleanup(t.Context(), sandtrail.Before(now.AddDate(0, 0, -20))); n != 2 || err != nil {
		t.Errorf("cleanup: %d, %v; want 2 deleted", n, err)
	}
	if parts := partitionsOf(t, s); parts[0] < "2026-11-0" {
		t.Errorf("the partitions of what was deleted are left: %v", parts)
	}
	deepCheck(t, s)
}

// What came and was not sealed yet when its partition was detached by hand is
// sealed once that is attached again.
func TestDetachedRecordsAreSealedOnceTheyAreBack(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("partitions are made there in another way")
	}
	s, url := open(t)
	putOwners(t, s, 1)
	conn := foreign(t, url)
	apart := now.AddDate(0, 0, 6)
	for _, maintained := range []bool{true, false} {
		appendAll(t, s, execution(apart), execution(apart), execution(now))
		if maintained {
			if err := s.Maintain(t.Context(), now); err != nil {
				t.Fatal(err)
			}
		}
	}
	exec(t, conn, "ALTER TABLE sandbox_execution_logs DETACH PARTITION sandtrail.logs_20261130")
	appendAll(t, s, execution(apart))
	unsealed := func(want int64) {
		t.Helper()
		if err := s.Maintain(t.Context(), now); (err != nil) != (want > 0) {
			t.Errorf("upkeep: %v", err)
		}
		state, err := s.LedgerState(t.Context())
		if err != nil || state.Unsealed != want {
			t.Errorf("%d are not sealed, %v; want %d", state.Unsealed, err, want)
		}
	}
	unsealed(2)
	unsealed(2)
	exec(t, conn, doctorSays(t, s, "partitions detached").Fix)
	unsealed(0)
	if _, err := ledger.VerifyLog(t.Context(), s, ledger.Verification{Report: func(f ledger.Finding) { t.Errorf("found %+v", f) }}); err != nil {
		t.Fatal(err)
	}
	deepCheck(t, s)
}
