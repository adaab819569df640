package sqlite_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

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
