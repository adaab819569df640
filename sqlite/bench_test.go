package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/sample"
	"github.com/sandtrail/sandtrail/sqlite"
	"github.com/sandtrail/sandtrail/storetest"
)

const benchBatch = 1000

// benchStore opens a store with the owners of a sample, and makes one batch
// after the other, each of an hour.
func benchStore(b *testing.B) (s *sqlite.Store, path string, next func() []sandtrail.Admitted) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "bench.db")
	s = openAt(b, path)
	if _, err := s.Migrate(b.Context(), noon); err != nil {
		b.Fatal(err)
	}
	made := sample.New(sample.Options{})
	for _, u := range made.Users() {
		if err := s.PutUser(b.Context(), u); err != nil {
			b.Fatal(err)
		}
	}
	for _, strategy := range made.Strategies() {
		if err := s.PutStrategy(b.Context(), strategy); err != nil {
			b.Fatal(err)
		}
	}
	since := noon.Add(-80 * 24 * time.Hour)
	return s, path, func() (made []sandtrail.Admitted) {
		hour := sample.New(sample.Options{Seed: uint64(since.Unix()), Executions: benchBatch, Since: since, Until: since.Add(time.Hour)})
		since = since.Add(time.Hour)
		for batch, err := range hour.Admit(benchBatch) {
			if err != nil {
				b.Fatal(err)
			}
			made = batch
		}
		return made
	}
}

