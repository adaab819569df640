package postgres_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/internal/testneed"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/storetest"
)

func TestTenServersMigrateOnce(t *testing.T) {
	url := pgtest.New(t)
	var wait sync.WaitGroup
	counts := make([]int, 10)
	errs := make([]error, len(counts))
	for i := range counts {
		s := openAt(t, url, postgres.Options{})
		wait.Go(func() {
			applied, err := s.Migrate(t.Context(), now)
			counts[i], errs[i] = len(applied), err
		})
	}
	wait.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	list, err := openAt(t, url, postgres.Options{}).Migrations(t.Context())
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	if total != len(list) {
		t.Errorf("%d migrations were applied, want %d", total, len(list))
	}
	for _, m := range list {
		if !m.Applied.Equal(now) {
			t.Errorf("migration %d: applied %v, want %v", m.Version, m.Applied, now)
		}
	}
}

func TestMigrationsShowTheirSQLBeforeTheyRun(t *testing.T) {
	s := openAt(t, pgtest.New(t), postgres.Options{Schema: "trail"})
	list, err := s.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !list[0].Applied.IsZero() || !strings.Contains(list[0].SQL, `CREATE TABLE "trail".ids`) {
		t.Errorf("got %+v", list[0])
	}
	if _, err := s.Executions(t.Context(), sandtrail.Query{}, now); !errors.Is(err, sandtrail.CodeUnavailable) {
		t.Errorf("before the migration: %v, want ErrUnavailable", err)
	}
}

// Who asks through a server learns nothing of the database's address.
func TestOutOfReachIsToldDiscreetly(t *testing.T) {
	address := testneed.FreeAddress(t)
	_, err := postgres.Open(t.Context(), "postgres://owner@"+address+"/secret", postgres.Options{})
	var e *sandtrail.Error
	if !errors.As(err, &e) || e.Code != sandtrail.CodeUnavailable || !strings.Contains(err.Error(), address) {
		t.Fatalf("got %v, want it to name %s", err, address)
	}
	for _, private := range []string{address, "owner", "secret"} {
		if strings.Contains(e.Public(), private) {
			t.Errorf("anybody may read %q", e.Public())
		}
	}
}

