package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/sandtrail/sandtrail"
)

func TestExistingMakesNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing.db")
	_, err := Open(t.Context(), path, Options{Existing: true})
	if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, sandtrail.CodeUnavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

// TestAFileThatMayOnlyBeRead answers, and refuses what writes.
func TestAFileThatMayOnlyBeRead(t *testing.T) {
	made := openMigrated(t)
	frozen, err := Open(t.Context(), made.path, Options{Existing: true, frozen: true})
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Close()
	if _, err := frozen.Users(t.Context(), sandtrail.OwnerQuery{}); err != nil {
		t.Error(err)
	}
	if err := frozen.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	err = frozen.PutUser(t.Context(), sandtrail.User{ID: "ada", Email: "ada@example.com"})
	if !errors.Is(err, sandtrail.CodeUnavailable) {
		t.Errorf("a user is put: %v", err)
	}
}
