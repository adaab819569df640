package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/sqlite"
	"github.com/sandtrail/sandtrail/storetest"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// open opens a fresh, migrated store that is closed when the test ends.
func open(t testing.TB) *sqlite.Store {
	t.Helper()
	s := openAt(t, filepath.Join(t.TempDir(), "sandtrail.db"))
	if _, err := s.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	return s
}

func openAt(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) database.Database { return open(t) })
}

func TestDeletionIsReported(t *testing.T) {
	storetest.DeletionIsReported(t, func(t *testing.T) database.Database { return open(t) })
}

func TestCleanupArchived(t *testing.T) {
	storetest.CleanupArchived(t, func(t *testing.T) database.Database { return open(t) })
}
