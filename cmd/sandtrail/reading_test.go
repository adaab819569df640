package main

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/sandtrail/sandtrail/internal/pgtest"
)

// needs are what commands must be given, besides flags that are required.
var needs = map[string][]string{
	"show": {"last"}, "play": {"last"}, "archive": {"."},
	"keys revoke": {"0192d3a4-7b1c"}, "alert unsilence": {"0192d3a4-7b1c"}, "alert silence": {"--for", "1h"},
	"users show": {"ada"}, "users delete": {"ada"}, "strategies show": {"s"}, "strategies delete": {"s"},
	"stats": {"--user", "ada"}, "health": {"--strategy", "s"}, "hold add": {"--user", "ada"}, "hold remove": {"--user", "ada"},
}

// storeless are the commands that work with no database.
var storeless = []string{"prisma", "completion", "version", "outbox list", "ledger key", "ledger rotate", "help", "man"}

// readers are the commands that make no database, with arguments.
func readers(t *testing.T) map[string][]string {
	t.Helper()
	parser, _, err := newParser(nil, &deps{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, node := range leaves(parser.Model.Node) {
		if path := pathOf(node); !slices.Contains(makers, path) && !slices.Contains(storeless, path) {
			found[path] = append(strings.Fields(path), needs[path]...)
		}
	}
	for _, path := range makers {
		if !slices.ContainsFunc(leaves(parser.Model.Node), func(node *kong.Node) bool { return pathOf(node) == path }) {
			t.Errorf("%s is no command", path)
		}
	}
	return found
}

// TestReadingMakesNothing runs every command that does not write for its
// purpose where there is no database, an empty file, and a file of another
// application. Each must leave the folder as it is.
func TestReadingMakesNothing(t *testing.T) {
	for path, args := range readers(t) {
		t.Run(path, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("empty.db", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			writeForeign(t, "foreign.db")
			before := folder(t)
			for file, want := range map[string]string{
				"missing.db": "there is no database missing.db: name another with --db or SANDTRAIL_DB, or make it with sandtrail migrate",
				"empty.db":   "sandtrail migrate",
				"foreign.db": "sandtrail migrate",
			} {
				var out, complaint bytes.Buffer
				status := run(t.Context(), append(slices.Clone(args), "--db", "sqlite:"+file), bare(&out, &complaint))
				if path == "doctor" && file != "missing.db" { // it examines what is there
					continue
				}
				if status != statusUnavailable || !strings.Contains(complaint.String(), want) || out.Len() > 0 {
					t.Errorf("%s: status %d, want %d and to read %q in\n%s%s", file, status, statusUnavailable, want, &out, &complaint)
				}
			}
			if after := folder(t); after != before {
				t.Errorf("the folder is\n%s\nand was\n%s", after, before)
			}
		})
	}
}

// writeForeign makes a database of another application.
func writeForeign(t *testing.T, name string) {
	t.Helper()
	database, err := sql.Open("sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := database.Exec("CREATE TABLE accounts (id INTEGER PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	if err := database.Close(); err != nil {
		t.Fatal(err)
	}
}

// folder tells of the files here.
func folder(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, entry := range entries {
		content, err := os.ReadFile(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %x\n", entry.Name(), sha256.Sum256(content))
	}
	return b.String()
}

// TestReadingWhereNothingCanBeWritten asks a PostgreSQL database whose sessions
// may only read, and a hot standby. Every command answers, without a warning on
// each call.
func TestReadingWhereNothingCanBeWritten(t *testing.T) {
	t.Run("sessions", func(t *testing.T) {
		url := pgtest.New(t)
		fillForReading(t, url)
		separator := "?"
		if strings.Contains(url, "?") {
			separator = "&"
		}
		checkReadingOnly(t, url+separator+"default_transaction_read_only=on")
	})
	t.Run("standby", func(t *testing.T) {
		primary := pgtest.NewOwn(t)
		fillForReading(t, primary.URL())
		checkReadingOnly(t, primary.Standby().URL())
	})
}

func fillForReading(t *testing.T, url string) {
	t.Helper()
	t.Chdir(t.TempDir())
	command(t, 0, "migrate", "--db", url)
	command(t, 0, "users", "add", "ada", "--email", "ada@example.com", "--db", url)
	command(t, 0, "strategies", "add", "s", "--name", "S", "--db", url)
	if err := os.WriteFile("runs.ndjson", []byte(`{"userId":"ada","strategyId":"s","executionType":"VALIDATION","success":true,"executionTime":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, 0, "record", "runs.ndjson", "--db", url)
}

func checkReadingOnly(t *testing.T, url string) {
	t.Helper()
	for _, args := range []string{
		"list", "show last", "failures", "stats --user ada", "health --strategy s", "trends", "alert check", "alert history",
		"alert silences", "users list", "users show ada", "strategies list", "keys list", "hold list", "verify", "migrate --status", "cleanup --dry-run",
	} {
		var out, complaint bytes.Buffer
		if status := run(t.Context(), append(strings.Fields(args), "--db", url), bare(&out, &complaint)); status != 0 || complaint.Len() > 0 {
			t.Errorf("%s: status %d: %s%s", args, status, &out, &complaint)
		}
	}
	var out, complaint bytes.Buffer
	if status := run(t.Context(), []string{"export", "--db", url}, bare(&out, &complaint)); status != 0 || !strings.Contains(complaint.String(), "not in the access log") {
		t.Errorf("export: status %d: %s", status, &complaint)
	}
	if status := run(t.Context(), []string{"users", "delete", "ada", "--db", url}, bare(&out, &complaint)); status == 0 {
		t.Error("a user was deleted")
	}
}
