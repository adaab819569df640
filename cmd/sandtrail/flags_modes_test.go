package main

import (
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/sandtrail/sandtrail/internal/pgtest"
)

// writers are the commands whose observations of alone are made on PostgreSQL and a
// server too.
var writers = []string{
	"hold add", "hold remove", "alert silence", "keys create", "users add", "strategies add", "record", "export", "cleanup", "archive",
	"ledger checkpoint",
}

// refusedThere are the flags of those commands that a server refuses, and the message.
var refusedThere = map[string]string{
	"archive --ledger-key": "works on the database itself", "archive --older-than": "works on the database itself",
	"ledger checkpoint --ledger-key": "--ledger-key: the server signs", "export --ledger-key": "--ledger-key: the server signs",
}

// storeMode is a way to a store, and how it comes to hold what was seeded.
type storeMode struct {
	target  string
	restore func() error
}

// TestFlagsThatWrite makes the observations of commands that write on one PostgreSQL
// database, and on one server. In between what they have written is removed.
func TestFlagsThatWrite(t *testing.T) {
	database, served := pgtest.New(t), "sqlite:"+filepath.Join(t.TempDir(), "served.db")
	command(t, 0, "migrate", "--db", database)
	for _, db := range []string{database, served} {
		seedFlags(t, db)
	}
	secret := strings.TrimSpace(command(t, 0, "keys", "create", "--role", "admin", "--name", "kept", "--db", served))
	server := startServe(t, served, "--retention", "0")
	modes := map[string]storeMode{
		"PostgreSQL": {" --db " + database, statements(t, "pgx", database, "sandtrail.")},
		"server":     {" --server " + server.url + " --key " + secret, statements(t, "sqlite", strings.TrimPrefix(served, "sqlite:")+"?_pragma=busy_timeout(20000)", "sandtrail_")},
	}
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			known := map[string]string{} // by calls: several flags are compared with the same
			for row, o := range alone {
				if !writesInStore(row) || strings.Contains(o.with, "exec ") {
					continue
				}
				if _, is := known[o.without]; !is {
					known[o.without] = onStore(t, mode, o.without)
				}
				without, with := known[o.without], onStore(t, mode, o.with)
				if refusal := refusedThere[row]; name == "server" && refusal != "" {
					if !strings.Contains(with, refusal) {
						t.Errorf("%s: want to read %q in\n%s", row, refusal, with)
					}
				} else if without == with {
					t.Errorf("%s is dropped: %s and %s both answer\n%s", row, o.without, o.with, with)
				}
			}
		})
	}
}

// writesInStore reports whether a flag is one of one of writers.
func writesInStore(row string) bool {
	path, _, _ := strings.Cut(row, " --")
	return slices.Contains(writers, path)
}

// onStore is what several calls answer on a store that holds what was seeded.
func onStore(t *testing.T, mode storeMode, all string) (text string) {
	t.Helper()
	if err := mode.restore(); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	writeAloneFiles(t)
	previous := ""
	for call := range strings.SplitSeq(all, "; ") {
		said, out := callOn(t, mode.target, call, previous)
		text, previous = text+said, out
	}
	return steadied(text)
}

// seededAgain removes what observations have written, and puts back what they have
// removed; {} is before the names of Sandtrail's own tables.
const seededAgain = `DELETE FROM {}holds; DELETE FROM {}silences; DELETE FROM {}ledger_checkpoints; DELETE FROM {}keys WHERE coalesce(name, '') <> 'kept';
	DELETE FROM sandbox_execution_logs; DELETE FROM users WHERE id NOT IN ('ada', 'bob'); DELETE FROM strategies WHERE id NOT IN ('momentum', 'other');
	INSERT INTO sandbox_execution_logs SELECT * FROM seeded`

// statements keeps what was seeded in a database, and returns how it is put back.
func statements(t *testing.T, driver, url, tables string) (restore func() error) {
	t.Helper()
	database, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { database.Close() })
	if _, err := database.Exec("CREATE TABLE seeded AS SELECT * FROM sandbox_execution_logs"); err != nil {
		t.Fatal(err)
	}
	return func() error {
		_, err := database.Exec(strings.ReplaceAll(seededAgain, "{}", tables))
		return err
	}
}