func TestApplicationsTablesAreUsedAsTheyAre(t *testing.T) {
	names := postgres.Options{
		Users:      postgres.OwnerTable{Table: "app.User", ID: "uid", Email: "mail"},
		Strategies: postgres.OwnerTable{Table: "app.Plan", Name: "title"},
	}
	for _, c := range []struct{ name, users, plans, want string }{
		{"text keys", `uid text PRIMARY KEY, mail text`, `id varchar(40) PRIMARY KEY, title text NOT NULL`, ""},
		{"uuid and unique keys", `uid uuid PRIMARY KEY, mail text, name text`, `id text UNIQUE, title text`, ""},
		{"a key of a kind that is not supported", `uid numeric PRIMARY KEY, mail text`, `id text PRIMARY KEY, title text`, `"uid" is numeric`},
		{"not a key", `uid text, mail text`, `id text PRIMARY KEY, title text`, `ADD UNIQUE ("uid")`},
		{"no id", `id text PRIMARY KEY, mail text`, `id text PRIMARY KEY, title text`, `no column "uid"`},
		{"no e-mail", `uid text PRIMARY KEY`, `id text PRIMARY KEY, title text`, `no column "mail"`},
		{"no title", `uid text PRIMARY KEY, mail text`, `id text PRIMARY KEY`, `no column "title"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := pgtest.New(t)
			conn := foreign(t, url)
			exec(t, conn, `CREATE SCHEMA app; CREATE TABLE app."User" (`+c.users+`); CREATE TABLE app."Plan" (`+c.plans+`)`)
			s := openAt(t, url, names)
			_, err := s.Migrate(t.Context(), now)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || sandtrail.CodeOf(err) != sandtrail.CodeInvalid {
					t.Fatalf("got %v, want a refusal with %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			useTables(t, openAt(t, url, postgres.Options{}))
		})
	}
}

// useTables records and reads through the application's own tables.
func useTables(t *testing.T, s *postgres.Store) {
	t.Helper()
	storetest.Keys(t, s, now, storetest.KeyNames{User: "3f0c2f57-33c4-4f0c-9f0e-0a3b1e4f8d11", Strategy: "s0", Nobody: "nobody"})
}

// TestKeysOfEveryType records and reads through tables with keys of each type,
// in other spellings than the database's, too.
func TestKeysOfEveryType(t *testing.T) {
	const id = "3f0c2f57-33c4-4f0c-9f0e-0a3b1e4f8d11"
	for _, c := range []struct {
		users, strategies string
		keys              storetest.KeyNames
	}{
		{"uuid", "varchar(40)", storetest.KeyNames{User: id, UserToo: strings.ToUpper(id), Strategy: "s0", Nobody: "nobody"}},
		{"integer", "bigint", storetest.KeyNames{User: "7", UserToo: "007", Strategy: "9007199254740993", StrategyToo: "+9007199254740993", Nobody: "nobody"}},
		{"bigint", "smallint", storetest.KeyNames{User: "-1", UserToo: "-01", Strategy: "3", Nobody: "99999999999999999999"}},
		{"smallint", "uuid", storetest.KeyNames{User: "1", Strategy: id, StrategyToo: strings.ToUpper(id), Nobody: "70000"}},
	} {
		t.Run(c.users+" and "+c.strategies, func(t *testing.T) {
			t.Parallel()
			url := pgtest.New(t)
			exec(t, foreign(t, url), "CREATE TABLE users (id "+c.users+" PRIMARY KEY, email text); CREATE TABLE strategies (id "+c.strategies+" PRIMARY KEY, name text)")
			s := openAt(t, url, postgres.Options{})
			migrate(t, s)
			storetest.Keys(t, s, now, c.keys)
		})
	}
}

func TestOtherNamesThanRememberedAreRefused(t *testing.T) {
	_, url := open(t)
	_, err := postgres.Open(t.Context(), url, postgres.Options{Users: postgres.OwnerTable{Table: "people"}})
	if !errors.Is(err, sandtrail.CodeInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

// prismaTables are what Prisma Migrate makes of the reference's models.
const prismaTables = `
CREATE TABLE "users" ("id" TEXT NOT NULL, "email" TEXT NOT NULL, "name" TEXT, CONSTRAINT "users_pkey" PRIMARY KEY ("id"));
CREATE UNIQUE INDEX "users_email_key" ON "users"("email");
CREATE TABLE "strategies" ("id" TEXT NOT NULL, "name" TEXT NOT NULL, CONSTRAINT "strategies_pkey" PRIMARY KEY ("id"));
CREATE TABLE "sandbox_execution_logs" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "strategyId" TEXT NOT NULL,
    "executionType" TEXT NOT NULL,
    "success" BOOLEAN NOT NULL,
    "executionTime" INTEGER NOT NULL,
    "memoryUsed" INTEGER,
    "cpuUsage" DOUBLE PRECISION,
    "timedOut" BOOLEAN NOT NULL DEFAULT false,
    "errorCount" INTEGER NOT NULL DEFAULT 0,
    "warningCount" INTEGER NOT NULL DEFAULT 0,
    "classesFound" TEXT,
    "metadata" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "sandbox_execution_logs_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "sandbox_execution_logs_userId_idx" ON "sandbox_execution_logs"("userId");
CREATE INDEX "sandbox_execution_logs_strategyId_idx" ON "sandbox_execution_logs"("strategyId");
CREATE INDEX "sandbox_execution_logs_createdAt_idx" ON "sandbox_execution_logs"("createdAt");
ALTER TABLE "sandbox_execution_logs" ADD CONSTRAINT "sandbox_execution_logs_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "sandbox_execution_logs" ADD CONSTRAINT "sandbox_execution_logs_strategyId_fkey"
    FOREIGN KEY ("strategyId") REFERENCES "strategies"("id") ON DELETE CASCADE ON UPDATE CASCADE;
INSERT INTO users SELECT 'u' || n, 'u' || n || '@example.com', NULL FROM generate_series(0, 9) n;
INSERT INTO strategies SELECT 's' || n, 'Strategy ' || n FROM generate_series(0, 9) n;
`

const prismaRows = `
INSERT INTO sandbox_execution_logs
SELECT gen_random_uuid()::text, 'u' || n % 10, 's' || n % 7, CASE n % 5 WHEN 0 THEN 'TERMINAL' ELSE 'VALIDATION' END,
    n % 3 > 0, n % 5000, nullif(n % 300, 0), nullif(n % 100, 0) + 0.5, n % 20 = 0, n % 4, n % 6,
    CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'A,B' END, CASE WHEN n % 2 = 0 THEN '{"n": ' || n || '}' END,
    timestamp '2026-11-25 12:00:00.123' - n * interval '97 seconds'
FROM generate_series(1, $1::int) n`

// sameRows digests all rows, whatever the names of the columns.
const sameRows = `SELECT count(*) || ' ' || md5(string_agg(md5(r::text), '' ORDER BY r::text)) FROM (SELECT %s FROM sandbox_execution_logs) r`

func TestAdoptKeepsEveryRow(t *testing.T) {
	url := pgtest.New(t)
	conn := foreign(t, url)
	exec(t, conn, prismaTables)
	exec(t, conn, prismaRows, 25_000) // more than one fold takes
	before := value[string](t, conn, strings.Replace(sameRows, "%s", `id, "userId", "strategyId", "executionType", success, "executionTime",
		"memoryUsed", "cpuUsage", "timedOut", "errorCount", "warningCount", "classesFound", metadata, "createdAt"`, 1))

	_, err := openAt(t, url, postgres.Options{}).Migrate(t.Context(), now)
	if !errors.Is(err, sandtrail.CodeConflict) || !offers(err, "adopt") {
		t.Fatalf("without adoption: %v, want ErrConflict naming the next step", err)
	}
	s := openAt(t, url, postgres.Options{Adopt: true})
	migrate(t, s)
	after := value[string](t, conn, strings.Replace(sameRows, "%s", `id, user_id, strategy_id, execution_type, success, execution_time,
		memory_used, cpu_usage, timed_out, error_count, warning_count, classes_found, metadata, created_at AT TIME ZONE 'UTC'`, 1))
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("rows changed:\n%s", diff)
	}
	deepCheck(t, s)
	if applied := migrate(t, s); len(applied) != 0 {
		t.Errorf("migrated again: %v", applied)
	}
	_, err = openAt(t, url, postgres.Options{Schema: "other", Adopt: true}).Migrate(t.Context(), now)
	if !errors.Is(err, sandtrail.CodeConflict) || !strings.Contains(err.Error(), "the schema sandtrail") {
		t.Errorf("adopted from Sandtrail itself: %v, want ErrConflict naming its schema", err)
	}
}

func TestAdoptRefusesWhatItCannotKeep(t *testing.T) {
	for _, c := range []struct{ name, change, want string }{
		{"ids that are no UUIDs", "UPDATE sandbox_execution_logs SET id = 'x' || id WHERE \"errorCount\" = 1", "5 rows lack an id that is a UUID"},
		{"other types", "UPDATE sandbox_execution_logs SET \"executionType\" = 'LINT' WHERE \"errorCount\" = 1", "5 rows lack an execution type"},
		{"negative times", "UPDATE sandbox_execution_logs SET \"executionTime\" = -1 WHERE \"errorCount\" = 1", "5 rows lack an execution time"},
		{"another table", "ALTER TABLE sandbox_execution_logs DROP COLUMN success", "not an execution log (no column for success)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := pgtest.New(t)
			conn := foreign(t, url)
			exec(t, conn, prismaTables)
			exec(t, conn, prismaRows, 20)
			exec(t, conn, c.change)
			s := openAt(t, url, postgres.Options{Adopt: true})
			if _, err := s.Migrate(t.Context(), now); !errors.Is(err, sandtrail.CodeConflict) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrConflict with %q", err, c.want)
			}
			if n := value[int](t, conn, "SELECT count(*) FROM sandbox_execution_logs"); n != 20 {
				t.Errorf("%d rows left of 20", n)
			}
			if n := value[int](t, conn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'sandtrail'"); n != 0 {
				t.Error("the refusal left the schema behind")
			}
		})
	}
}