func reportRows(b *testing.B) {
	b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkAppend stores batches of 1,000 through the store.
func BenchmarkAppend(b *testing.B) {
	s, _, next := benchStore(b)
	for b.ResetTimer(); b.Loop(); {
		b.StopTimer()
		batch := next()
		b.StartTimer()
		if _, err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	reportRows(b)
}

// BenchmarkSealing stores the same 40,000 executions in two stores, in turns:
// in one whose upkeep seals them, and in one whose upkeep does not. It reports
// the median of how much slower the first one is, in batches of 1,000 that come
// without a pause, and until the upkeep is done.
func BenchmarkSealing(b *testing.B) {
	const batches, upkeepEvery = 40, 20
	sealing, _, next := benchStore(b)
	not, _, _ := benchStore(b)
	var appends, whole []float64
	var rates [2]float64
	for b.Loop() {
		var stretch [][]sandtrail.Admitted
		for range batches {
			stretch = append(stretch, next())
		}
		var times [2][2]time.Duration
		sides := []func(){
			func() { times[0] = upkept(b, sealing, sealing.Maintain, stretch, upkeepEvery) },
			func() { times[1] = upkept(b, not, not.MaintainUnsealed, stretch, upkeepEvery) },
		}
		if len(whole)%2 == 1 {
			slices.Reverse(sides)
		}
		for _, side := range sides {
			side()
		}
		appends = append(appends, slower(times[0][0], times[1][0]))
		whole = append(whole, slower(times[0][1], times[1][1]))
		for i := range rates {
			rates[i] += batches * benchBatch / times[i][0].Seconds()
		}
	}
	slices.Sort(appends)
	slices.Sort(whole)
	n := len(whole)
	b.ReportMetric(rates[0]/float64(n), "sealed/s")
	b.ReportMetric(rates[1]/float64(n), "not/s")
	b.ReportMetric(appends[n/2], "%slower")
	b.ReportMetric(whole[n/2], "%slower-until-done")
	b.ReportMetric(0, "ns/op")
}

// slower is how many percent of a rate are lost.
func slower(took, than time.Duration) float64 { return 100 * (1 - than.Seconds()/took.Seconds()) }

// upkept appends batches while there is upkeep beside them, as in a server, and
// once more at the end. It returns how long the appends took, and all of it.
func upkept(b *testing.B, s *sqlite.Store, upkeep func(context.Context, time.Time) error, stretch [][]sandtrail.Admitted, every int) (took [2]time.Duration) {
	b.Helper()
	start := time.Now()
	due, done := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		var err error
		for range due {
			err = errors.Join(err, upkeep(b.Context(), noon))
		}
		done <- errors.Join(err, upkeep(b.Context(), noon))
	}()
	var err error
	for i, batch := range stretch {
		if _, err = s.Append(b.Context(), batch); err != nil {
			break
		}
		if i%every == every-1 {
			select {
			case due <- struct{}{}:
			default: // it is still at it
			}
		}
	}
	took[0] = time.Since(start)
	close(due)
	if err := errors.Join(err, <-done); err != nil {
		b.Fatal(err)
	}
	took[1] = time.Since(start)
	return took
}

// BenchmarkBareInsert stores the same batches with a prepared statement in a
// loop, into the same table with its indexes and foreign keys, without
// Sandtrail and without its triggers.
func BenchmarkBareInsert(b *testing.B) {
	_, path, next := benchStore(b)
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(1)&_pragma=synchronous(2)&_pragma=cache_size(-16384)&_txlock=immediate")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	dropTriggers(b, db)
	insert, err := db.Prepare(`INSERT INTO sandbox_execution_logs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		b.Fatal(err)
	}
	defer insert.Close()
	for b.ResetTimer(); b.Loop(); {
		b.StopTimer()
		batch := next()
		b.StartTimer()
		if err := bareInsert(db, insert, batch); err != nil {
			b.Fatal(err)
		}
	}
	reportRows(b)
}

func dropTriggers(b *testing.B, db *sql.DB) {
	b.Helper()
	rows, err := db.Query("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
	if err != nil {
		b.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			b.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Close(); err != nil {
		b.Fatal(err)
	}
	for _, name := range names {
		if _, err := db.Exec("DROP TRIGGER " + name); err != nil {
			b.Fatal(err)
		}
	}
}

func bareInsert(db *sql.DB, insert *sql.Stmt, batch []sandtrail.Admitted) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	stmt := tx.Stmt(insert)
	for _, a := range batch {
		e := a.Execution
		if _, err := stmt.Exec(e.ID.String(), e.UserID, e.StrategyID, string(e.Type), e.Success, e.ExecutionTime, e.MemoryUsed, e.CPUUsage,
			e.TimedOut, e.ErrorCount, e.WarningCount, database.JoinClasses(e.Classes), string(e.Metadata),
			e.CreatedAt.Format("2006-01-02 15:04:05.000")); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// BenchmarkQueries asks a store of a million executions each question, and
// beside it the same in plain prepared SQL on the table.
func BenchmarkQueries(b *testing.B) {
	s, path, next := benchStore(b)
	for range 1000 {
		if _, err := s.Append(b.Context(), next()); err != nil {
			b.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=cache_size(-16384)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	now := noon.Add(-80*24*time.Hour + 1000*time.Hour)
	ago := func(hours int) string {
		return now.Add(-time.Duration(hours) * time.Hour).Format("2006-01-02 15:04:05.000")
	}
	const u, st = "u-0001", "s-0001"
	trend := func(days int) func() error {
		since, until := sandtrail.LastDays(now, days)
		return func() error {
			_, err := s.Trends(b.Context(), sandtrail.TrendQuery{Since: since, Until: until})
			return err
		}
	}
	page := func(f sandtrail.Filter) func() error {
		return func() error {
			_, err := s.Executions(b.Context(), sandtrail.Query{Filter: f}, now)
			return err
		}
	}
	const trendSQL = `SELECT DATE(created_at) AS date, COUNT(*), SUM(success), AVG(execution_time), AVG(memory_used)
		FROM sandbox_execution_logs WHERE created_at >= ? GROUP BY date ORDER BY date DESC`
	const pageSQL = `SELECT e.*, u.email, u.name, s.name FROM sandbox_execution_logs e JOIN users u ON u.id = e.user_id JOIN strategies s ON s.id = e.strategy_id`
	const newestSQL = ` ORDER BY e.created_at DESC, e.id DESC LIMIT 50`
	for _, q := range []struct {
		name string
		ask  func() error
		sql  string
		args []any
	}{
		{"trends 7 days", trend(7), trendSQL, []any{ago(7 * 24)}},
		{"trends 30 days", trend(30), trendSQL, []any{ago(30 * 24)}},
		{"trends 365 days", trend(365), trendSQL, []any{ago(365 * 24)}},
		{
			"user statistics", func() error { _, err := s.UserStats(b.Context(), u); return err },
			"SELECT COUNT(*), SUM(success), AVG(execution_time) FROM sandbox_execution_logs WHERE user_id = ?",
			[]any{u},
		},
		{
			"strategy statistics", func() error { _, err := s.StrategyStats(b.Context(), st); return err },
			"SELECT COUNT(*), AVG(execution_time), AVG(memory_used), AVG(cpu_usage), SUM(error_count), SUM(warning_count) FROM sandbox_execution_logs WHERE strategy_id = ?",
			[]any{st},
		},
		{
			"strategy health", func() error { _, err := s.StrategyHealth(b.Context(), st, 100); return err },
			"SELECT success, error_count, warning_count, created_at FROM sandbox_execution_logs WHERE strategy_id = ? ORDER BY created_at DESC, id DESC LIMIT 100",
			[]any{st},
		},
		{
			"alert window", func() error {
				_, err := s.WindowStats(b.Context(), sandtrail.Window{Since: now.Add(-time.Hour), Until: now})
				return err
			},
			"SELECT COUNT(*), SUM(success) FROM sandbox_execution_logs WHERE created_at >= ?",
			[]any{ago(1)},
		},
		{"recent of a user", page(sandtrail.Filter{UserID: u}), pageSQL + " WHERE e.user_id = ?" + newestSQL, []any{u}},
		{"recent failures", page(sandtrail.Filter{Success: new(false)}), pageSQL + " WHERE e.success = 0" + newestSQL, nil},
	} {
		b.Run(q.name+"/store", func(b *testing.B) {
			for b.Loop() {
				if err := q.ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(q.name+"/plain SQL", func(b *testing.B) {
			stmt, err := db.Prepare(q.sql)
			if err != nil {
				b.Fatal(err)
			}
			defer stmt.Close()
			for b.Loop() {
				if err := drain(stmt, q.args); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// drain reads every row and column of a statement.
func drain(stmt *sql.Stmt, args []any) error {
	rows, err := stmt.Query(args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	into := make([]any, len(columns))
	for i := range into {
		into[i] = new(sql.RawBytes)
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
	}
	return rows.Err()
}

// BenchmarkSearch searches for texts among as many executions as
// storetest.SearchSizeEnv says, and tells what the index takes of the file.
func BenchmarkSearch(b *testing.B) {
	path := filepath.Join(b.TempDir(), "bench.db")
	s := openAt(b, path)
	if _, err := s.Migrate(b.Context(), noon); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	storetest.BenchmarkSearch(b, s, func() bool {
		var due int
		if err := db.QueryRow("SELECT count(*) FROM sandtrail_text_due").Scan(&due); err != nil {
			b.Fatal(err)
		}
		return due == 0
	})
	var index, texts, file int64
	if err := db.QueryRow(`SELECT (SELECT sum(length(block)) FROM sandtrail_text_data), (SELECT sum(length(metadata)) FROM sandbox_execution_logs),
		(SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)`).Scan(&index, &texts, &file); err != nil {
		b.Fatal(err)
	}
	b.Logf("the index has %d MB, the texts %d MB, the file %d MB", index>>20, texts>>20, file>>20)
}
