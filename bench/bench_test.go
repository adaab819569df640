package bench_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/bench"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/sqlite"
)

func TestRunOnSQLite(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "sandtrail.db")
	db, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	check(t, db, func() (bench.Plain, error) { return bench.OpenSQLite(ctx, path) })
}

func TestRunOnPostgres(t *testing.T) {
	ctx, url := t.Context(), pgtest.New(t)
	db, err := postgres.Open(ctx, url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	check(t, db, func() (bench.Plain, error) { return bench.OpenPostgres(ctx, url) })
}

// check runs a small bench and wants every figure of it.
func check(t *testing.T, db sandtrail.Database, open func() (bench.Plain, error)) {
	t.Helper()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	if _, err := db.Migrate(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	plain, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plain.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	opts := bench.Options{Executions: 2000, Users: 20, Strategies: 10, Batch: 500, Rounds: 3}
	steps := map[string]int{}
	report, err := bench.Run(t.Context(), db, plain, now, opts, func(step string, done, total int) { steps[step] = done * 100 / total })
	if err != nil {
		t.Fatal(err)
	}
	if steps["ingest"] != 100 || steps["questions"] != 100 {
		t.Errorf("progress ended at %v, want 100 %% of both steps", steps)
	}
	if report.Ingest.Sandtrail <= 0 || report.Ingest.Plain <= 0 || len(report.Sizes) < 2 {
		t.Errorf("report lacks figures: %+v", report)
	}
	for _, q := range report.Questions {
		if q.Sandtrail.Median <= 0 || q.Plain.Median <= 0 || q.Sandtrail.P99 < q.Sandtrail.Median {
			t.Errorf("%s: %+v", q.Name, q)
		}
	}
	page, err := db.Executions(t.Context(), sandtrail.Query{Limit: 1}, now)
	if err != nil || len(page.Items) != 1 {
		t.Errorf("newest execution: %v, %v", page.Items, err)
	}
}
