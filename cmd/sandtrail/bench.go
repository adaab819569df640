package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/bench"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/table"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/runner"
	"github.com/sandtrail/sandtrail/sqlite"
)

type benchCmd struct {
	Executions int    `default:"100000" help:"How many executions to store."`
	Users      int    `default:"1000" help:"By how many users."`
	Strategies int    `default:"500" help:"Of how many strategies."`
	Days       int    `default:"30" help:"Over how many days until now."`
	Batch      int    `default:"1000" help:"Executions in one transaction."`
	Rounds     int    `default:"200" help:"How often to ask each question; slow ones less often."`
	Seed       uint64 `placeholder:"N" help:"Another seed makes other executions."`

	NoPlainTable bool `help:"Fill no plain table beside Sandtrail's, and put plain SQL to that: for sizes that do not fit twice."`
	NoFill       bool `help:"Store nothing: ask a database in use, as --no-plain-table does."`
	output
}

// Examples shows how to measure both databases.
func (benchCmd) Examples() []string {
	return []string{
		"sandtrail bench",
		"sandtrail bench --db postgres://localhost/empty --executions 1000000 -o json",
		"sandtrail bench --db postgres://localhost/app --no-fill",
	}
}

// Run measures a new SQLite file, removed afterwards, or the empty database
// that --db names, which keeps the executions.
func (c *benchCmd) Run(ctx context.Context, d *deps) (err error) {
	if err := c.check(d); err != nil {
		return err
	}
	if _, server, err := d.target(); err != nil {
		return err
	} else if server != "" {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "bench measures a database, not a server: give --db in place of --server or SANDTRAIL_SERVER")
	}
	if d.DB == "" {
		dir, err := os.MkdirTemp("", "sandtrail-bench-")
		if err != nil {
			return fmt.Errorf("make a directory for the database: %w", err)
		}
		defer os.RemoveAll(dir)
		d.DB = "sqlite:" + filepath.Join(dir, "bench.db")
	}
	database, err := d.database(ctx, postgres.Options{})
	if err != nil {
		return err
	}
	if !c.NoFill {
		if _, err := database.Migrate(ctx, d.now()); err != nil {
			return err
		}
		if err := mustBeEmpty(ctx, database); err != nil {
			return err
		}
	}
	plain, err := openPlain(ctx, d.DB, database, !c.NoPlainTable && !c.NoFill)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.Close(context.WithoutCancel(ctx))) }()

	report, err := bench.Run(ctx, database, plain, d.now(), bench.Options{
		Executions: c.Executions, Users: c.Users, Strategies: c.Strategies,
		Days: c.Days, Batch: c.Batch, Rounds: c.Rounds, Seed: c.Seed, NoFill: c.NoFill,
	}, d.benchProgress())
	if err != nil {
		return err
	}
	return c.print(d, report)
}

// check refuses numbers and flags that make no sense.
func (c *benchCmd) check(d *deps) error {
	if c.NoFill && d.DB == "" {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--no-fill: name the database to ask with --db")
	}
	for flag, n := range map[string]int{
		"--executions": c.Executions, "--users": c.Users, "--strategies": c.Strategies,
		"--days": c.Days, "--batch": c.Batch, "--rounds": c.Rounds,
	} {
		if n < 1 {
			return sandtrail.Errorf(sandtrail.CodeInvalid, "%s: must be at least 1, got %d", flag, n)
		}
	}
	if c.Batch > sandtrail.MaxBatch {
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--batch: must be at most %d, got %d", sandtrail.MaxBatch, c.Batch)
	}
	return nil
}

func mustBeEmpty(ctx context.Context, database database.Database) error {
	users, err := database.Users(ctx, sandtrail.OwnerQuery{Limit: 1})
	if err != nil {
		return err
	}
	strategies, err := database.Strategies(ctx, sandtrail.OwnerQuery{Limit: 1})
	if err != nil {
		return err
	}
	if len(users.Items)+len(strategies.Items) > 0 {
		return sandtrail.Errorf(sandtrail.CodeConflict, "--db: the bench fills an empty database, and this one is in use; name a new one, or ask this one with --no-fill")
	}
	return nil
}

