package postgres_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/remedy"
)

// whole is everything that can be seen of a database: tables, columns, rights,
// rows.
const whole = `SELECT string_agg(line, E'\n' ORDER BY line) FROM (
	SELECT format('%s %s.%s %s %s', c.relkind, n.nspname, c.relname, c.relacl, c.relrowsecurity) AS line
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
	UNION ALL SELECT format('%s.%s %s', attrelid::regclass, attname, atttypid::regtype) FROM pg_attribute a
	JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND attnum > 0 AND NOT attisdropped
	UNION ALL SELECT tgname::text || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
	UNION ALL SELECT polname FROM pg_policy
	UNION ALL SELECT md5(r::text) FROM sandbox_execution_logs r) lines`

// TestAdoptionNamesEveryObstacle changes a table that Prisma made in one way
// after the other. Each is refused, by a plan and by the adoption alike, with a
// statement, and nothing is changed; then what the statement says is done, and
// the adoption succeeds.
func TestAdoptionNamesEveryObstacle(t *testing.T) {
	for _, c := range []struct {
		name, change string
		want         []string // parts of the refusal
		mend         string
		adopt        postgres.Options
	}{
		{
			"a view and a foreign key into the log", `
				CREATE VIEW recent AS SELECT id, "userId" FROM sandbox_execution_logs;
				CREATE TABLE feedback (id int PRIMARY KEY, log_id text REFERENCES sandbox_execution_logs)`,
			[]string{"view recent reads it", "DROP VIEW recent", "ALTER TABLE feedback DROP CONSTRAINT feedback_log_id_fkey"},
			`DROP VIEW recent; ALTER TABLE feedback DROP CONSTRAINT feedback_log_id_fkey`,
			postgres.Options{},
		},
		{
			"a column that other writers' records lack", `ALTER TABLE sandbox_execution_logs ADD COLUMN "runnerHost" text NOT NULL DEFAULT 'h'; ALTER TABLE sandbox_execution_logs ALTER "runnerHost" DROP DEFAULT`,
			[]string{`column "runnerHost" is NOT NULL without a default`, "--extra-columns metadata", `ALTER COLUMN "runnerHost" DROP NOT NULL`},
			"",
			postgres.Options{ExtraColumns: "metadata"},
		},
		{
			"a column that computes", `ALTER TABLE sandbox_execution_logs ADD COLUMN slow boolean GENERATED ALWAYS AS ("executionTime" > 1000) STORED, ADD COLUMN seq serial`,
			[]string{`column "slow" computes its values`, `column "seq" computes its values`},
			"",
			postgres.Options{ExtraColumns: "metadata"},
		},
		{
			"ids that are no UUIDs", `UPDATE sandbox_execution_logs SET id = 'x' || id WHERE "errorCount" = 1`,
			[]string{"5 rows lack an id that is a UUID", `ADD COLUMN "originalId" text`},
			`ALTER TABLE sandbox_execution_logs ADD COLUMN "originalId" text; UPDATE sandbox_execution_logs SET "originalId" = id, id = gen_random_uuid() WHERE id LIKE 'x%'`,
			postgres.Options{},
		},
		{
			"numbers as ids", `ALTER TABLE sandbox_execution_logs DROP COLUMN id; ALTER TABLE sandbox_execution_logs ADD COLUMN id serial PRIMARY KEY`,
			[]string{`column "id" is integer, and ids are UUIDs`, `RENAME COLUMN "id" TO "originalId"`},
			`ALTER TABLE sandbox_execution_logs RENAME COLUMN "id" TO "originalId"; ALTER TABLE "public"."sandbox_execution_logs" ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid();
				ALTER TABLE sandbox_execution_logs DROP CONSTRAINT IF EXISTS "sandbox_execution_logs_pkey"; ALTER TABLE sandbox_execution_logs ADD PRIMARY KEY (id);
				ALTER TABLE sandbox_execution_logs ALTER COLUMN "originalId" DROP IDENTITY IF EXISTS, ALTER COLUMN "originalId" DROP DEFAULT, ALTER COLUMN "originalId" DROP NOT NULL`,
			postgres.Options{},
		},
		{
			"an enum of other words", `CREATE TYPE kind AS ENUM ('VALIDATION', 'LINT');
				UPDATE sandbox_execution_logs SET "executionType" = 'LINT' WHERE "executionType" = 'TERMINAL';
				ALTER TABLE sandbox_execution_logs ALTER "executionType" TYPE kind USING "executionType"::kind`,
			[]string{"4 rows lack an execution type of VALIDATION or TERMINAL"},
			`UPDATE sandbox_execution_logs SET "executionType" = 'VALIDATION'`,
			postgres.Options{},
		},
		{
			"users that are NULL or nobody", `ALTER TABLE sandbox_execution_logs ALTER "userId" DROP NOT NULL, DROP CONSTRAINT "sandbox_execution_logs_userId_fkey";
				UPDATE sandbox_execution_logs SET "userId" = CASE "errorCount" WHEN 1 THEN 'ghost' END WHERE "errorCount" < 2`,
			[]string{"5 rows lack a value for userId", "5 rows lack an owner in", "DELETE FROM"},
			`DELETE FROM sandbox_execution_logs WHERE "userId" IS NULL OR "userId" = 'ghost'`,
			postgres.Options{},
		},
		{
			"parts of megabytes", `ALTER TABLE sandbox_execution_logs ALTER "memoryUsed" TYPE double precision; UPDATE sandbox_execution_logs SET "memoryUsed" = 12.7 WHERE "errorCount" = 1`,
			[]string{"5 rows lack a whole number", `SET "memoryUsed" = least(round(`},
			`UPDATE sandbox_execution_logs SET "memoryUsed" = round("memoryUsed")`,
			postgres.Options{},
		},
		{
			"class names with commas", `ALTER TABLE sandbox_execution_logs ALTER "classesFound" TYPE text[] USING ARRAY["classesFound"]`,
			[]string{"class names without commas"},
			`UPDATE sandbox_execution_logs SET "classesFound" = string_to_array("classesFound"[1], ',')`,
			postgres.Options{},
		},
		{
			"microseconds", `ALTER TABLE sandbox_execution_logs ALTER "createdAt" TYPE timestamp(6); UPDATE sandbox_execution_logs SET "createdAt" = "createdAt" + interval '1 microsecond'`,
			[]string{"20 rows lack a time of whole milliseconds"},
			`UPDATE sandbox_execution_logs SET "createdAt" = date_trunc('milliseconds', "createdAt")`,
			postgres.Options{},
		},
		{
			"another type", `ALTER TABLE sandbox_execution_logs ALTER success TYPE integer USING success::integer`,
			[]string{`column "success" is integer`, "TYPE boolean USING"},
			`ALTER TABLE sandbox_execution_logs ALTER success TYPE boolean USING success::boolean`,
			postgres.Options{},
		},
		{
			"an index that a partitioned table cannot have", `ALTER TABLE sandbox_execution_logs ADD COLUMN request text UNIQUE`,
			[]string{`unique sandbox_execution_logs_request_key cannot be carried over`, "DROP CONSTRAINT"},
			`ALTER TABLE sandbox_execution_logs DROP CONSTRAINT sandbox_execution_logs_request_key`,
			postgres.Options{},
		},
		{
			"a trigger that uses old names", `CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM NEW."userId"; RETURN NEW; END $$;
				CREATE TRIGGER noted BEFORE INSERT ON sandbox_execution_logs FOR EACH ROW EXECUTE FUNCTION noted()`,
			[]string{`trigger "noted": its function noted() uses "userId", which will be user_id`},
			`DROP TRIGGER noted ON sandbox_execution_logs`,
			postgres.Options{},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.New(t)
			conn := foreign(t, url)
			exec(t, conn, prismaTables)
			exec(t, conn, prismaRows, 20)
			exec(t, conn, c.change)
			before := value[string](t, conn, whole)
			s := openAt(t, url, postgres.Options{Adopt: true})
			_, planned := s.PlanAdoption(t.Context())
			_, err := s.Migrate(t.Context(), now)
			for _, err := range []error{planned, err} {
				for _, want := range c.want {
					if !errors.Is(err, sandtrail.CodeConflict) || !strings.Contains(err.Error(), want) {
						t.Fatalf("got %v, want ErrConflict with %q", err, want)
					}
				}
			}
			if diff := cmp.Diff(before, value[string](t, conn, whole)); diff != "" {
				t.Errorf("the refusal changed something:\n%s", diff)
			}
			exec(t, conn, c.mend)
			n := value[int](t, conn, "SELECT count(*) FROM sandbox_execution_logs")
			c.adopt.Adopt = true
			s = openAt(t, url, c.adopt)
			if _, err := s.PlanAdoption(t.Context()); err != nil {
				t.Fatal(err)
			}
			migrate(t, s)
			if got := value[int](t, conn, "SELECT count(*) FROM sandbox_execution_logs"); got != n {
				t.Errorf("%d rows of %d", got, n)
			}
			deepCheck(t, s)
		})
	}
}

