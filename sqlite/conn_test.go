package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
)

func openMigrated(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "sandtrail.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if _, err := s.Migrate(t.Context(), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEveryConnectionIsSetUp takes all connections of both pools at once.
func TestEveryConnectionIsSetUp(t *testing.T) {
	s := openMigrated(t)
	common := map[string]string{
		"foreign_keys": "1", "recursive_triggers": "1", "busy_timeout": "5", "temp_store": "2",
		"journal_mode": "wal", "auto_vacuum": "2", "cache_size": "-16384",
	}
	for name, pool := range map[string]struct {
		*pool
		size int
		own  map[string]string
	}{
		"writer":  {s.writer, 1, map[string]string{"synchronous": "2", "query_only": "0"}},
		"readers": {s.readers, s.options.Readers, map[string]string{"query_only": "1"}},
	} {
		for i := range pool.size {
			conn, err := pool.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close() // held until the end, so that each is another
			for _, want := range []map[string]string{common, pool.own} {
				got := map[string]string{}
				for pragma := range want {
					var value string
					if err := conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&value); err != nil {
						t.Fatal(err)
					}
					got[pragma] = value
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s, connection %d (-want +got)\n%s", name, i, diff)
				}
			}
		}
	}
}

// lock takes the write lock from outside and returns what releases it.
func lock(t *testing.T, s *Store) (release func()) {
	t.Helper()
	other := newPool(s.connector(writing), 1)
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(tx.Rollback(), other.close()); err != nil {
			t.Error(err)
		}
	}
}

func TestWriteWaitsForTheLock(t *testing.T) {
	s := openMigrated(t)
	release := lock(t, s)
	done := make(chan error)
	go func() { done <- s.PutUser(t.Context(), sandtrail.User{ID: "u", Email: "u@example.com"}) }()
	release()
	if err := <-done; err != nil {
		t.Errorf("a write that had to wait: %v", err)
	}
}

func TestWriteGivesUpAtTheDeadline(t *testing.T) {
	s := openMigrated(t)
	defer lock(t, s)()
	user := sandtrail.User{ID: "u", Email: "u@example.com"}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.PutUser(ctx, user); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline: %v", err)
	}
	s.options.BusyTimeout = 20 * time.Millisecond
	err := s.PutUser(t.Context(), user)
	if !errors.Is(err, sandtrail.CodeUnavailable) || !strings.Contains(err.Error(), s.path) {
		t.Errorf("without a deadline: %v", err)
	}
}

func TestFullDisk(t *testing.T) {
	s := openMigrated(t)
	limit := func(pages int64) {
		t.Helper()
		if _, err := s.writer.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	put := func() error {
		return s.write(t.Context(), "fill", func(tx *sql.Tx) error {
			for i := range 50 {
				if _, err := tx.ExecContext(t.Context(), "INSERT INTO strategies VALUES (?, ?)", i, strings.Repeat("x", 4096)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	limit(20)
	if err := put(); !errors.Is(err, sandtrail.CodeUnavailable) || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("on a full disk: %v", err)
	}
	if page, err := s.Strategies(t.Context(), sandtrail.OwnerQuery{}); err != nil || len(page.Items) != 0 {
		t.Errorf("%d strategies were half-written, %v", len(page.Items), err)
	}
	limit(1 << 30)
	if err := put(); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}
