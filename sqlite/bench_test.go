package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/sample"
	"github.com/sandtrail/sandtrail/sqlite"
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
			e.TimedOut, e.ErrorCount, e.WarningCount, sandtrail.JoinClasses(e.Classes), string(e.Metadata),
			e.CreatedAt.Format("2006-01-02 15:04:05.000")); err != nil {
			return err
		}
	}
	return tx.Commit()
}
