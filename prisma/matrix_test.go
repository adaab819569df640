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
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/prisma"
)

// matrixEnv is how many rows the logs of TestApplicationsMoveIn have:
// SANDTRAIL_TEST_MATRIX=50000.
const matrixEnv = "SANDTRAIL_TEST_MATRIX"

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
	t.Run("a schema of other names", func(t *testing.T) {
		custom, err := prisma.Schema(elsewhere)
		check(t, err)
		tenant{processes, ""}.generate(t, "", t.TempDir(), custom)
	})
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
			if a.role != "" {
				a = a.withRole(t, conn)
			}
			e.push(t, before)
			e.noDrift(t, before)
			a.fill(t, conn, rows)
			a.moveIn(t, conn, e, map[bool]int{true: rows}[a.log])
			e.noDrift(t, a.after(t), a.external()...)
		})
	}
}

// withRole makes the role of its client.
func (a application) withRole(t *testing.T, conn *pgx.Conn) application {
	t.Helper()
	check(t, conn.QueryRow(t.Context(), "SELECT 'role_' || replace(gen_random_uuid()::text, '-', '')").Scan(&a.role))
	_, err := conn.Exec(t.Context(), "CREATE ROLE "+a.role)
	check(t, err)
	a.hung = strings.ReplaceAll(a.hung, "ROLE", a.role)
	return a
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
	var asked any
	var came map[string]string
	ask := func() {
		e.generate(t, a.prisma, clients+"/before", a.before(t))
		asked = e.queries(t, a, clients+"/before", now, a.names())
		came = e.attempts(t, a, clients+"/before")
	}
	if a.stops {
		ask()
	}
	e.refuses(t, a, conn, s, now)
	if a.log {
		check(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+a.table()).Scan(&rows))
	}
	if a.log && !a.stops {
		ask()
	}
	start := time.Now()
	_, err := s.Migrate(t.Context(), now)
	check(t, err)
	t.Logf("%d rows moved in within %v", rows, time.Since(start).Round(time.Millisecond))
	e.generate(t, a.prisma, clients+"/after", a.after(t))
	answered := e.queries(t, a, clients+"/after", now, nil)
	if diff := gocmp.Diff(asked, answered); a.log && diff != "" {
		t.Errorf("the example application's queries answer otherwise than before (-before +after):\n%s", diff)
	}
	if a.log && a.unmapped { // a view has the table's old name
		answered = e.queries(t, a, clients+"/before", now, a.names())
		if diff := gocmp.Diff(asked, answered); diff != "" {
			t.Errorf("the client made before answers otherwise (-before +after):\n%s", diff)
		}
		changed(t, came, e.attempts(t, a, clients+"/before"), nil)
	}
	if a.log {
		further := map[string]string{"findMany, id contains": "no such argument"}
		if !a.unmapped {
			further["raw SQL by the old names"] = "no such column"
		}
		changed(t, came, e.attempts(t, a, clients+"/after"), further)
	}
	var n int
	check(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+a.at()+"sandbox_execution_logs").Scan(&n))
	if n != rows {
		t.Errorf("%d rows of %d", n, rows)
	}
	_, err = conn.Exec(t.Context(), a.again)
	check(t, err)
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

// refuses has an application refused for what it cannot bring along, with nothing
// changed, and does what the refusal prints.
func (e tenant) refuses(t *testing.T, a application, conn *pgx.Conn, s *postgres.Store, now time.Time) {
	t.Helper()
	if a.refused == "" {
		return
	}
	var before, after string
	rows := "SELECT md5(string_agg(r::text, '' ORDER BY id)) FROM " + a.table() + " r"
	check(t, conn.QueryRow(t.Context(), rows).Scan(&before))
	if _, err := s.Migrate(t.Context(), now); err == nil || !strings.Contains(err.Error(), a.refused) || !strings.Contains(err.Error(), a.mend) {
		t.Fatalf("got %v, want a refusal with %q and %q", err, a.refused, a.mend)
	}
	check(t, conn.QueryRow(t.Context(), rows).Scan(&after))
	if before != after {
		t.Error("the refusal changed rows")
	}
	e.noDrift(t, a.before(t))
	_, err := conn.Exec(t.Context(), a.mend)
	check(t, err)
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
	checks, err := s.Doctor(t.Context(), database.Deep, time.Now())
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

// names are those of the table and columns before, in the example application's SQL.
func (a application) names() map[string]string {
	return map[string]string{
		"sandbox_execution_logs": a.bare(), "created_at": `"createdAt"`, "execution_time": `"executionTime"`, "memory_used": `"memoryUsed"`,
	}
}
