package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail/sqlite"
	"github.com/sandtrail/sandtrail/storetest"
)

func TestService(t *testing.T) {
	t.Run("keyring", func(t *testing.T) { storetest.Keyring(t, openService(t)) })
	t.Run("access log", func(t *testing.T) { storetest.AccessLog(t, openService(t)) })
	t.Run("follower", func(t *testing.T) { storetest.Follower(t, openService(t)) })
	t.Run("surveyor", func(t *testing.T) { storetest.Surveyor(t, openService(t), false) })
	t.Run("agenda", func(t *testing.T) { storetest.Leases(t, openService(t)) })
	t.Run("alerts", func(t *testing.T) { storetest.AlertLog(t, openService(t)) })
	t.Run("silences", func(t *testing.T) { storetest.Silences(t, openService(t)) })
	t.Run("witness memory", func(t *testing.T) { storetest.WitnessMemory(t, openService(t)) })
}

func TestKeysGone(t *testing.T) {
	s, other := withOther(t)
	storetest.KeysGone(t, s.(*sqlite.Store), `INSERT INTO sandtrail_keys (id, name, role, hash, created_at)
		VALUES ('0192d3a4-7b1c-7000-8000-000000000000', 'k', 'admin', zeroblob(32), '2026-11-24 12:00:00.000')`,
		[]string{"DELETE FROM sandtrail_keys", "DELETE FROM sandtrail_keys WHERE role = 'admin'"},
		func(statement string) error { return other(statement) })
}

func openService(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "service.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Migrate(t.Context(), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	return s
}
