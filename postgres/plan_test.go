package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// statements collects what a store sends.
type statements []pgx.TraceQueryStartData

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	*s = append(*s, data)
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

var (
	partitionName = regexp.MustCompile(`logs_([0-9]{8}|default)\b`)
	indexName     = regexp.MustCompile(`logs_\w+_(idx[0-9]*|pkey)\b`)
)

// planner explains the statements of a store's method, with the names of
// partitions' indexes replaced by those of the whole table's.
type planner struct {
	store *postgres.Store
	sent  *statements
	conn  *pgx.Conn
	names map[string]string
}

func newPlanner(t *testing.T, url string) *planner {
	t.Helper()
	p := &planner{sent: &statements{}, conn: foreign(t, url)}
	var err error
	if p.store, err = postgres.OpenTraced(t.Context(), url, p.sent); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.store.Close() })
	rows, err := p.conn.Query(t.Context(), `SELECT c.relname, p.relname FROM pg_inherits i
		JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent WHERE c.relkind = 'i'`)
	if err != nil {
		t.Fatal(err)
	}
	var child, parent string
	p.names = map[string]string{}
	if _, err := pgx.ForEachRow(rows, []any{&child, &parent}, func() error {
		p.names[child] = parent
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return p
}

// explain returns the plans of what f sends on the executions, and the
// partitions that they read: with a plan for these parameters, or the one that
// is kept for all.
func (p *planner) explain(t *testing.T, planCacheMode string, f func(*postgres.Store) error) (plans string, partitions []string) {
	t.Helper()
	exec(t, p.conn, "SET plan_cache_mode = "+planCacheMode)
	*p.sent = nil
	if err := f(p.store); err != nil {
		t.Fatal(err)
	}
	for _, s := range *p.sent {
		if !strings.Contains(s.SQL, "sandbox_execution_logs") {
			continue
		}
		args := []any{pgx.QueryExecModeSimpleProtocol}
		var places []string
		for _, arg := range s.Args {
			if _, ok := arg.(pgx.QueryExecMode); ok {
				continue
			}
			if id, ok := arg.([16]byte); ok {
				arg = sandtrail.ID(id).String()
			}
			args = append(args, arg)
			places = append(places, fmt.Sprintf("$%d", len(places)+1))
		}
		exec(t, p.conn, "PREPARE asked AS "+s.SQL)
		rows, err := p.conn.Query(t.Context(), "EXPLAIN (COSTS OFF) EXECUTE asked("+strings.Join(places, ", ")+")", args...)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", s.SQL, err)
		}
		exec(t, p.conn, "DEALLOCATE asked")
		plans += indexName.ReplaceAllStringFunc(strings.Join(lines, "\n")+"\n", func(name string) string { return p.names[name] })
	}
	partitions = partitionName.FindAllString(plans, -1)
	slices.Sort(partitions)
	return plans, slices.Compact(partitions)
}

// years are two of them with little in each week but the last three; u0 and
// s0 have one in a hundred of the recent executions.
const years = `
INSERT INTO users SELECT 'u' || n, 'u' || n || '@example.com' FROM generate_series(0, 9) n;
INSERT INTO strategies SELECT 's' || n, 'Strategy ' || n FROM generate_series(0, 9) n;
INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
SELECT 'u' || CASE n % 100 WHEN 0 THEN 0 ELSE 1 + n % 9 END, 's' || CASE n % 100 WHEN 1 THEN 0 ELSE 1 + n % 9 END,
    'VALIDATION', n % 50 > 0, n % 1000, timestamptz '2026-11-25 12:00:00Z' - n * interval '45 seconds'
FROM generate_series(1, 40000) n;
INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time, created_at)
SELECT 'u9', 's9', 'VALIDATION', n % 50 > 0, n % 1000, timestamptz '2026-11-01 12:00:00Z' - n * interval '1 week'
FROM generate_series(1, 100) n;
`

