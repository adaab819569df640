package main

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/sqlite"
)

// Whatever commands change in a database or take out of it is in its access
// log, whether they work on it themselves or through a server.
func TestActsAreLogged(t *testing.T) {
	acts := []struct {
		action    string
		arguments []string
	}{
		{"put user", []string{"users", "add", "ada", "--email", "ada@example.com"}},
		{"put strategy", []string{"strategies", "add", "momentum", "--name", "Momentum"}},
		{"put hold", []string{"hold", "add", "--user", "ada", "--reason", "case 17"}},
		{"remove hold", []string{"hold", "remove", "--user", "ada"}},
		{"silence alerts", []string{"alert", "silence", "high-failure-rate", "--for", "2h", "--reason", "moving"}},
		{"export", []string{"export"}},
		{auth.CleanupAction, []string{"cleanup"}},
		{"delete user", []string{"users", "delete", "ada"}},
		{"delete strategy", []string{"strategies", "delete", "momentum"}},
		{"create key", []string{"keys", "create", "--role", "read"}},
	}
	for name, start := range map[string]func(t *testing.T, db string) (flags []string, actor string){
		"at the database": func(_ *testing.T, db string) ([]string, string) { return []string{"--db", db}, localActor },
		"through a server": func(t *testing.T, db string) ([]string, string) {
			return []string{"--server", startServe(t, db).url}, "local"
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "acts.db")
			flags, actor := start(t, "sqlite:"+file)
			var want []string
			for _, act := range acts {
				command(t, 0, slices.Concat(act.arguments, flags)...)
				want = append(want, act.action)
			}
			store, err := sqlite.Open(t.Context(), file, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			lines, err := store.Accesses(t.Context(), auth.AccessQuery{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range slices.Backward(lines) { // a server's own jobs are there too
				if line.Actor == actor {
					got = append(got, line.Action)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("acts (-done +logged):\n%s", diff)
			}
		})
	}
}
