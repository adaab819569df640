package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// now is a Wednesday.
var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// open returns a store on a fresh database, and its URL. The database is a copy
// of one that was migrated.
func open(t testing.TB) (*postgres.Store, string) {
	t.Helper()
	url := template.copy(t)
	return openAt(t, url, postgres.Options{}), url
}

// migrated is a database that is migrated once, for many tests to copy.
type migrated struct {
	once sync.Once
	url  string
	drop func() error
}

// template is dropped by TestMain.
var template migrated

func (m *migrated) copy(t testing.TB) string {
	t.Helper()
	if pgtest.OnCitus() {
		return migratedAt(t, pgtest.New(t), "")
	}
	m.once.Do(func() {
		url, drop := pgtest.Keep(t)
		m.drop = drop
		m.url = migratedAt(t, url, "2")
	})
	if m.url == "" {
		t.Fatal("the first test could not migrate the database that all copy")
	}
	return pgtest.Copy(t, m.url)
}

func (m *migrated) close() error {
	if m.drop == nil {
		return nil
	}
	return m.drop()
}

// migratedAt migrates a database and leaves it without connections, which would
// keep it from being copied.
func migratedAt(t testing.TB, url, pool string) string {
	t.Helper()
	s, err := postgres.Open(t.Context(), withPool(t, url, pool), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	migrate(t, s)
	return url
}

// openAt opens a store of few connections: who waits for one while holding
// another waits for ever.
func openAt(t testing.TB, url string, options postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), withPool(t, url, "2"), options)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// copies migrates one database with as many connections as said, and returns
// what makes copies of it. An isolation level is the default of all.
func copies(t testing.TB, level, pool string) func(testing.TB) string {
	t.Helper()
	made := func(t testing.TB) string {
		t.Helper()
		return migratedAt(t, withDefault(t, pgtest.New(t), level), pool)
	}
	if pgtest.OnCitus() {
		return made
	}
	first := made(t)
	return func(t testing.TB) string {
		t.Helper()
		return withDefault(t, pgtest.Copy(t, first), level)
	}
}

// withDefault makes an isolation level the default of a database.
func withDefault(t testing.TB, address, level string) string {
	t.Helper()
	conn := foreign(t, address)
	defer conn.Close(t.Context())
	exec(t, conn, "ALTER DATABASE "+pgx.Identifier{conn.Config().Database}.Sanitize()+" SET default_transaction_isolation TO '"+level+"'")
	return address
}

// withPool bounds the connections of a URL that does not say how many; "": as
// many as a server has.
func withPool(t testing.TB, address, size string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	if !query.Has("pool_max_conns") && size != "" {
		query.Set("pool_max_conns", size)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

func migrate(t testing.TB, s *postgres.Store) []database.Migration {
	t.Helper()
	applied, err := s.Migrate(t.Context(), now)
	if err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return applied
}

// foreign is another client's connection.
func foreign(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, sql string, args ...any) int64 {
	t.Helper()
	tag, err := conn.Exec(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return tag.RowsAffected()
}

// value reads a single value.
func value[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) (v T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// putOwners makes users u0… and strategies s0….
func putOwners(t testing.TB, s *postgres.Store, n int) {
	t.Helper()
	for i := range n {
		user := sandtrail.User{ID: fmt.Sprint("u", i), Email: fmt.Sprintf("u%d@example.com", i)}
		if err := s.PutUser(t.Context(), user); err != nil {
			t.Fatal(err)
		}
		if err := s.PutStrategy(t.Context(), sandtrail.Strategy{ID: fmt.Sprint("s", i), Name: fmt.Sprint("Strategy ", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// execution is a record of u0 and s0 at a time.
func execution(at time.Time, change ...func(*sandtrail.Execution)) sandtrail.Admitted {
	e := sandtrail.Execution{
		ID: sandtrail.NewID(at), UserID: "u0", StrategyID: "s0", Type: sandtrail.Validation,
		Success: true, ExecutionTime: 120, CreatedAt: sandtrail.Millisecond(at),
	}
	for _, f := range change {
		f(&e)
	}
	return sandtrail.Admitted{Execution: e}
}

func appendAll(t testing.TB, s *postgres.Store, batch ...sandtrail.Admitted) sandtrail.Appended {
	t.Helper()
	done, err := s.Append(t.Context(), batch)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return done
}

// reconcile lets the store find what other clients wrote, where no triggers
// tell it.
func reconcile(t testing.TB, s *postgres.Store) {
	t.Helper()
	if !pgtest.OnCitus() {
		return
	}
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

// deepCheck fails the test when what is derived differs from the records.
func deepCheck(t testing.TB, s *postgres.Store) {
	t.Helper()
	deepCheckAt(t, s, now)
}

func deepCheckAt(t testing.TB, s *postgres.Store, at time.Time) {
	t.Helper()
	checks, err := s.Doctor(t.Context(), database.Deep, at)
	if err != nil {
		t.Fatalf("doctor: %v", err)
	}
	for _, c := range checks {
		if !c.OK {
			t.Errorf("doctor: %s: %s (%s)", c.Name, c.Detail, c.Fix)
		}
	}
}
