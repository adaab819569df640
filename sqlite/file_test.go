package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/database"
	"github.com/sandtrail/sandtrail/sqlite"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path string
		want error
	}{
		"no path":           {"", sandtrail.CodeInvalid},
		"memory":            {":memory:", sandtrail.CodeInvalid},
		"a directory":       {dir, sandtrail.CodeUnavailable},
		"no such directory": {filepath.Join(dir, "none", "x.db"), sandtrail.CodeUnavailable},
		"another format":    {text, sandtrail.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sqlite.Open(t.Context(), test.path, sqlite.Options{})
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want code %s", err, sandtrail.CodeOf(test.want))
			}
			if !strings.Contains(err.Error(), test.path) {
				t.Errorf("%v does not name the path", err)
			}
			if test.want == sandtrail.CodeUnavailable {
				wantDiscreet(t, err, test.path)
			}
		})
	}
}

func TestStrangePaths(t *testing.T) {
	for _, name := range []string{"a b.db", "what?.db", "100%.db", "a&b=c#d.db", "ü.db", "file:x.db"} {
		path := filepath.Join(t.TempDir(), name)
		s := openAt(t, path)
		if _, err := s.Migrate(t.Context(), noon); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
}

func TestVanishedAndReplacedFile(t *testing.T) {
	for name, disturb := range map[string]func(path string) error{
		"vanished": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sandtrail.db")
			s := openAt(t, path)
			if _, err := s.Migrate(t.Context(), noon); err != nil {
				t.Fatal(err)
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := disturb(path); err != nil {
				t.Fatal(err)
			}
			_, appendErr := s.Append(t.Context(), batchOf(1))
			_, listErr := s.Executions(t.Context(), sandtrail.Query{}, noon)
			for what, err := range map[string]error{
				"append": appendErr, "list": listErr, "ping": s.Ping(t.Context()),
				"put": s.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"}),
			} {
				if !errors.Is(err, sandtrail.CodeUnavailable) || !strings.Contains(err.Error(), path) {
					t.Errorf("%s: got %v, want it to name the file", what, err)
				}
				wantDiscreet(t, err, path)
			}
		})
	}
}

// wantDiscreet checks that callers are not told where the database is.
func wantDiscreet(t *testing.T, err error, path string) {
	t.Helper()
	var e *sandtrail.Error
	if !errors.As(err, &e) || e.Public() == "" || strings.Contains(e.Public(), path) {
		t.Errorf("anybody may read %q of %v", e.Public(), err)
	}
}

func TestWithoutMigration(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "sandtrail.db"))
	for what, err := range map[string]error{
		"ping": s.Ping(t.Context()), "put": s.PutStrategy(t.Context(), sandtrail.Strategy{ID: "s", Name: "S"}),
	} {
		if !errors.Is(err, sandtrail.CodeUnavailable) || !strings.Contains(err.Error(), "migrate it") {
			t.Errorf("%s: got %v, want it to say how to migrate", what, err)
		}
	}
	all, err := s.Migrations(t.Context())
	if err != nil || len(all) == 0 || !all[0].Applied.IsZero() {
		t.Errorf("migrations: %v, %v", all, err)
	}
}

func TestTablesOfAnApplication(t *testing.T) {
	const owners = "CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT UNIQUE, name TEXT, plan TEXT); CREATE TABLE strategies (id TEXT PRIMARY KEY, name TEXT); "
	for name, test := range map[string]struct{ made, refused string }{
		"users and strategies are used": {owners + "INSERT INTO users VALUES ('u', 'u@example.com', NULL, 'free')", ""},
		"users without a name":          {"CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT UNIQUE)", "ALTER TABLE users ADD COLUMN name TEXT"},
		"another log table":             {owners + "CREATE TABLE sandbox_execution_logs (a)", "ALTER TABLE sandbox_execution_logs RENAME TO"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			s := openAt(t, path)
			plain(t, path, test.made)
			_, err := s.Migrate(t.Context(), noon)
			if test.refused != "" {
				if !errors.Is(err, sandtrail.CodeConflict) || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("got %v, want it refused with %q", err, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if u, err := s.User(t.Context(), "u"); err != nil || u.Email != "u@example.com" {
				t.Errorf("user: %+v, %v", u, err)
			}
		})
	}
}

func TestNewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sandtrail.db")
	s := openAt(t, path)
	if _, err := s.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	plain(t, path, "INSERT INTO sandtrail_migrations VALUES (9999, 'future', '2030-01-01 00:00:00.000')")
	if _, err := s.Migrate(t.Context(), noon); !errors.Is(err, sandtrail.CodeUnavailable) {
		t.Errorf("got %v, want it refused", err)
	}
}

