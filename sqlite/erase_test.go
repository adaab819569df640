package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/sqlite"
)

// TestErasedMeansErased deletes a user, and looks for anything of theirs in the
// files that a clean stop leaves.
func TestErasedMeansErased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sandtrail.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err == nil {
		_, err = s.Migrate(t.Context(), noon)
	}
	if err != nil {
		t.Fatal(err)
	}
	const secret = "marker-of-ada"
	for _, id := range []string{secret, "other"} {
		if err := s.PutUser(t.Context(), sandtrail.User{ID: id, Email: id + "@example.com"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"}); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		var batch []sandtrail.Admitted
		for i := range 500 {
			e := sandtrail.Execution{
				ID: sandtrail.NewID(noon), UserID: "other", StrategyID: "s", Type: sandtrail.Validation, CreatedAt: noon, ExecutionTime: i,
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
		if err := s.Maintain(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.DeleteUser(t.Context(), secret); err != nil || n != 1000 {
		t.Fatalf("deleted %d, %v", n, err)
	}
	for range 2 {
		if err := s.Maintain(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	holdsNothingOf(t, path, secret)
}

func holdsNothingOf(t *testing.T, path, secret string) {
	t.Helper()
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(content, []byte(secret)); n > 0 {
			t.Errorf("%s holds the text of deleted executions %d times", filepath.Base(file), n)
		}
	}
}

// TestErasedNames renames a user, has the names entered into the ledger, and
// deletes the user. What opens the leaf is erased when the owner is gone. Rows
// that grew by the rename need the VACUUM that docs/integrity.md names.
func TestErasedNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sandtrail.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err == nil {
		_, err = s.Migrate(t.Context(), noon)
	}
	if err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	do := func(statement string) {
		t.Helper()
		if _, err := other.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	openings := func() (n int) {
		t.Helper()
		if err := other.QueryRowContext(t.Context(), "SELECT count(opening) FROM sandtrail_ledger_renames").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const secret = "marker-of-ada"
	do("INSERT INTO users (id, email) VALUES ('" + secret + "', 'ada@example.com')")
	do("INSERT INTO strategies (id, name) VALUES ('s', 'S')")
	do("INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time) VALUES ('" + secret + "', 's', 'TERMINAL', 1, 1)")
	do("UPDATE users SET id = 'renamed-" + secret + "'")
	maintain := func(later time.Duration) {
		t.Helper()
		if err := s.Maintain(t.Context(), noon.Add(later)); err != nil {
			t.Fatal(err)
		}
	}
	maintain(0)
	if n := openings(); n != 1 {
		t.Fatalf("%d renames can be opened before the user is deleted, want 1", n)
	}
	if n, err := s.DeleteUser(t.Context(), "renamed-"+secret); err != nil || n != 1 {
		t.Fatalf("deleted %d, %v", n, err)
	}
	maintain(0)
	maintain(2 * time.Hour)
	if n := openings(); n != 0 {
		t.Errorf("%d renames of a user who is gone can still be opened", n)
	}
	do("VACUUM")
	if err := errors.Join(other.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	holdsNothingOf(t, path, secret)
}
