package main

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/sqlite"
)

// readThenWritten is a store into which somebody writes once it is read to the
// end.
type readThenWritten struct {
	serviceStore
	late func()
}

func (s readThenWritten) Executions(ctx context.Context, q sandtrail.Query, now time.Time) (sandtrail.Page, error) {
	page, err := s.serviceStore.Executions(ctx, q, now)
	if err == nil && page.NextCursor == "" {
		s.late()
	}
	return page, err
}

// TestRetentionArchivesWhatItRemoves writes to an old week after it was
// archived and before it is removed.
func TestRetentionArchivesWhatItRemoves(t *testing.T) {
	for name, open := range map[string]func() (serviceStore, error){
		"SQLite": func() (serviceStore, error) {
			return sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
		},
		"PostgreSQL": func() (serviceStore, error) { return postgres.Open(t.Context(), pgtest.New(t), postgres.Options{}) },
	} {
		t.Run(name, func(t *testing.T) {
			store, err := open()
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			retentionArchives(t, store)
		})
	}
}

func retentionArchives(t *testing.T, store serviceStore) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	old := now.AddDate(0, -3, 0)
	write := func(at ...time.Time) (ids []sandtrail.ID) {
		batch := make([]sandtrail.Admitted, len(at))
		for i, at := range at {
			batch[i].Execution = sandtrail.Execution{ID: sandtrail.NewID(at), UserID: "ada", StrategyID: "s", Type: sandtrail.Terminal, CreatedAt: at}
			ids = append(ids, batch[i].Execution.ID)
		}
		if _, err := store.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if _, err := store.Migrate(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := store.PutUser(t.Context(), sandtrail.User{ID: "ada", Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	if err := store.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"}); err != nil {
		t.Fatal(err)
	}
	keys, err := ledger.EnsureKeys(filepath.Join(t.TempDir(), "key"), "example.com/audit")
	if err != nil {
		t.Fatal(err)
	}
	want := write(old, old.AddDate(0, 0, -7), old.AddDate(0, 0, -7).Add(time.Millisecond), now)[:3]
	late := func() { want = append(want, write(old, old.AddDate(0, 0, -7))...) }
	s := archiving{store, archiver{
		depot: directory(t.TempDir()), service: ledger.Service{Log: store, Keys: keys}, now: func() time.Time { return now },
		store: readThenWritten{store, func() { late() }},
	}}
	for _, removed := range []int64{3, 2, 0} {
		n, err := s.Cleanup(t.Context(), sandtrail.Before(now.AddDate(0, -2, 0)))
		if err != nil || n != removed {
			t.Errorf("removed %d, %v; want %d", n, err, removed)
		}
		late = func() {}
	}
	page, err := listArchived(t.Context(), s.archiver.depot, sandtrail.Query{Limit: 10}, now)
	if err != nil {
		t.Fatal(err)
	}
	archived := map[sandtrail.ID]bool{}
	for _, e := range page.Items {
		archived[e.ID] = true
	}
	for _, id := range want {
		if !archived[id] {
			t.Errorf("%s is not archived", id)
		}
	}
	if len(page.Items) != len(want) {
		t.Errorf("%d are archived, want %d", len(page.Items), len(want))
	}
}

// A clock 90 days ahead removes nothing.
func TestCleanupRefusesAWrongClock(t *testing.T) {
	url := pgtest.New(t)
	store, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Migrate(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	ahead := &deps{now: func() time.Time { return time.Now().Add(90 * 24 * time.Hour) }, opened: store}
	if err := (&cleanupCmd{OlderThan: moment{}}).Run(t.Context(), ahead); !errors.Is(err, sandtrail.ErrConflict) {
		t.Errorf("got %v, want a refusal", err)
	}
}