// TestAdoptionCarriesWhatHangsOnTheTable gives the table an owner, rights,
// policies, triggers, checks, indexes, comments and columns: all are there
// afterwards, and do what they did.
func TestAdoptionCarriesWhatHangsOnTheTable(t *testing.T) {
	url := pgtest.New(t)
	conn := foreign(t, url)
	exec(t, conn, prismaTables)
	exec(t, conn, prismaRows, 20)
	app, reader := role(t, conn), role(t, conn)
	exec(t, conn, strings.NewReplacer("APP", app, "READER", reader).Replace(`
		ALTER TABLE sandbox_execution_logs ADD COLUMN "runnerHost" text, ADD COLUMN retries integer NOT NULL DEFAULT 3, ADD COLUMN tags text[];
		UPDATE sandbox_execution_logs SET "runnerHost" = 'host-' || "errorCount", tags = ARRAY['a,b'] WHERE "errorCount" > 0;
		CREATE FUNCTION stamped() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.retries := NEW.retries + 1; RETURN NEW; END $$;
		CREATE TRIGGER stamped BEFORE INSERT ON sandbox_execution_logs FOR EACH ROW WHEN (NEW."executionTime" > 10) EXECUTE FUNCTION stamped();
		CREATE TRIGGER asleep BEFORE INSERT ON sandbox_execution_logs FOR EACH ROW EXECUTE FUNCTION stamped();
		ALTER TABLE sandbox_execution_logs DISABLE TRIGGER asleep;
		ALTER TABLE sandbox_execution_logs ADD CONSTRAINT few CHECK ("errorCount" < 100);
		CREATE INDEX by_host ON sandbox_execution_logs ("runnerHost", "createdAt") WHERE NOT success;
		COMMENT ON TABLE sandbox_execution_logs IS 'what ran';
		COMMENT ON COLUMN sandbox_execution_logs."executionTime" IS 'ms';
		ALTER TABLE sandbox_execution_logs ENABLE ROW LEVEL SECURITY;
		CREATE POLICY own ON sandbox_execution_logs FOR SELECT TO READER USING ("userId" = current_setting('app.me', true)
			AND EXISTS (SELECT FROM users u WHERE u.id = sandbox_execution_logs."userId"));
		GRANT SELECT, INSERT ON sandbox_execution_logs TO READER WITH GRANT OPTION;
		GRANT UPDATE ("errorCount") ON sandbox_execution_logs TO READER;
		GRANT SELECT ON users, strategies TO READER, APP;
		GRANT CREATE ON SCHEMA public TO APP;
		ALTER TABLE sandbox_execution_logs OWNER TO APP`))
	var told []string
	s := openAt(t, url, postgres.Options{Adopt: true, Report: func(line string) { told = append(told, line) }})
	plan, err := s.PlanAdoption(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	migrate(t, s)
	if diff := cmp.Diff(plan, told); diff != "" {
		t.Errorf("what was planned is not what was done:\n%s", diff)
	}
	for what, want := range map[string]string{
		`SELECT count(*) FILTER (WHERE "runnerHost" = 'host-' || error_count AND tags = ARRAY['a,b'])::text FROM sandbox_execution_logs`: "15",
		`SELECT relowner::regrole::text FROM pg_class WHERE oid = 'sandbox_execution_logs'::regclass`:                                    app,
		`SELECT obj_description('sandbox_execution_logs'::regclass, 'pg_class') || col_description('sandbox_execution_logs'::regclass, attnum)
			FROM pg_attribute WHERE attrelid = 'sandbox_execution_logs'::regclass AND attname = 'execution_time'`: "what ranms",
		`SELECT has_table_privilege('` + reader + `', 'sandbox_execution_logs', 'INSERT WITH GRANT OPTION') || ' ' ||
			has_column_privilege('` + reader + `', 'sandbox_execution_logs', 'error_count', 'UPDATE')`: "true true",
		`SELECT string_agg(tgname::text || tgenabled::text, ' ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = 'sandbox_execution_logs'::regclass AND tgname IN ('stamped', 'asleep')`: "asleepD stampedO",
		`SELECT count(*)::text FROM pg_indexes WHERE tablename = 'sandbox_execution_logs' AND indexname = 'by_host'`:                                                                     "1",
		`SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'few' AND conrelid = 'sandbox_execution_logs'::regclass`:                                                    "CHECK ((error_count < 100))",
		`SELECT count(*)::text FROM sandtrail.adopted_sandbox_execution_logs WHERE "userId" IS NOT NULL`:                                                                                 "20",
	} {
		if got := value[string](t, conn, what); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	appendAll(t, s, execution(now))
	if got := value[int](t, conn, "SELECT retries FROM sandbox_execution_logs ORDER BY created_at DESC LIMIT 1"); got != 4 {
		t.Errorf("the trigger made %d, want 4", got)
	}
	exec(t, conn, "SET ROLE "+reader+"; SET app.me = 'u1'")
	if got := value[int](t, conn, "SELECT count(*) FROM sandbox_execution_logs"); got != 2 {
		t.Errorf("the policy shows %d rows, want 2", got)
	}
	exec(t, conn, "RESET ROLE")
	deepCheck(t, s)

	dropped, err := s.DropOld(t.Context())
	if diff := cmp.Diff([]string{`table "sandtrail"."adopted_sandbox_execution_logs"`}, dropped); diff != "" || err != nil {
		t.Errorf("dropped: %v\n%s", err, diff)
	}
	if dropped, err = s.DropOld(t.Context()); len(dropped) > 0 || err != nil {
		t.Errorf("dropped again: %v, %v", dropped, err)
	}
}

// role makes a role. Roles belong to the server, which is thrown away.
func role(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	name := value[string](t, conn, "SELECT 'role_' || replace(gen_random_uuid()::text, '-', '')")
	exec(t, conn, "CREATE ROLE "+name)
	return name
}

// TestNamesAreReadNotGuessed puts users, strategies and executions into tables
// of other names. Where it is not certain which they are, migrate stops with
// the commands to choose from; what the foreign keys say it follows.
func TestNamesAreReadNotGuessed(t *testing.T) {
	unmapped := strings.NewReplacer("sandbox_execution_logs_", "SandboxExecutionLog_", "users_", "User_", "strategies_", "Strategy_",
		`"sandbox_execution_logs"`, `"SandboxExecutionLog"`, "sandbox_execution_logs", `"SandboxExecutionLog"`,
		`"users"`, `"User"`, "INTO users", `INTO "User"`, `"strategies"`, `"Strategy"`, "INTO strategies", `INTO "Strategy"`)
	for _, c := range []struct {
		name, setup string
		options     postgres.Options
		want        []string // the message of a refusal, then the migrations that it offers; nil: none
	}{
		{
			"owners in tables of other names", `CREATE TABLE "User" (id text PRIMARY KEY, email text); CREATE TABLE "Strategy" (id text PRIMARY KEY, name text)`,
			postgres.Options{},
			[]string{"which table holds the users", "users-table User", "users-table users"},
		},
		{
			"strategies in two tables", `CREATE TABLE users (id text PRIMARY KEY, email text); CREATE TABLE strategies (id text PRIMARY KEY, name text); CREATE TABLE "Strategy" (id text PRIMARY KEY, name text)`,
			postgres.Options{},
			[]string{"which table holds the strategies", "strategies-table Strategy", "strategies-table strategies"},
		},
		{"an unmapped log", unmapped.Replace(prismaTables), postgres.Options{Adopt: true}, []string{"executions seem to be kept already", "adopt log-table public.SandboxExecutionLog", "log-table sandbox_execution_logs"}},
		{"an unmapped log that is named", unmapped.Replace(prismaTables), postgres.Options{Adopt: true, Logs: postgres.LogTable{Table: "SandboxExecutionLog"}}, nil},
		{"a log that is not there", prismaTables, postgres.Options{Adopt: true, Logs: postgres.LogTable{Table: "Log"}}, []string{`no table "Log" to adopt`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.New(t)
			conn := foreign(t, url)
			exec(t, conn, c.setup)
			_, err := openAt(t, url, c.options).Migrate(t.Context(), now)
			for i, want := range c.want {
				if err == nil || i == 0 && !strings.Contains(err.Error(), want) || i > 0 && !offers(err, want) {
					t.Errorf("got %v, want it to name %q", err, want)
				}
			}
			if c.want != nil {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			exec(t, conn, strings.Replace(unmapped.Replace(prismaRows), "gen_random_uuid()::text", "gen_random_uuid()", 1), 10) // through the view that has taken the table's place
			exec(t, conn, `UPDATE "SandboxExecutionLog" SET "errorCount" = 7 WHERE "userId" = 'u1'; DELETE FROM "SandboxExecutionLog" WHERE "userId" = 'u2'`)
			if got := value[string](t, conn, `SELECT count(*) || ' ' || sum("errorCount") FROM "SandboxExecutionLog"`); got != "9 19" {
				t.Errorf("through the old name: %s", got)
			}
			s := openAt(t, url, postgres.Options{})
			deepCheck(t, s)
			if u, err := s.User(t.Context(), "u3"); err != nil || u.Email != "u3@example.com" {
				t.Errorf("user: %+v, %v", u, err)
			}
			if _, err := s.DropOld(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// offers reports whether an error offers a migration with these options, such as
// "adopt log-table Log".
func offers(err error, options string) bool {
	var e *sandtrail.Error
	return errors.As(err, &e) && slices.ContainsFunc(e.Remedies, func(r sandtrail.Remedy) bool {
		var words []string
		for _, o := range r.Options {
			words = append(words, strings.Fields(o.Name+" "+o.Value)...)
		}
		return r.Act == remedy.Migrate && strings.Join(words, " ") == options
	})
}
