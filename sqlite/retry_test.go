package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/sqlite"
	"github.com/sandtrail/sandtrail/storetest"
)

// Another process may have the file whenever a transaction ends: it is repeated
// then, and does the same as if it had been the first.
func TestEverythingMayBeRepeated(t *testing.T) {
	busy := errBusy(t)
	open := func(t *testing.T) database.Database {
		s, err := sqlite.OpenBusy(t.Context(), filepath.Join(t.TempDir(), "sandtrail.db"), busy, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		if _, err := s.Migrate(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
		return s
	}
	storetest.RunRepeated(t, open)
	storetest.CleanupArchived(t, open)
	storetest.DeletionIsReported(t, open)
	t.Run("keyring", func(t *testing.T) { storetest.Keyring(t, open(t).(auth.Keyring)) })
	t.Run("access log", func(t *testing.T) { storetest.AccessLog(t, open(t).(auth.AccessLog)) })
	t.Run("follower", func(t *testing.T) { storetest.Follower(t, open(t).(*sqlite.Store)) })
	t.Run("surveyor", func(t *testing.T) { storetest.Surveyor(t, open(t).(*sqlite.Store), false) })
	t.Run("agenda", func(t *testing.T) { storetest.Leases(t, open(t).(*sqlite.Store)) })
	t.Run("alerts", func(t *testing.T) { storetest.AlertLog(t, open(t).(*sqlite.Store)) })
	t.Run("silences", func(t *testing.T) { storetest.Silences(t, open(t).(*sqlite.Store)) })
}

// A follower that has read far enough is told of nothing twice and of everything
// once, also when the changes are pruned while it reads.
func TestFollowReadsOneSnapshot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sandtrail.db")
	other := openAt(t, path)
	if _, err := other.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	exec := func(statement string) {
		t.Helper()
		if _, err := raw.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("INSERT INTO users (id, email) VALUES ('u', 'u'); INSERT INTO strategies (id, name) VALUES ('s', 's')")
	place, err := other.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		exec(`INSERT INTO sandbox_execution_logs (id, user_id, strategy_id, execution_type, success, execution_time)
			VALUES ('` + sandtrail.NewID(noon).String() + `', 'u', 's', 'TERMINAL', 1, 1)`)
	}
	cut := 0
	s, err := sqlite.OpenBusy(t.Context(), path, nil, func(query string) {
		if strings.Contains(query, "sandtrail_history AS c") {
			cut++
			exec("DELETE FROM sandtrail_changes WHERE seq <= 3; UPDATE sandtrail_cursors SET seq = 3 WHERE name = 'followers'")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if found, err := s.Follow(t.Context(), place, 10); err != nil || len(found) != 5 || cut != 1 {
		t.Errorf("%d followed, %v, the changes were pruned %d times; want 5 or an error", len(found), err, cut)
	}
	if _, err := s.Follow(t.Context(), place, 10); sandtrail.CodeOf(err) != sandtrail.CodeInvalid {
		t.Errorf("behind the cut: %v, want CodeInvalid", err)
	}
}

// errBusy is SQLite's error of one who finds a file locked.
func errBusy(t *testing.T) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "locked.db")
	holder, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	tx, err := holder.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	other, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = other.BeginTx(t.Context(), nil)
	if err == nil {
		t.Fatal("the file was not locked")
	}
	return err
}
