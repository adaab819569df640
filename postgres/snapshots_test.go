package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/internal/pgtest"
)

// TestDoctorNamesWhoKeepsASnapshot keeps one open, as pg_dump does, while
// executions come and are folded: the pages of the changes are not used again.
func TestDoctorNamesWhoKeepsASnapshot(t *testing.T) {
	if pgtest.OnCitus() {
		t.Skip("Citus has no changes that its clients write")
	}
	s, url := open(t)
	putOwners(t, s, 1)
	other := foreign(t, url)
	exec(t, other, "SET application_name = 'pg_dump of the night'")
	pages := func() (n int) {
		t.Helper()
		if err := foreign(t, url).QueryRow(t.Context(), "SELECT pg_relation_size('sandtrail.changes_pending') / 8192").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	fill := func() int {
		t.Helper()
		for range 3 {
			batch := make([]sandtrail.Admitted, 1000)
			for i := range batch {
				batch[i] = execution(now)
			}
			appendAll(t, s, batch...)
			if err := s.Maintain(t.Context(), now); err != nil {
				t.Fatal(err)
			}
		}
		return pages()
	}
	free := fill()
	tx, err := other.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "SELECT count(*) FROM sandbox_execution_logs"); err != nil {
		t.Fatal(err)
	}
	held := fill()
	t.Logf("3,000 executions, folded in three steps: the changes have %d pages, under a foreign snapshot %d", free, held)
	if held <= free {
		t.Errorf("the changes have %d pages under a foreign snapshot, and %d without: this test proves nothing", held, free)
	}
	check, err := s.SnapshotsOlder(t.Context(), 0)
	if want := fmt.Sprintf("process %d of", other.PgConn().PID()); err != nil || check.OK || !strings.Contains(check.Detail, want) ||
		!strings.Contains(check.Detail, "pg_dump of the night") || check.Fix == "" {
		t.Errorf("%+v, %v; want %q", check, err, want)
	}
	checks, err := s.Doctor(t.Context(), database.Shallow, now)
	if err != nil || findCheck(checks, "snapshots") == nil || !findCheck(checks, "snapshots").OK {
		t.Errorf("doctor complains of a snapshot that is seconds old, or does not look: %+v, %v", checks, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if check, err := s.SnapshotsOlder(t.Context(), 0); err != nil || strings.Contains(check.Detail, "pg_dump") {
		t.Errorf("%+v, %v; want that it is gone", check, err)
	}
}

func findCheck(checks []database.Check, name string) *database.Check {
	for i := range checks {
		if checks[i].Name == name {
			return &checks[i]
		}
	}
	return nil
}