func openPlain(ctx context.Context, target string, database database.Database, withTable bool) (bench.Plain, error) {
	if _, embedded := database.(*sqlite.Store); embedded {
		path, err := runner.SQLitePath(target)
		if err != nil {
			return nil, err
		}
		return bench.OpenSQLite(ctx, path, withTable)
	}
	return bench.OpenPostgres(ctx, target, withTable)
}

// benchProgress draws one bar for each step.
func (d *deps) benchProgress() bench.Progress {
	var bar *progress
	step := ""
	return func(name string, done, total int) {
		if name != step {
			bar.finish()
			bar, step = d.newProgress(name, int64(total)), name
		}
		if bar != nil {
			bar.add(int64(done) - bar.done)
		}
		if done == total {
			bar.finish()
		}
	}
}

func (c *benchCmd) print(d *deps, report bench.Report) error {
	if c.Output == "table" {
		if err := d.say("%s\n", headline(report)); err != nil {
			return err
		}
	}
	err := print(d, c.Output, finding[bench.Question]{whole: report, rows: report.Questions, columns: questionColumns()})
	if err != nil || c.Output != "table" {
		return err
	}
	if err := d.say(""); err != nil {
		return err
	}
	return print(d, c.Output, finding[bench.Size]{rows: report.Sizes, columns: sizeColumns(report.Executions)})
}

// headline says in a line what was stored, and how fast.
func headline(report bench.Report) string {
	stored := human.Count(int64(report.Executions)) + " executions"
	if report.Ingest == nil {
		return stored + "; plain SQL is put to the same table."
	}
	stored += fmt.Sprintf(" over %s, %s in a transaction: %s a second with roll-ups kept", human.Plural(int64(report.Days), "day"),
		human.Count(int64(report.Batch)), human.Count(int64(report.Ingest.Sandtrail)))
	if report.Ingest.Plain == nil {
		return stored + "; plain SQL is put to the same table."
	}
	return stored + fmt.Sprintf(", %s in plain SQL (%s).", human.Count(int64(*report.Ingest.Plain)),
		human.Percent(100*report.Ingest.Sandtrail / *report.Ingest.Plain))
}

func questionColumns() []table.Column[bench.Question] {
	type row = bench.Question
	fine := func(ms float64) string { return fmt.Sprintf("%.2f ms", ms) }
	timing := func(name, title string, get func(row) float64) table.Column[row] {
		return measure(name, title, fine, func(q row) *float64 { ms := get(q); return &ms })
	}
	return []table.Column[row]{
		label("question", "QUESTION", func(q row) string { return q.Name }),
		count("rounds", "ROUNDS", func(q row) int64 { return int64(q.Sandtrail.Rounds) }),
		timing("median", "MEDIAN", func(q row) float64 { return q.Sandtrail.Median }),
		timing("p99", "p99", func(q row) float64 { return q.Sandtrail.P99 }),
		timing("first", "FIRST", func(q row) float64 { return q.Sandtrail.First }),
		count("plainRounds", "PLAIN ROUNDS", func(q row) int64 { return int64(q.Plain.Rounds) }),
		timing("plainMedian", "PLAIN MEDIAN", func(q row) float64 { return q.Plain.Median }),
		timing("plainP99", "PLAIN p99", func(q row) float64 { return q.Plain.P99 }),
		timing("plainFirst", "PLAIN FIRST", func(q row) float64 { return q.Plain.First }),
	}
}

func sizeColumns(executions int) []table.Column[bench.Size] {
	type row = bench.Size
	return []table.Column[row]{
		label("part", "PART", func(s row) string { return s.Part }),
		count("bytes", "BYTES", func(s row) int64 { return s.Bytes }),
		measure("perExecution", "PER EXECUTION", human.Number, func(s row) *float64 {
			return database.Mean(float64(s.Bytes), int64(executions))
		}),
	}
}
