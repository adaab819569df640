package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/internal/sample"
	"github.com/sandtrail/sandtrail/sqlite"
)

// hostileStore is an SQLite file with hostile texts in every field.
func hostileStore(t *testing.T, now time.Time) (url string, last sandtrail.ID) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hostile.db")
	store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	last, err = sample.StoreHostile(t.Context(), store, now)
	if err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path, last
}

// TestNothingHiddenReachesATerminal reads hostile records in every form and
// wants no byte on the terminal that could change it.
func TestNothingHiddenReachesATerminal(t *testing.T) {
	now := time.Date(2026, 11, 24, 15, 20, 0, 0, time.UTC)
	db, last := hostileStore(t, now)
	commands := [][]string{{"show", last.String()}, {"export", "--format", "ndjson"}, {"export", "--format", "csv"}}
	for _, reads := range []string{"list", "failures --within 1h", "users list", "strategies list", "hold list", "keys list", "problems"} {
		for _, form := range []string{"table", "json", "ndjson", "csv"} {
			commands = append(commands, append(strings.Fields(reads), "-o", form))
		}
	}
	for _, args := range commands {
		var out, errs bytes.Buffer
		status := run(context.Background(), append(args, "--db", db), &deps{
			in: strings.NewReader(""), out: &out, err: &errs, now: func() time.Time { return now },
			getenv: func(name string) string { return map[string]string{"NO_COLOR": "1"}[name] }, outTTY: true, errTTY: true,
		})
		if status == statusUsage && strings.Contains(errs.String(), "unexpected argument") {
			continue // not a command yet
		}
		if status != 0 {
			t.Errorf("%v: status %d: %s", args, status, errs.String())
		}
		if shown := out.String() + errs.String(); human.Hidden(shown) {
			t.Errorf("%v sends the terminal\n%s", args, cmp.Diff(human.VisibleLines(shown), shown))
		}
	}
}
