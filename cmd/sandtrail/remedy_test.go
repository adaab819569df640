package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/remedy"
	"github.com/sandtrail/sandtrail/runner"
)

// TestRemediesAreCommands pastes the command of each remedy into a shell, with
// hostile names, and has the grammar read what the shell made of it.
func TestRemediesAreCommands(t *testing.T) {
	var all []sandtrail.Remedy
	for _, act := range []sandtrail.Act{remedy.Migrate, remedy.Verify, remedy.Examine, remedy.Deliver} {
		all = append(all, sandtrail.Remedy{Act: act})
	}
	all = append(all, sandtrail.Remedy{Act: remedy.AddKey, Value: string(auth.RoleAdmin)})
	for _, name := range []string{"ada", "two words", "o'brien", "$(touch x)", "-rf", "--name", "a;b"} {
		all = append(all, sandtrail.Remedy{Act: remedy.AddUser, Value: name}, sandtrail.Remedy{Act: remedy.AddStrategy, Value: name},
			sandtrail.Remedy{Act: remedy.Migrate, Options: []sandtrail.Option{{Name: "adopt"}, {Name: "log-table", Value: "T" + name}}})
	}
	for _, option := range []string{"repair", "dry-run", "users-table", "strategies-table"} {
		all = append(all, sandtrail.Remedy{Act: remedy.Migrate, Options: []sandtrail.Option{{Name: option, Value: strings.Repeat("t", strings.Count(option, "-table"))}}})
	}
	for _, r := range all {
		line := runner.RemedyCommand(r)
		out, err := exec.Command("sh", "-c", `sandtrail() { printf '%s\0' "$@"; }; `+line).Output()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		args := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		var c cli
		parser := kong.Must(&c, numbers()...)
		if _, err := parser.Parse(args); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if r.Act == remedy.AddUser && c.Users.Add.ID != r.Value {
			t.Errorf("%s adds user %q, want %q", line, c.Users.Add.ID, r.Value)
		}
		if n := len(r.Options); n == 2 && c.Migrate.LogTable != r.Options[1].Value {
			t.Errorf("%s names the table %q", line, c.Migrate.LogTable)
		}
	}
}