func TestYearsOfWeeksOpenFewPartitions(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("the plans are the workers'")
	}
	s, url := open(t)
	conn := foreign(t, url)
	exec(t, conn, years)
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "ANALYZE")
	if n := value[int](t, conn, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'sandbox_execution_logs'::regclass"); n < 100 {
		t.Fatalf("%d partitions, want two years of them", n)
	}
	failed := false
	p := newPlanner(t, url)
	list := func(f sandtrail.Filter) func(*postgres.Store) error {
		return func(s *postgres.Store) error {
			_, err := s.Executions(t.Context(), sandtrail.Query{Filter: f, Limit: 4}, now)
			return err
		}
	}
	for _, c := range []struct {
		name, index string
		call        func(*postgres.Store) error
		partitions  int
	}{
		{"user's list", "using sandbox_execution_logs_pkey", list(sandtrail.Filter{UserID: "u0"}), 12},
		{"strategy's list", "using sandbox_execution_logs_strategy_id_created_at_id_idx", list(sandtrail.Filter{StrategyID: "s0"}), 12},
		{"list of all", "using sandbox_execution_logs_created_at_id_idx", list(sandtrail.Filter{}), 12},
		{"failed list", "using sandbox_execution_logs_failures_idx", list(sandtrail.Filter{Success: &failed}), 12},
		{"strategy health", "using sandbox_execution_logs_strategy_id_created_at_id_idx", func(s *postgres.Store) error {
			_, err := s.StrategyHealth(t.Context(), "s0", 4)
			return err
		}, 12},
		{"one record", "Index Scan", func(s *postgres.Store) error {
			_, err := s.Execution(t.Context(), sandtrail.ID(value[[16]byte](t, conn, "SELECT id FROM sandbox_execution_logs WHERE created_at > '2026-11-24' LIMIT 1")))
			return err
		}, 1},
		{"by the first digits of the id", "_id_idx", func(s *postgres.Store) error {
			p, err := sandtrail.ParseIDPrefix(value[string](t, conn, "SELECT id::text FROM sandbox_execution_logs WHERE created_at > '2026-11-24' LIMIT 1")[:23])
			if err == nil {
				_, err = s.ExecutionByPrefix(t.Context(), p, "")
			}
			return err
		}, 1000},
		{"last hour", "sandbox_execution_logs_created_at_id_idx", func(s *postgres.Store) error {
			_, err := s.WindowStats(t.Context(), sandtrail.Window{Since: now.Add(-59 * time.Minute), Until: now})
			return err
		}, 1},
	} {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			t.Run(c.name+", "+mode, func(t *testing.T) {
				plans, partitions := p.explain(t, mode, c.call)
				if !strings.Contains(plans, c.index) || strings.Contains(plans, "Seq Scan on logs_2") {
					t.Errorf("want the plan to say %q and to scan no partition whole:\n%s", c.index, plans)
				}
				if len(partitions) > c.partitions || strings.Contains(plans, "Subplans Removed") {
					t.Errorf("opens %d partitions, want at most %d:\n%s", len(partitions), c.partitions, plans)
				}
			})
		}
	}
	t.Run("another client by id", func(t *testing.T) {
		rows, err := conn.Query(t.Context(), "EXPLAIN (COSTS OFF) SELECT * FROM sandbox_execution_logs WHERE id = '0192d3a4-7b1c-7def-8a90-1b2c3d4e5f60'")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "using logs_20261116_id_idx") }) {
			t.Errorf("a large partition is not read by the index on id:\n%s", strings.Join(lines, "\n"))
		}
	})
}

func TestPlansAreKeptUnlessAPoolerIsBetween(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("a distributed table is planned anew for its shards")
	}
	_, address := open(t)
	for parameters, kept := range map[string]bool{"": true, "pgbouncer=true": false, "statement_cache_size=0": false} {
		var sent statements
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery += "&" + parameters
		s, err := postgres.OpenTraced(t.Context(), u.String(), &sent)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Executions(t.Context(), sandtrail.Query{}, now); err != nil {
			t.Errorf("%s: %v", parameters, err)
		}
		if got := slices.ContainsFunc(sent, func(s pgx.TraceQueryStartData) bool {
			return slices.Contains(s.Args, any(pgx.QueryExecModeCacheStatement))
		}); got != kept {
			t.Errorf("%q keeps plans: %t, want %t", parameters, got, kept)
		}
	}
}

// TestOneStatementByID reads executions by ids that say their time in one
// statement, and finds those whose ids say another, or none.
func TestOneStatementByID(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("a statement there asks every shard")
	}
	writer, url := open(t)
	putOwners(t, writer, 1)
	called := func(id sandtrail.ID) func(*sandtrail.Execution) {
		return func(e *sandtrail.Execution) { e.ID = id }
	}
	outlandish := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	batch := []sandtrail.Admitted{
		execution(now),
		execution(now.AddDate(0, -2, 0), called(sandtrail.NewID(now))),
		execution(now, called(sandtrail.NewID(outlandish))),
		execution(now, called(sandtrail.ID{8: 0x80, 15: 1})),
	}
	appendAll(t, writer, batch...)
	var sent statements
	s, err := postgres.OpenTraced(t.Context(), url, &sent)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 3, 2, 2} {
		sent = nil
		e, err := s.Execution(t.Context(), batch[i].Execution.ID)
		if err != nil || !e.CreatedAt.Equal(batch[i].Execution.CreatedAt) || len(sent) != want {
			t.Errorf("%d: %d statements, %v, created at %v; want %d", i, len(sent), err, e.CreatedAt, want)
		}
	}
	if _, err := s.Execution(t.Context(), sandtrail.NewID(now)); sandtrail.CodeOf(err) != sandtrail.CodeNotFound {
		t.Errorf("an id that is not stored: %v", err)
	}
}
