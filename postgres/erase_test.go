package postgres_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/postgres"
)

// TestErasedMeansErased follows the procedure of docs/integrity.md and searches
// the database's files for what was deleted; its write-ahead log is not searched.
func TestErasedMeansErased(t *testing.T) {
	own := pgtest.NewOwn(t)
	s := openAt(t, own.URL(), postgres.Options{})
	migrate(t, s)
	const secret = "marker-of-ada"
	for _, id := range []string{secret, "other"} {
		if err := s.PutUser(t.Context(), sandtrail.User{ID: id, Email: id + "@example.com"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"}); err != nil {
		t.Fatal(err)
	}
	var batch []sandtrail.Admitted
	for i := range 500 {
		e := sandtrail.Execution{
			ID: sandtrail.NewID(now), UserID: "other", StrategyID: "s", Type: sandtrail.Validation, CreatedAt: now, ExecutionTime: i,
		}
		if i%2 == 0 {
			e.UserID, e.Classes = secret, []string{secret}
			e.Metadata = fmt.Appendf(nil, `{"text":"%s %d"}`, secret, i)
		}
		batch = append(batch, sandtrail.Admitted{Execution: e})
	}
	if _, err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := s.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	conn := foreign(t, own.URL())
	defer conn.Close(t.Context())
	exec(t, conn, "CHECKPOINT")
	if n := occurrences(t, conn, secret); n == 0 {
		t.Fatal("the text is not found before it is deleted")
	}
	if n, err := s.DeleteUser(t.Context(), secret); err != nil || n != 250 {
		t.Fatalf("deleted %d, %v", n, err)
	}
	for range 2 {
		if err := s.Maintain(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	tables, err := conn.Query(t.Context(), `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
		WHERE schemaname = 'sandtrail' OR tablename IN ('users', 'sandbox_execution_logs')`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(tables, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		exec(t, conn, "VACUUM (FULL, ANALYZE) "+name)
	}
	exec(t, conn, "CHECKPOINT")
	if n := occurrences(t, conn, secret); n > 0 {
		t.Errorf("the files hold the text of deleted executions %d times", n)
	}
}

// occurrences counts a text in the files of a database.
func occurrences(t *testing.T, conn *pgx.Conn, text string) int {
	t.Helper()
	var dir, oid string
	err := conn.QueryRow(t.Context(), `SELECT current_setting('data_directory'), oid::text FROM pg_database
		WHERE datname = current_database()`).Scan(&dir, &oid)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = filepath.WalkDir(filepath.Join(dir, "base", oid), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		found := bytes.Count(content, []byte(text))
		if found > 0 {
			t.Logf("%s: %d", filepath.Base(path), found)
		}
		n += found
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestErasedNames: the names of a renamed user can be opened until the user is gone.
func TestErasedNames(t *testing.T) {
	s, url := open(t)
	conn := foreign(t, url)
	putOwners(t, s, 1)
	appendAll(t, s, execution(now))
	exec(t, conn, "UPDATE users SET id = 'renamed' WHERE id = 'u0'")
	openings := func(later time.Duration) int {
		t.Helper()
		if err := s.Maintain(t.Context(), now.Add(later)); err != nil {
			t.Fatal(err)
		}
		return value[int](t, conn, "SELECT count(opening) FROM sandtrail.ledger_renames")
	}
	if n := openings(2 * time.Hour); n != 1 {
		t.Fatalf("%d renames can be opened before the user is deleted, want 1", n)
	}
	if n, err := s.DeleteUser(t.Context(), "renamed"); err != nil || n != 1 {
		t.Fatalf("deleted %d, %v", n, err)
	}
	openings(3 * time.Hour)
	if n := openings(5 * time.Hour); n != 0 {
		t.Errorf("%d renames of a user who is gone can still be opened", n)
	}
}
