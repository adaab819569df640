//go:build linux

package prisma_test

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/prisma"
)

// application is one that moves in.
type application struct {
	name     string
	key      string // of users and strategies, as SQL: text, uuid, integer, bigint
	unmapped bool   // its models name the tables
	schema   string // of the database; "": public
	log      bool   // it has executions already
	prisma   string // an older version of its client
	change   func(model string) string
	values   map[string]string // of its rows, by column, as SQL
	hung     string            // SQL that hangs something on the log; ROLE: that of its client
	refused  string            // a part of the refusal
	mend     string            // the statement that the refusal prints
	stops    bool              // its client cannot read what is mended
	again    string            // SQL that makes anew what had to go
	beside   string            // models that stay
	check    string            // SQL that is true when every value is there
	role     string            // of its client, made for it; "": the test's
}

func field(name, kind string) func(string) string {
	return func(model string) string {
		name, lines := name, []string(nil)
		for line := range strings.Lines(model) {
			if words := strings.Fields(line); len(words) > 1 && words[0] == name {
				line = "  " + name + " " + kind + "\n"
				name = ""
			}
			lines = append(lines, line)
		}
		model = strings.Join(lines, "")
		if name != "" {
			model = strings.Replace(model, "  // Relations\n", "  "+name+" "+kind+"\n", 1)
		}
		return model
	}
}

