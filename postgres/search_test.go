package postgres_test

import (
	"fmt"
	neturl "net/url"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/storetest"
)

// TestSearches indexes partitions of few texts, and lets a budget end pages.
func TestSearches(t *testing.T) {
	storetest.RunSearch(t, func(t *testing.T) database.Database { s, _ := openSearching(t, 1, 300); return s })
}

func openSearching(t *testing.T, few, budget int) (*postgres.Store, string) {
	t.Helper()
	url := template.copy(t)
	s, err := postgres.OpenSearching(t.Context(), url, few, budget, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, url
}

// TestTextIndexes are made of partitions that are over, and of the one in use
// up to now, anew as it grows. Searches of them read the index.
func TestTextIndexes(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("there are none")
	}
	s, url := openSearching(t, 100, 0)
	putOwners(t, s, 1)
	conn := foreign(t, url)
	fill := func(n int, from time.Time) {
		exec(t, conn, `INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, metadata, created_at)
			SELECT 'u0', 's0', 'TERMINAL', false, 7, 'needle ' || n || ' of hay', $1::timestamptz + n * interval '10 seconds' FROM generate_series(1, $2::int) n`, from, n)
	}
	names := func() string {
		return value[string](t, conn, `SELECT coalesce(string_agg(c.relname, ' ' ORDER BY c.relname), '') FROM pg_class c WHERE relkind = 'i' AND relname ~ '_text_'`)
	}
	at := now
	round := func(want string) {
		t.Helper()
		if err := s.Maintain(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		if got := names(); got != want {
			t.Errorf("the indexes are %q, want %q", got, want)
		}
		at = at.Add(2 * time.Minute)
	}
	round("")
	fill(1500, now.AddDate(0, 0, -14)) // in the partition of a week that is over
	fill(900, now.Add(-3*time.Hour))
	old := fmt.Sprintf("logs_20261109_text_%d", time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC).Unix())
	round(old)
	fill(300, now.Add(-3*time.Hour))
	first := fmt.Sprintf("logs_20261123_text_%d", at.Unix())
	round(old + " " + first)
	round(old + " " + first)
	fill(2000, now.Add(-6*time.Hour))
	round(old + " " + first) // those are in it
	fill(1200, at)
	at = at.Add(6 * time.Hour)
	second := fmt.Sprintf("logs_20261123_text_%d", at.Unix())
	round(old + " " + second)

	exec(t, conn, "ANALYZE")
	p := newPlanner(t, url)
	p.store.Close()
	var err error
	if p.store, err = postgres.OpenSearching(t.Context(), url, 100, 0, p.sent); err != nil {
		t.Fatal(err)
	}
	defer p.store.Close()
	exec(t, p.conn, "SET enable_seqscan = off; SET enable_indexscan = off") // as the search does in its transaction
	var found int
	plans, _ := p.explain(t, "force_custom_plan", func(s *postgres.Store) error {
		page, err := s.Executions(t.Context(), sandtrail.Query{Filter: sandtrail.Filter{Text: "NEEDLE 77 "}}, at)
		found = len(page.Items)
		return err
	})
	for _, name := range []string{old, second} {
		if !strings.Contains(plans, "Bitmap Index Scan on "+name) {
			t.Errorf("%s is not read:\n%s", name, plans)
		}
	}
	if found != 5 {
		t.Errorf("found %d, want 5", found)
	}
	check, err := s.TextSearch(t.Context())
	if err != nil || !check.OK || !strings.HasPrefix(check.Detail, "2 of ") {
		t.Errorf("doctor says %+v, %v", check, err)
	}
}

// TestWithoutTrigrams migrates with a role that may not install pg_trgm. It is
// told, searches work, and the next migration finds the extension.
func TestWithoutTrigrams(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("there is no index")
	}
	url := pgtest.New(t)
	conn := foreign(t, url)
	name := role(t, conn)
	exec(t, conn, "ALTER ROLE "+name+" LOGIN")
	exec(t, conn, "GRANT ALL ON SCHEMA public TO "+name)
	database := value[string](t, conn, "SELECT quote_ident(current_database())")
	exec(t, conn, "GRANT CREATE ON DATABASE "+database+" TO "+name)
	u, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	u.User = neturl.User(name)
	s := openAt(t, u.String(), postgres.Options{})
	migrate(t, s)
	exec(t, conn, "DROP EXTENSION pg_trgm CASCADE")
	exec(t, conn, "REVOKE CREATE ON DATABASE "+database+" FROM "+name)
	migrate(t, s)
	check, err := s.TextSearch(t.Context())
	if err != nil || !check.OK || !strings.Contains(check.Fix, "grant this role CREATE") {
		t.Errorf("doctor says %+v, %v", check, err)
	}
	if page, err := s.Executions(t.Context(), sandtrail.Query{Filter: sandtrail.Filter{Text: "needle"}}, now); err != nil || len(page.Items) > 0 {
		t.Errorf("found %d, %v", len(page.Items), err)
	}
	exec(t, conn, "GRANT CREATE ON DATABASE "+database+" TO "+name)
	migrate(t, s)
	if check, err := s.TextSearch(t.Context()); err != nil || check.Fix != "" {
		t.Errorf("with the extension doctor says %+v, %v", check, err)
	}
}
