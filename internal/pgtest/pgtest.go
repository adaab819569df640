// Package pgtest gives tests fresh databases on a real PostgreSQL server.
//
// The first call starts a throw-away cluster from the binaries on the machine
// and keeps it for the process; processes that it starts find it in the
// environment and share it. To let many test binaries share one server, name
// a superuser's URL in SANDTRAIL_TEST_POSTGRES.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/internal/testneed"
)

// Env names the variable that holds the URL of a server to use.
const Env = "SANDTRAIL_TEST_POSTGRES"

// New creates an empty database and returns its URL. The database is dropped
// when the test ends. Without PostgreSQL on the machine the test is skipped,
// or fails where CI=true.
func New(t testing.TB) string {
	t.Helper()
	name := randomName()
	if coordinator := os.Getenv(CitusEnv); coordinator != "" {
		return newDistributed(t, coordinator, name)
	}
	return lend(t, name, "")
}

// ExampleEnv names the variable in which Examples find the URL of a database.
const ExampleEnv = "DATABASE_URL"

// Examples is New for the Examples of a package, which have no testing.TB:
// TestMain calls it. It returns the function that drops their database. Without
// PostgreSQL on the machine those that match the pattern are left out, and it
// fails where CI=true.
func Examples(pattern string) (drop func() error, err error) {
	server, err := shared()
	if err != nil {
		return func() error { return nil }, testneed.LeaveOut(pattern, fmt.Errorf("pgtest: %w", err))
	}
	url, drop, err := create(server.url, randomName(), "")
	if err != nil {
		return nil, err
	}
	return drop, os.Setenv(ExampleEnv, url)
}

// Keep creates an empty database that stays until it is dropped, such as one to
// copy in many tests.
func Keep(t testing.TB) (database string, drop func() error) {
	t.Helper()
	database, drop, err := create(Server(t), randomName(), "")
	if err != nil {
		t.Fatal(err)
	}
	return database, drop
}

// Copy creates a database as New does, as a copy of another one of the same server that
// has no connections.
func Copy(t testing.TB, template string) string {
	t.Helper()
	u, err := url.Parse(template)
	if err != nil {
		t.Fatal(err)
	}
	return lend(t, randomName(), " TEMPLATE "+strings.TrimPrefix(u.Path, "/"))
}

func randomName() string { return "test_" + strings.ToLower(rand.Text()[:16]) }

// lend creates a database that is dropped when the test ends.
func lend(t testing.TB, name, options string) string {
	t.Helper()
	database, drop, err := create(Server(t), name, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Fatal(err)
		}
	})
	return database
}

func create(server, name, options string) (database string, drop func() error, err error) {
	err = execBy(server, func(conn *pgx.Conn) string { return "CREATE DATABASE " + name + options + asFiles(conn) })
	if err != nil {
		return "", nil, err
	}
	return at(server, name), func() error { return execAt(server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") }, nil
}

// asFiles has a server copy a database file by file. PostgreSQL 15 and later
// write every page to their log otherwise, which takes many times the processor
// time.
func asFiles(server *pgx.Conn) string {
	version, _, _ := strings.Cut(server.PgConn().ParameterStatus("server_version"), ".")
	if n, err := strconv.Atoi(version); err != nil || n < 15 {
		return ""
	}
	return " STRATEGY file_copy"
}

// at is the URL of a database of a server.
func at(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic("pgtest: want a URL such as postgres://postgres@127.0.0.1:5432/postgres: " + err.Error())
	}
	u.Path = "/" + name
	return u.String()
}

// Server returns the URL of the server's maintenance database, as a superuser.
func Server(t testing.TB) string {
	t.Helper()
	server, err := shared()
	if err == nil {
		return server.url
	}
	testneed.Missing(t, fmt.Sprintf("pgtest: %v", err))
	return ""
}

// Own is a server of a test alone, which may crash.
type Own struct {
	t       testing.TB
	cluster *cluster
}

// NewOwn starts a server that ends with the test. Settings such as "fsync=on"
// take the place of those that make tests fast.
func NewOwn(t testing.TB, settings ...string) *Own {
	t.Helper()
	return newOwn(t, "", settings...)
}

func newOwn(t testing.TB, primary string, settings ...string) *Own {
	t.Helper()
	c, err := start(primary, settings...)
	if err != nil {
		testneed.Missing(t, fmt.Sprintf("pgtest: %v", err))
	}
	t.Cleanup(func() { c.hold.Close() })
	return &Own{t, c}
}

// URL is that of the server's database.
func (o *Own) URL() string { return o.cluster.url }

// Standby starts a hot standby of the server, with all that it holds, which ends
// with the test.
func (o *Own) Standby() *Own {
	o.t.Helper()
	return newOwn(o.t, o.URL())
}

// Crash ends the server without a word and returns when it is back.
func (o *Own) Crash() {
	o.t.Helper()
	if _, err := o.cluster.hold.WriteString("\n"); err != nil {
		o.t.Fatal(err)
	}
	if err := o.cluster.ready(); err != nil {
		o.t.Fatal(err)
	}
}

// shared finds or starts the server once per process. It is set in the
// environment for the processes that this one starts.
var shared = sync.OnceValues(func() (*cluster, error) {
	if server := os.Getenv(Env); server != "" {
		return &cluster{url: server}, nil
	}
	server, err := start("")
	if err != nil {
		return nil, err
	}
	if err := os.Setenv(Env, server.url); err != nil {
		return nil, fmt.Errorf("share the server's address: %w", err)
	}
	return server, nil
})

func exec(t testing.TB, server, sql string) {
	t.Helper()
	if err := execAt(server, sql); err != nil {
		t.Fatal(err)
	}
}

func execAt(server, sql string) error {
	return execBy(server, func(*pgx.Conn) string { return sql })
}

// execBy runs a statement that may depend on the server.
func execBy(server string, statement func(*pgx.Conn) string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return fmt.Errorf("pgtest: connect: %w", err)
	}
	defer conn.Close(ctx)
	sql := statement(conn)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("pgtest: %s: %w", sql, err)
	}
	return nil
}
