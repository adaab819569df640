package web

import (
	"context"
	"net/http"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/internal/sample"
	"github.com/sandtrail/sandtrail/postgres"
)

// LargeEnv names the variable that holds the URL of a database to use in
// place of a fresh one. It is filled when it is empty, and kept.
const LargeEnv = "SANDTRAIL_TEST_PAGES"

// TestOverManyExecutions walks every page and every flow in a browser, and
// weighs the pages, over ten times the population: 200,000 executions on
// PostgreSQL, a million with EXECUTIONS=100000.
func TestOverManyExecutions(t *testing.T) {
	home := populated(t, largeStore(t, 10*population.Executions))
	for name, look := range map[string]func(*testing.T, house){
		"every page on every screen": everyPageOnEveryScreen, "readers' flows": readersFlows, "weight": pagesAreLight,
		"partitions": partitionsUntilNow,
	} {
		t.Run(name, func(t *testing.T) { look(t, home) })
	}
}

// partitionsUntilNow are what administration shows, newest first.
func partitionsUntilNow(t *testing.T, home house) {
	p := page(t, whole(t, home.store, still, home.open), "/admin", http.StatusOK)
	p.wantText(t, "and 4 ready for the time to come")
	if newest := p.class("parts")[0].tag("th")[4].text(); newest != "23 Nov – 29 Nov 2026" {
		t.Errorf("the newest partition shown is %q, want the one of now", newest)
	}
}

// largeStore is a PostgreSQL database of so many executions. The sample is
// stored as a server does it and then repeated by the database, which is
// faster: every row again and again in the hour before it, while the
// store folds and seals what is there.
func largeStore(t testing.TB, executions int) *postgres.Store {
	t.Helper()
	url := os.Getenv(LargeEnv)
	if url == "" {
		url = pgtest.New(t)
	}
	store, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	applied, err := store.Migrate(t.Context(), now)
	if err == nil && len(applied) > 0 {
		err = fillLarge(t.Context(), store, url, executions)
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func fillLarge(ctx context.Context, store *postgres.Store, url string, executions int) error {
	once := sample.Options{Seed: population.Seed, Executions: 20_000, Since: population.Since, Until: population.Until}
	if err := populate(ctx, store, once); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE TEMPORARY TABLE once AS SELECT * FROM sandbox_execution_logs"); err != nil {
		return err
	}
	const atOnce = 5
	copies := executions/once.Executions - 1
	stored := make(chan error, 1)
	go func() {
		for done := 0; done < copies; done += atOnce {
			if _, err := conn.Exec(ctx, `INSERT INTO sandbox_execution_logs
				SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || left(noise, 3) || '8' || right(noise, 15))::uuid,
					user_id, strategy_id, execution_type, success, execution_time, memory_used, cpu_usage, timed_out, error_count,
					warning_count, classes_found, metadata, at
				FROM once, generate_series($1::integer, $2) copy,
					LATERAL (SELECT md5(id::text || copy) AS noise,
						greatest(date_trunc('milliseconds', created_at - interval '1 hour' * copy / $4::integer), $3) AS at) made`,
				done+1, min(done+atOnce, copies), once.Since, copies); err != nil {
				stored <- err
				return
			}
		}
		stored <- nil
	}()
	for all := false; !all; {
		select {
		case err := <-stored:
			if err != nil {
				return err
			}
			all = true
		default:
		}
		if err := store.Maintain(ctx, now); err != nil {
			return err
		}
	}
	_, err = conn.Exec(ctx, "VACUUM (ANALYZE)")
	return err
}
