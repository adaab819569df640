package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/durable"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/ledger"
	"github.com/sandtrail/sandtrail/postgres"
	"github.com/sandtrail/sandtrail/sqlite"
)

// store is a database with a ledger.
type store interface {
	database.Database
	database.ArchivedCleaner
	ledger.Log
}

// readThenWritten is a store into which somebody writes once it is read to the
// end.
type readThenWritten struct {
	store
	late func()
}

func (s readThenWritten) Executions(ctx context.Context, q sandtrail.Query, now time.Time) (sandtrail.Page, error) {
	page, err := s.store.Executions(ctx, q, now)
	if err == nil && page.NextCursor == "" {
		s.late()
	}
	return page, err
}

// TestRetentionArchivesWhatItRemoves writes to an old week after it was
// archived and before it is removed.
func TestRetentionArchivesWhatItRemoves(t *testing.T) {
	for name, open := range map[string]func() (store, error){
		"SQLite": func() (store, error) {
			return sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
		},
		"PostgreSQL": func() (store, error) { return postgres.Open(t.Context(), pgtest.New(t), postgres.Options{}) },
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

func retentionArchives(t *testing.T, store store) {
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
	s := Archiver{
		Store: directory(t.TempDir()), Ledger: ledger.Service{Log: store, Keys: keys}, Now: func() time.Time { return now },
		Executions: readThenWritten{store, func() { late() }},
	}
	for _, removed := range []int64{3, 2, 0} {
		n, err := s.Cleanup(t.Context(), store, sandtrail.Before(now.AddDate(0, -2, 0)))
		if err != nil || n != removed {
			t.Errorf("removed %d, %v; want %d", n, err, removed)
		}
		late = func() {}
	}
	page, err := List(t.Context(), s.Store, sandtrail.Query{Limit: 10}, now)
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

// meddled is a store of files in which something happens before a file is put, and that
// fails then if it says so.
type meddled struct {
	directory
	before func(name string) error
}

func (d meddled) put(ctx context.Context, name string, temp *durable.File) error {
	if err := d.before(name); err != nil {
		return err
	}
	return d.directory.put(ctx, name, temp)
}

func (d meddled) create(ctx context.Context, name string, content []byte) error {
	if err := d.before(name); err != nil {
		return err
	}
	return d.directory.create(ctx, name, content)
}

// archiverIn is an archiver of a store with three executions of two weeks, which
// lie before the time that is returned.
func archiverIn(t *testing.T, dir string) (Archiver, time.Time) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var batch []sandtrail.Admitted
	for _, at := range []time.Time{now.AddDate(0, -2, 0), now.AddDate(0, -3, 0), now.AddDate(0, -3, 0).Add(time.Second)} {
		batch = append(batch, sandtrail.Admitted{Execution: sandtrail.Execution{
			ID: sandtrail.NewID(at), UserID: "ada", StrategyID: "s", Type: sandtrail.Terminal, CreatedAt: at,
		}})
	}
	_, err = store.Migrate(t.Context(), now)
	err = errors.Join(err, store.PutUser(t.Context(), sandtrail.User{ID: "ada", Email: "ada@example.com"}),
		store.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"}))
	if err == nil {
		_, err = store.Append(t.Context(), batch)
	}
	keys, keyErr := ledger.EnsureKeys(filepath.Join(t.TempDir(), "key"), "example.com/audit")
	if err = errors.Join(err, keyErr); err != nil {
		t.Fatal(err)
	}
	return Archiver{
		Store: directory(dir), Executions: store, Now: func() time.Time { return now },
		Ledger: ledger.Service{Log: store, Keys: keys},
	}, now
}

// checkArchive finds every file as its manifest says, and nothing else.
func checkArchive(t *testing.T, a Archiver, dir string, want int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	var n int64
	for _, name := range files {
		signed, err := os.ReadFile(name + manifestSuffix)
		if err != nil {
			t.Fatal(err)
		}
		m, err := a.Ledger.Keys.Verifiers.OpenManifest(signed)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(name)
		if err != nil || sha256.Sum256(content) != m.SHA256 {
			t.Errorf("%s is not what its manifest says (%v)", filepath.Base(name), err)
		}
		n += m.Records
	}
	if all, err := os.ReadDir(dir); n != want || len(all) != 2*len(files) || err != nil {
		t.Errorf("%d executions are archived, want %d; %d files hold them, of %v (%v)", n, want, len(files), all, err)
	}
}

// Of two archivers at once one fails and says so. What the other wrote stays good.
func TestTwoArchiversAtOnce(t *testing.T) {
	dir := t.TempDir()
	other, before := archiverIn(t, dir)
	one, met := other, false
	one.Store = meddled{directory(dir), func(string) error {
		if met {
			return nil
		}
		met = true
		later := other // signs another checkpoint, at another time
		later.Now = func() time.Time { return before.Add(time.Hour) }
		_, _, err := later.Archive(t.Context(), before)
		return err
	}}
	if _, _, err := one.Archive(t.Context(), before); !errors.Is(err, sandtrail.CodeConflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	checkArchive(t, other, dir, 3)
	if n, _, err := one.Archive(t.Context(), before); n != 0 || err != nil {
		t.Errorf("again: %d, %v; want nothing to do", n, err)
	}
	checkArchive(t, other, dir, 3)
}

// An archiver that is killed between a file and its manifest leaves what the next
// one completes; a file that nobody signed for is not signed later.
func TestArchiverKilledBeforeTheManifest(t *testing.T) {
	dir := t.TempDir()
	next, before := archiverIn(t, dir)
	killed, crash := next, errors.New("killed")
	killed.Store = meddled{directory(dir), func(name string) error {
		if strings.HasSuffix(name, manifestSuffix) {
			return crash
		}
		return nil
	}}
	if _, _, err := killed.Archive(t.Context(), before); !errors.Is(err, crash) {
		t.Fatalf("got %v", err)
	}
	if n, _, err := next.Archive(t.Context(), before); n == 0 || err != nil {
		t.Errorf("%d, %v; want the rest archived", n, err)
	}
	checkArchive(t, next, dir, 3)

	manifests, err := filepath.Glob(filepath.Join(dir, "*.manifest"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(manifests[0]); err != nil {
		t.Fatal(err)
	}
	if _, _, err := next.Archive(t.Context(), before); !errors.Is(err, sandtrail.CodeConflict) {
		t.Errorf("a file without a manifest: %v, want a conflict", err)
	}
}
