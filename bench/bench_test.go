package bench_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/bench"
	"github.com/sandtrail/sandtrail/database"
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
	check(t, db, func(withTable bool) (bench.Plain, error) { return bench.OpenSQLite(ctx, path, withTable) })
}

func TestRunOnPostgres(t *testing.T) {
	ctx, url := t.Context(), pgtest.New(t)
	db, err := postgres.Open(ctx, url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	check(t, db, func(withTable bool) (bench.Plain, error) { return bench.OpenPostgres(ctx, url, withTable) })
}

// check runs a small bench and wants every figure of it.
func check(t *testing.T, db database.Database, open func(withTable bool) (bench.Plain, error)) {
	t.Helper()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	if _, err := db.Migrate(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	opts := bench.Options{Executions: 2000, Users: 20, Strategies: 10, Batch: 500, Rounds: 3}
	report := run(t, db, open, true, now, opts)
	if report.Ingest == nil || report.Ingest.Sandtrail <= 0 || report.Ingest.Plain == nil || len(report.Sizes) < 2 {
		t.Errorf("report lacks figures: %+v", report)
	}
	again := run(t, db, open, false, now, bench.Options{Rounds: 3, NoFill: true})
	if again.Ingest != nil || again.Executions != opts.Executions || len(again.Questions) != len(report.Questions) {
		t.Errorf("asked without filling: %+v", again)
	}
	page, err := db.Executions(t.Context(), sandtrail.Query{Limit: 1}, now)
	if err != nil || len(page.Items) != 1 {
		t.Errorf("newest execution: %v, %v", page.Items, err)
	}
}

// run runs a bench, whose progress ends at 100 % and whose questions all have
// figures.
func run(t *testing.T, db database.Database, open func(withTable bool) (bench.Plain, error), withTable bool, now time.Time, opts bench.Options) bench.Report {
	t.Helper()
	plain, err := open(withTable)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := plain.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	steps := map[string]int{"ingest": 100}
	report, err := bench.Run(t.Context(), db, plain, now, opts, func(step string, done, total int) { steps[step] = done * 100 / total })
	if err != nil {
		t.Fatal(err)
	}
	if steps["ingest"] != 100 || steps["questions"] != 100 {
		t.Errorf("progress ended at %v, want 100 %% of both steps", steps)
	}
	for _, q := range report.Questions {
		if q.Sandtrail.Median <= 0 || q.Plain.Median <= 0 || q.Sandtrail.P99 < q.Sandtrail.Median {
			t.Errorf("%s: %+v", q.Name, q)
		}
	}
	return report
}
