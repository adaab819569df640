package main

import (
	"database/sql"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sandtrail/sandtrail/internal/pgtest"
)

// Whoever deletes all rows of keys by plain SQL opens neither the API nor the
// page of a server that starts afterwards. A command does, and is logged.
func TestDeletedKeysOpenNoServer(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys.db")
		checkKeysGone(t, "sqlite:"+file, func() error {
			db, err := sql.Open("sqlite", file)
			if err != nil {
				return err
			}
			defer db.Close()
			_, err = db.ExecContext(t.Context(), "DELETE FROM sandtrail_keys")
			return err
		})
	})
	t.Run("postgres", func(t *testing.T) {
		url := pgtest.New(t)
		checkKeysGone(t, url, func() error {
			conn, err := pgx.Connect(t.Context(), url)
			if err != nil {
				return err
			}
			defer conn.Close(t.Context())
			_, err = conn.Exec(t.Context(), "TRUNCATE sandtrail.keys")
			return err
		})
	})
}

func checkKeysGone(t *testing.T, db string, remove func() error) {
	t.Helper()
	command(t, 0, "migrate", "--db", db)
	expectServed(t, db, true)
	key := strings.Fields(command(t, 0, "keys", "create", "--role", "admin", "--db", db))[0]
	command(t, statusUsage, "keys", "open", "--db", db)
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	expectServed(t, db, false)
	s := startServe(t, db)
	command(t, statusUsage, "keys", "open", "--server", s.url, "--key", key)
	s.stop()
	command(t, 0, "keys", "open", "--db", db)
	expectServed(t, db, true)
	last := startServe(t, db)
	defer last.stop()
	response, err := http.Get(last.url + "/v1/access-log?limit=100")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if log, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(log), "open without keys") {
		t.Errorf("the access log: %s, %v", log, err)
	}
}

// expectServed starts a server and asks its API and its page without a key.
func expectServed(t *testing.T, db string, want bool) {
	t.Helper()
	s := startServe(t, db)
	defer s.stop()
	for _, path := range []string{"/v1/executions", "/executions"} {
		response, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.StatusCode == http.StatusOK && response.Request.URL.Path == path; got != want {
			t.Errorf("%s without a key: status %d at %s, served is to be %v", path, response.StatusCode, response.Request.URL, want)
		}
	}
}