var applications = []application{
	{name: "text keys", key: "text", log: true},
	{name: "text keys, no log", key: "text"},
	{name: "text keys, unmapped", key: "text", unmapped: true, log: true},
	{name: "text keys, unmapped, no log", key: "text", unmapped: true},
	{name: "cuid keys, unmapped", key: "cuid", unmapped: true, log: true},
	{name: "uuid keys", key: "uuid", log: true},
	{name: "uuid keys, unmapped", key: "uuid", unmapped: true, log: true},
	{name: "integer keys", key: "integer", log: true},
	{name: "integer keys, no log", key: "integer"},
	{name: "integer keys, unmapped", key: "integer", unmapped: true, log: true},
	{name: "bigint keys in another schema", key: "bigint", schema: "app", log: true},
	{name: "text keys in another schema, unmapped", key: "text", schema: "app", unmapped: true, log: true},
	{name: "Prisma 6, unmapped", key: "text", unmapped: true, log: true, prisma: "6"},
	{name: "Prisma 5, unmapped", key: "text", unmapped: true, log: true, prisma: "5"},
	{
		name: "an extra column", key: "text", log: true, change: field("runnerHost", "String?"), values: map[string]string{"runnerHost": "'x'"},
		check: `SELECT bool_and("runnerHost" = 'x') FROM sandbox_execution_logs`,
	},
	{
		name: "a list of classes", key: "text", log: true, change: field("classesFound", "String[]"), values: map[string]string{"classesFound": "ARRAY['A', 'B']"},
		check: `SELECT bool_and(classes_found = 'A,B') FROM sandbox_execution_logs`,
	},
	{
		name: "Json metadata", key: "text", log: true, change: field("metadata", "Json?"), values: map[string]string{"metadata": "'{\"n\": 1}'::jsonb"},
		check: `SELECT bool_and(metadata::jsonb = '{"n": 1}') FROM sandbox_execution_logs`,
	},
	{
		name: "parts of megabytes", key: "text", log: true, change: field("memoryUsed", "Float?"), values: map[string]string{"memoryUsed": "12.25"},
		refused: "a whole number", mend: `UPDATE "public"."sandbox_execution_logs" SET "memoryUsed" = least(round("memoryUsed"::numeric), 2147483647)`,
		check: `SELECT bool_and(memory_used = 12) FROM sandbox_execution_logs`,
	},
	{
		name: "an enum", key: "text", log: true, change: enum("VALIDATION\n  TERMINAL"), beside: kinds("VALIDATION\n  TERMINAL"),
		check:  `SELECT bool_and(execution_type = CASE WHEN execution_time % 2 > 0 THEN 'VALIDATION' ELSE 'TERMINAL' END) FROM sandbox_execution_logs`,
		values: map[string]string{"executionType": `(CASE WHEN n % 2 > 0 THEN 'VALIDATION' ELSE 'TERMINAL' END)::"ExecutionType"`},
	},
	{
		name: "an enum of other words", key: "text", log: true, stops: true, change: enum(smallWords), beside: kinds(smallWords),
		values:  map[string]string{"executionType": `(CASE WHEN n % 2 > 0 THEN 'validation' ELSE 'terminal' END)::"ExecutionType"`},
		refused: "an execution type of VALIDATION or TERMINAL", mend: `ALTER TABLE "public"."sandbox_execution_logs" ALTER COLUMN "executionType" TYPE text; UPDATE "public"."sandbox_execution_logs" SET "executionType" = CASE upper("executionType"::text) WHEN 'TERMINAL' THEN 'TERMINAL' ELSE 'VALIDATION' END`,
		check: `SELECT bool_and(execution_type = CASE WHEN execution_time % 2 > 0 THEN 'VALIDATION' ELSE 'TERMINAL' END) FROM sandbox_execution_logs`,
	},
	{
		name: "users that are NULL", key: "text", log: true, values: map[string]string{"userId": "CASE WHEN n % 5 > 0 THEN 'k' || n % 10 END"},
		change: func(model string) string {
			return field("userId", "String?")(field("user", "User? @relation(fields: [userId], references: [id], onDelete: SetNull)")(model))
		},
		refused: "rows lack a value for userId", mend: `DELETE FROM "public"."sandbox_execution_logs" WHERE "userId" IS NULL`,
	},
	{
		name: "a view", key: "text", log: true, hung: `CREATE VIEW recent AS SELECT id, "userId" FROM sandbox_execution_logs`,
		refused: "view recent reads it", mend: `DROP VIEW recent`, again: `CREATE VIEW recent AS SELECT id, user_id AS "userId" FROM sandbox_execution_logs`,
		check: `SELECT count("userId") = (SELECT count(*) FROM sandbox_execution_logs) FROM recent`,
	},
	{
		name: "triggers", key: "text", log: true, hung: `
			CREATE FUNCTION stamped() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.metadata := '{"stamped": true}'; RETURN NEW; END $$;
			CREATE TRIGGER stamped BEFORE INSERT ON sandbox_execution_logs FOR EACH ROW EXECUTE FUNCTION stamped();
			CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('app.noted', NEW."userId", false); RETURN NEW; END $$;
			CREATE TRIGGER noted AFTER INSERT ON sandbox_execution_logs FOR EACH ROW EXECUTE FUNCTION noted()`,
		refused: `trigger "noted": its function noted() uses "userId", which will be user_id`, mend: `DROP TRIGGER "noted" ON "public"."sandbox_execution_logs"`,
		again: `CREATE OR REPLACE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('app.noted', NEW.user_id, false); RETURN NEW; END $$;
			CREATE TRIGGER noted AFTER INSERT ON sandbox_execution_logs FOR EACH ROW EXECUTE FUNCTION noted();
			INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time) VALUES ('k4', 'k5', 'TERMINAL', true, 4711000)`,
		check: `SELECT metadata = '{"stamped": true}' AND current_setting('app.noted') = 'k4' FROM sandbox_execution_logs WHERE execution_time = 4711000`,
	},
	{
		name: "row-level security and rights", key: "text", log: true, role: "ROLE", hung: `
			GRANT SELECT, INSERT, UPDATE, DELETE ON users, strategies, sandbox_execution_logs TO ROLE;
			ALTER TABLE sandbox_execution_logs ENABLE ROW LEVEL SECURITY;
			CREATE POLICY own ON sandbox_execution_logs TO ROLE USING ("userId" IN ('k1', 'k2'))`,
		check: `SELECT relrowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = 'own') FROM pg_class c WHERE oid = 'sandbox_execution_logs'::regclass`,
	},
	{
		name: "a foreign key into the log", key: "text", log: true,
		change: func(model string) string {
			model = strings.Replace(model, "  // Relations\n", "  feedback Feedback[]\n  // Relations\n", 1)
			return model + fmt.Sprintf(feedback, "  log SandboxExecutionLog @relation(fields: [logId], references: [id])\n")
		},
		beside:  fmt.Sprintf(feedback, ""),
		hung:    `INSERT INTO "Feedback" (id, "logId") SELECT row_number() OVER (), id FROM sandbox_execution_logs`,
		refused: "nothing can refer to an id of a partitioned table", mend: `ALTER TABLE "Feedback" DROP CONSTRAINT "Feedback_logId_fkey"`,
		check: `SELECT count(*) = (SELECT count(*) FROM "Feedback") FROM "Feedback" f JOIN sandbox_execution_logs l ON l.id::text = f."logId"`,
	},
}

// feedback is a model that refers to the log.
const feedback = `
model Feedback {
  id    Int    @id
  logId String
%s}
`

const smallWords = "VALIDATION @map(\"validation\")\n  TERMINAL @map(\"terminal\")"

func kinds(words string) string { return "\nenum ExecutionType {\n  " + words + "\n}\n" }

// enum makes the execution type one of words.
func enum(words string) func(string) string {
	return func(model string) string {
		return field("executionType", "ExecutionType @default(VALIDATION)")(model) + kinds(words)
	}
}

func (a application) at() string { return strings.TrimPrefix(a.schema+".", ".") }

// bare is the name of the log before, and table with its schema.
func (a application) bare() string {
	if a.unmapped {
		return `"SandboxExecutionLog"`
	}
	return "sandbox_execution_logs"
}

func (a application) table() string { return a.at() + a.bare() }

// session are the options of its client's connections.
func (a application) session() string {
	switch {
	case a.role != "":
		return "-c role=" + a.role
	case a.schema != "":
		return "-c search_path=" + a.schema
	}
	return ""
}