// plain runs statements as any other program would.
func plain(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, text := range statements {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

func TestOtherWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sandtrail.db")
	s := openAt(t, path)
	if _, err := s.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	const insert = "INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time"
	plain(t, path,
		"INSERT INTO users VALUES ('u', 'u@example.com', NULL)", "INSERT INTO strategies VALUES ('s', 'S')",
		insert+") VALUES ('u', 's', 'VALIDATION', 1, 12)",
		insert+", metadata) VALUES ('u', 's', 'TERMINAL', 0, 0, 'no JSON')",
		insert+", classes_found, cpu_usage) VALUES ('u', 's', 'TERMINAL', 0, 0, 'A, B', 12)")
	page, err := s.Executions(t.Context(), sandtrail.Query{}, noon)
	if err != nil || len(page.Items) != 3 {
		t.Fatalf("%d executions, %v; want 3", len(page.Items), err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var days int
	if err := db.QueryRow("SELECT COUNT(DATE(created_at)) FROM sandbox_execution_logs").Scan(&days); err != nil || days != 3 {
		t.Errorf("DATE(created_at) understands %d of 3, %v", days, err)
	}
	for name, rest := range map[string]string{
		"unknown type":             ") VALUES ('u', 's', 'OTHER', 1, 12)",
		"negative time":            ") VALUES ('u', 's', 'VALIDATION', 1, -1)",
		"too large a number":       ") VALUES ('u', 's', 'VALIDATION', 1, 2147483648)",
		"text for a number":        ") VALUES ('u', 's', 'VALIDATION', 1, 'x')",
		"upper-case id":            ", id) VALUES ('u', 's', 'VALIDATION', 1, 1, 'AAAAAAAA-0000-4000-8000-000000000000')",
		"no UUID":                  ", id) VALUES ('u', 's', 'VALIDATION', 1, 1, 'x')",
		"time without fraction":    ", created_at) VALUES ('u', 's', 'VALIDATION', 1, 1, '2026-11-24 12:00:00')",
		"time in another form":     ", created_at) VALUES ('u', 's', 'VALIDATION', 1, 1, '2026-11-24T12:00:00.000Z')",
		"time that does not exist": ", created_at) VALUES ('u', 's', 'VALIDATION', 1, 1, '2026-02-30 12:00:00.000')",
	} {
		if _, err := db.Exec(insert + rest); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	expectSound(t, s)
}

func TestDoctorFinds(t *testing.T) {
	for name, test := range map[string]struct {
		before, after []string
		check         string
	}{
		"an execution without its user": {
			after: []string{
				"PRAGMA foreign_keys = OFF", "INSERT INTO strategies VALUES ('s', 'S')",
				"INSERT INTO sandbox_execution_logs (user_id, strategy_id, execution_type, success, execution_time) VALUES ('x', 's', 'TERMINAL', 1, 1)",
			},
			check: "foreign keys",
		},
		"a file that cannot shrink": {before: []string{"CREATE TABLE theirs (x)"}, check: "space can be given back"},
		"a pending migration":       {after: []string{"DELETE FROM sandtrail_migrations"}, check: "migrations"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sandtrail.db")
			plain(t, path, test.before...)
			s := openAt(t, path)
			if _, err := s.Migrate(t.Context(), noon); err != nil {
				t.Fatal(err)
			}
			plain(t, path, test.after...)
			checks, err := s.Doctor(t.Context(), database.Deep, noon)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range checks {
				if c.OK != (c.Name != test.check) {
					t.Errorf("%+v", c)
				}
				if !c.OK && c.Fix == "" {
					t.Errorf("%s: no fix is given", c.Name)
				}
			}
		})
	}
}

func TestCleanupGivesTheDiskBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sandtrail.db")
	s := openAt(t, path)
	if _, err := s.Migrate(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	plain(t, path, "INSERT INTO users VALUES ('u', 'u@example.com', NULL)", "INSERT INTO strategies VALUES ('s', 'S')")
	empty := sizeOf(t, path)
	for range 4 {
		if _, err := s.Append(t.Context(), batchOf(1000)); err != nil {
			t.Fatal(err)
		}
	}
	full := sizeOf(t, path)
	if deleted, err := s.Cleanup(t.Context(), sandtrail.Before(noon.Add(time.Hour))); err != nil || deleted != 4000 {
		t.Fatalf("deleted %d, %v", deleted, err)
	}
	if size := sizeOf(t, path); size > empty+full/10 {
		t.Errorf("%d bytes after cleanup; %d when it was full, %d when empty", size, full, empty)
	}
}

// sizeOf is the size of the database and its write-ahead log.
func sizeOf(t *testing.T, path string) (total int64) {
	t.Helper()
	for _, name := range []string{path, path + "-wal"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	return total
}
