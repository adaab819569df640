//go:build linux

package prisma_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/prisma"
)

// matrixEnv is how many rows the logs of TestApplicationsMoveIn have:
// SANDTRAIL_TEST_MATRIX=50000.
const matrixEnv = "SANDTRAIL_TEST_MATRIX"

// application is one that moves in.
type application struct {
	name     string
	key      string // of users and strategies, as SQL: text, uuid, integer, bigint
	unmapped bool   // its models name the tables
	schema   string // of the database; "": public
	log      bool   // it has executions already
	prisma   string // an older version of its client
	change   func(model string) string
	mend     string // SQL that the refusal asks for
	refused  string // a part of it
	check    string // SQL that is true when every value is there
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
		name: "an extra column", key: "text", log: true, change: field("runnerHost", "String?"),
		check: `SELECT bool_and("runnerHost" = 'x') FROM sandbox_execution_logs`,
	},
	{
		name: "a list of classes", key: "text", log: true, change: field("classesFound", "String[]"),
		check: `SELECT bool_and(classes_found = 'A,B') FROM sandbox_execution_logs`,
	},
	{
		name: "Json metadata", key: "text", log: true, change: field("metadata", "Json?"),
		check: `SELECT bool_and(metadata::jsonb = '{"n": 1}') FROM sandbox_execution_logs`,
	},
	{
		name: "parts of megabytes", key: "text", log: true, change: field("memoryUsed", "Float?"),
		refused: "a whole number", mend: `UPDATE sandbox_execution_logs SET "memoryUsed" = round("memoryUsed")`,
		check: `SELECT bool_and(memory_used = 12) FROM sandbox_execution_logs`,
	},
}

func (a application) at() string { return strings.TrimPrefix(a.schema+".", ".") }

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
	return followed(t, a.owners(), addition)
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
	users, strategies, logs := `users`, `strategies`, `sandbox_execution_logs`
	if a.unmapped {
		users, strategies, logs = `"User"`, `"Strategy"`, `"SandboxExecutionLog"`
	}
	key := map[string]string{
		"text": "'k' || %s", "cuid": "'c' || lpad((%s)::text, 24, '0')", "uuid": "('00000000-0000-4000-8000-' || lpad((%s)::text, 12, '0'))::uuid", "integer": "%s", "bigint": "9007199254740993 + %s",
	}[a.key]
	statements := []string{
		fmt.Sprintf("INSERT INTO %s%s (id, email) SELECT %s, 'u' || n || '@example.com' FROM generate_series(0, 9) n", a.at(), users, fmt.Sprintf(key, "n")),
		fmt.Sprintf("INSERT INTO %s%s (id, name) SELECT %s, 'S' || n FROM generate_series(0, 9) n", a.at(), strategies, fmt.Sprintf(key, "n")),
	}
	if a.log {
		classes, metadata, memory, extra, value := "'A,B'", "'{\"n\": 1}'", "12", "", ""
		switch a.name {
		case "a list of classes":
			classes = "ARRAY['A', 'B']"
		case "Json metadata":
			metadata += "::jsonb"
		case "parts of megabytes":
			memory = "12.25"
		case "an extra column":
			extra, value = `, "runnerHost"`, ", 'x'"
		}
		statements = append(statements, fmt.Sprintf(`INSERT INTO %s%s (id, "userId", "strategyId", "executionType", success, "executionTime",
			"memoryUsed", "classesFound", metadata, "createdAt"%s) SELECT gen_random_uuid(), %s, %s, 'VALIDATION', n %% 3 > 0, n, %s, %s, %s,
			now() - n * interval '1 minute'%s FROM generate_series(1, %d) n`,
			a.at(), logs, extra, fmt.Sprintf(key, "n % 10"), fmt.Sprintf(key, "n % 7"), memory, classes, metadata, value, rows))
	}
	for _, statement := range statements {
		_, err := conn.Exec(t.Context(), statement)
		check(t, err)
	}
}

// TestApplicationsMoveIn lets applications of many shapes move in. Before and
// after, Prisma's engine finds no drift; every row is there, and nothing that
// examines the database finds anything, also when owners are deleted.
func TestApplicationsMoveIn(t *testing.T) {
	rows := 100
	if n, err := strconv.Atoi(os.Getenv(matrixEnv)); err == nil {
		rows = n
	}
	application{}.packages(t)
	processes := startTenants(t)
	for _, a := range applications {
		t.Run(a.name, func(t *testing.T) {
			url := pgtest.New(t)
			conn, err := pgx.Connect(t.Context(), url)
			check(t, err)
			t.Cleanup(func() { conn.Close(context.Background()) })
			e := tenant{processes, url}
			before := a.before(t)
			if a.schema != "" {
				_, err := conn.Exec(t.Context(), "CREATE SCHEMA "+a.schema)
				check(t, err)
			}
			e.push(t, before)
			e.noDrift(t, before)
			a.fill(t, conn, rows)
			a.moveIn(t, conn, e, map[bool]int{true: rows}[a.log])
			e.noDrift(t, a.after(t), a.external()...)
		})
	}
}

// external are the tables that prisma.config.ts lists.
func (a application) external() []string {
	schema := strings.TrimSuffix(a.at(), ".")
	if schema == "" {
		schema = "public"
	}
	external := []string{schema + ".sandbox_execution_logs"}
	if a.log && a.unmapped {
		external = append(external, schema+".SandboxExecutionLog")
	}
	return external
}