// owners are the models of users and strategies.
func (a application) owners() string {
	kind, native := map[string]string{"text": "String", "cuid": "String", "uuid": "String", "integer": "Int", "bigint": "BigInt"}[a.key], ""
	switch a.key {
	case "uuid":
		native = " @db.Uuid"
	case "cuid":
		native = " @default(cuid())"
	}
	place := func(table string) (attributes string) {
		if !a.unmapped {
			attributes += "  @@map(\"" + table + "\")\n"
		}
		if a.schema != "" {
			attributes += "  @@schema(\"" + a.schema + "\")\n"
		}
		return attributes
	}
	schemas := ""
	if a.schema != "" {
		schemas = "\n  schemas = [\"" + a.schema + "\"]"
	}
	return fmt.Sprintf(`generator client {
  provider = "prisma-client-js"
}

datasource db {
  provider = "postgresql"%s
}

model User {
  id    %s @id%s
  email String @unique
  name  String?
  // more fields of User
%s}

model Strategy {
  id   %[2]s @id%[3]s
  name String
  // more fields of Strategy
%[5]s}
`, schemas, kind, native, place("users"), place("strategies"))
}

// before is the schema of the application as it is.
func (a application) before(t testing.TB) string {
	t.Helper()
	if !a.log {
		return a.owners()
	}
	raw, err := os.ReadFile("testdata/reference/model.prisma")
	check(t, err)
	model := string(raw)
	kind := map[string]string{"text": "String", "cuid": "String", "uuid": "String @db.Uuid", "integer": "Int", "bigint": "BigInt"}[a.key]
	model = field("userId", kind)(field("strategyId", kind)(model))
	if a.unmapped {
		model = strings.Replace(model, "  @@map(\"sandbox_execution_logs\")\n", "", 1)
	}
	if a.schema != "" {
		model = strings.Replace(model, "  @@index([createdAt])\n", "  @@index([createdAt])\n  @@schema(\""+a.schema+"\")\n", 1)
	}
	if a.change != nil {
		model = a.change(model)
	}
	return withReference(t, a.owners(), model)
}

// after is its schema when it has moved in.
func (a application) after(t testing.TB) string {
	t.Helper()
	users, strategies := "users", "strategies"
	if a.unmapped {
		users, strategies = "User", "Strategy"
	}
	key := a.key
	if key == "cuid" {
		key = "text"
	}
	addition, err := prisma.Addition(prisma.Options{
		Schema:     a.schema,
		Users:      prisma.Owner{Table: a.at() + users, IDType: key},
		Strategies: prisma.Owner{Table: a.at() + strategies, IDType: key},
	})
	check(t, err)
	return followed(t, a.owners(), addition) + a.beside
}

// options are what migrate is told: nothing that the database tells itself.
func (a application) options() (o postgres.Options) {
	o.Adopt = a.log
	switch {
	case a.log && a.unmapped:
		o.Logs.Table = a.at() + "SandboxExecutionLog"
	case a.log && a.schema != "":
		o.Logs.Table = a.at() + "sandbox_execution_logs"
	case !a.log && a.unmapped:
		o.Users.Table, o.Strategies.Table = a.at()+"User", a.at()+"Strategy"
	}
	return o
}

// fill makes owners and, where there is a log, rows of it.
func (a application) fill(t testing.TB, conn *pgx.Conn, rows int) {
	t.Helper()
	users, strategies := `users`, `strategies`
	if a.unmapped {
		users, strategies = `"User"`, `"Strategy"`
	}
	key := map[string]string{
		"text": "'k' || %s", "cuid": "'c' || lpad((%s)::text, 24, '0')", "uuid": "('00000000-0000-4000-8000-' || lpad((%s)::text, 12, '0'))::uuid", "integer": "%s", "bigint": "9007199254740993 + %s",
	}[a.key]
	statements := []string{
		fmt.Sprintf("INSERT INTO %s%s (id, email) SELECT %s, 'u' || n || '@example.com' FROM generate_series(0, 9) n", a.at(), users, fmt.Sprintf(key, "n")),
		fmt.Sprintf("INSERT INTO %s%s (id, name) SELECT %s, 'S' || n FROM generate_series(0, 9) n", a.at(), strategies, fmt.Sprintf(key, "n")),
	}
	if a.log {
		values := map[string]string{
			"id": "gen_random_uuid()", "userId": fmt.Sprintf(key, "n % 10"), "strategyId": fmt.Sprintf(key, "n % 7"), "executionType": "'VALIDATION'",
			"success": "n % 3 > 0", "executionTime": "n", "memoryUsed": "12", "classesFound": "'A,B'", "metadata": "'{\"n\": 1}'",
			"createdAt": "now() - n * interval '1 minute'",
		}
		maps.Copy(values, a.values)
		var columns, expressions []string
		for column, expression := range values {
			columns, expressions = append(columns, column), append(expressions, expression)
		}
		statements = append(statements, fmt.Sprintf(`INSERT INTO %s ("%s") SELECT %s FROM generate_series(1, %d) n`,
			a.table(), strings.Join(columns, `", "`), strings.Join(expressions, ", "), rows), a.hung)
	}
	for _, statement := range statements {
		_, err := conn.Exec(t.Context(), statement)
		check(t, err)
	}
}