func (a application) moveIn(t *testing.T, conn *pgx.Conn, e tenant, rows int) {
	t.Helper()
	url, clients := e.url, t.TempDir()
	packages := a.packages(t)
	check(t, os.Symlink(packages, filepath.Join(clients, "node_modules")))
	if a.schema != "" && !a.log {
		url += "?search_path=" + a.schema
	}
	open := func() *postgres.Store {
		s, err := postgres.Open(t.Context(), url, a.options())
		check(t, err)
		t.Cleanup(func() { s.Close() })
		return s
	}
	s, now := open(), time.Now()
	if a.refused != "" {
		if _, err := s.Migrate(t.Context(), now); err == nil || !strings.Contains(err.Error(), a.refused) {
			t.Fatalf("got %v, want a refusal with %q", err, a.refused)
		}
		_, err := conn.Exec(t.Context(), a.mend)
		check(t, err)
	}
	var asked any
	var came map[string]string
	if a.log {
		e.generate(t, a.prisma, clients+"/before", a.before(t))
		asked = e.queries(t, a, clients+"/before", now, a.names())
		came = e.attempts(t, a, clients+"/before")
	}
	_, err := s.Migrate(t.Context(), now)
	check(t, err)
	e.generate(t, a.prisma, clients+"/after", a.after(t))
	answered := e.queries(t, a, clients+"/after", now, nil)
	if diff := gocmp.Diff(asked, answered); a.log && diff != "" {
		t.Errorf("the reference's queries answer otherwise than before (-before +after):\n%s", diff)
	}
	if a.log && a.unmapped { // a view has the table's old name
		answered = e.queries(t, a, clients+"/before", now, a.names())
		if diff := gocmp.Diff(asked, answered); diff != "" {
			t.Errorf("the client made before answers otherwise (-before +after):\n%s", diff)
		}
		changed(t, came, e.attempts(t, a, clients+"/before"), nil)
	}
	if a.log {
		changed(t, came, e.attempts(t, a, clients+"/after"), map[string]string{"findMany, id contains": "no such argument"})
	}
	var n int
	check(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+a.at()+"sandbox_execution_logs").Scan(&n))
	if n != rows {
		t.Errorf("%d rows of %d", n, rows)
	}
	if a.check != "" {
		var right bool
		check(t, conn.QueryRow(t.Context(), a.check).Scan(&right))
		if !right {
			t.Error("a value is lost: " + a.check)
		}
	}
	users, err := s.Users(t.Context(), sandtrail.OwnerQuery{})
	check(t, err)
	if len(users.Items) != 10 {
		t.Fatalf("%d users, want 10", len(users.Items))
	}
	examined(t, s)
	e.call(t, "owners", map[string]any{
		"dir": clients + "/after", "url": e.url, "user": a.id(1), "strategy": a.id(1), "newUser": a.id(70), "newStrategy": a.id(70),
		"goneUser": a.id(2), "goneStrategy": a.id(2),
	}, &struct{}{})
	examined(t, s)
	_, err = s.DeleteUser(t.Context(), users.Items[3].ID)
	check(t, err)
	examined(t, s)
	if a.log {
		_, err = s.DropOld(t.Context())
		check(t, err)
	}
}

// changed checks which attempts come to something else than before.
func changed(t *testing.T, before, after, further map[string]string) {
	t.Helper()
	want := maps.Clone(before)
	maps.Copy(want, further)
	for _, call := range []string{
		"findUnique of no UUID", "findMany, id in a list with no UUID", "create with an id that is no UUID", "deleteMany of no UUID",
	} {
		want[call] = "no UUID"
	}
	want["upsert by id"] = "no unique index"
	if diff := gocmp.Diff(want, after); diff != "" {
		t.Errorf("calls come to something else (-want +got):\n%s", diff)
	}
}

// examined finds nothing, in what is derived and in the ledger.
func examined(t *testing.T, s *postgres.Store) {
	t.Helper()
	check(t, s.Maintain(t.Context(), time.Now()))
	checks, err := s.Doctor(t.Context(), sandtrail.Deep, time.Now())
	check(t, err)
	for _, c := range checks {
		if !c.OK {
			t.Errorf("doctor: %s: %s", c.Name, c.Detail)
		}
	}
	_, err = ledger.VerifyLog(t.Context(), s, ledger.Verification{
		Report: func(found ledger.Finding) { t.Errorf("false alarm: %+v", found) },
	})
	check(t, err)
}

// id is a key of a user or strategy, as JavaScript.
func (a application) id(n int) string {
	return fmt.Sprintf(map[string]string{
		"text": "'k%d'", "cuid": "'c%024d'", "uuid": "'00000000-0000-4000-8000-%012d'", "integer": "%d", "bigint": "9007199254740993n + %dn",
	}[a.key], n)
}

// names are those of the table and columns before, in the reference's SQL.
func (a application) names() map[string]string {
	table := "sandbox_execution_logs"
	if a.unmapped {
		table = `"SandboxExecutionLog"`
	}
	return map[string]string{
		"sandbox_execution_logs": table, "created_at": `"createdAt"`, "execution_time": `"executionTime"`, "memory_used": `"memoryUsed"`,
	}
}
