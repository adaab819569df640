//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/internal/testneed"
)

// TestMain is a spooling client where the campaign starts one.
func TestMain(m *testing.M) {
	if os.Getenv(spoolEnv) != "" {
		os.Exit(run(nil))
	}
	os.Exit(tests(m))
}

func tests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "torture-programs")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	built = sync.OnceValues(func() (programs, error) { return build(context.Background(), dir) })
	return m.Run()
}

// built are the programs, built once.
var built func() (programs, error)

// lines writes what the campaign prints into the test's log.
type lines struct{ *testing.T }

func (l lines) Write(b []byte) (int, error) {
	l.Log(string(bytes.TrimRight(b, "\n")))
	return len(b), nil
}

// A few rounds of a fixed seed on each database. "make torture" has many.
func TestTorture(t *testing.T) {
	built, err := built()
	if err != nil {
		t.Fatal(err)
	}
	for store, size := range map[string]int{"sqlite": 96, "postgres": 400} {
		faults := map[string][]string{ // of which each round has both
			"sqlite":   {"both servers killed", "spooling client killed"},
			"postgres": {"database killed", "connections reset"},
		}
		t.Run(store, func(t *testing.T) {
			if _, err := pgtest.Binaries(); err != nil && store == "postgres" {
				testneed.Missing(t, err.Error())
			}
			c, err := torture(t.Context(), options{
				Seed: 17, Store: store, Rounds: 1, Epoch: 1, Load: 500 * time.Millisecond, Memory: 256 << 20, Health: time.Hour, Calm: true, Size: size,
				Faults: faults[store],
				Out:    lines{t}, Program: built,
			})
			if err != nil {
				t.Fatal(err)
			}
			if n := c.losses(); n > 0 {
				t.Errorf("%d promises were not kept", n)
			}
		})
	}
}

// A loss that a fault really causes is found.
func TestTortureFindsALoss(t *testing.T) {
	built, err := built()
	if err != nil {
		t.Fatal(err)
	}
	loss := fault{name: "one deleted", do: func(ctx context.Context, c *campaign, _ *rand.Rand) error {
		c.oracle.mu.Lock()
		defer c.oracle.mu.Unlock()
		for key, e := range c.oracle.all {
			if e.outcome == stored {
				return execute(ctx, c.database.pool(), "DELETE FROM sandbox_execution_logs WHERE id = '"+key+"'")
			}
		}
		return errors.New("nothing is stored yet")
	}}
	var said bytes.Buffer
	c, err := torture(t.Context(), options{
		Seed: 1, Store: "sqlite", Rounds: 1, Epoch: 1, Memory: 256 << 20, Health: time.Hour, Calm: true, Size: 96,
		Out: &said, Program: built, Faults: []string{loss.name}, More: []fault{loss},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.losses() == 0 || !strings.Contains(said.String(), "was acknowledged and is not stored") {
		t.Errorf("it said\n%s", said.String())
	}
}

func TestJudgeNamesEveryDifference(t *testing.T) {
	o, err := newOracle(filepath.Join(t.TempDir(), "oracle"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	for i, became := range []outcome{stored, stored, stored, stored, refused, refused, sent, sent} {
		key := fmt.Sprint("r", i)
		o.sends("api", key, i)
		if became != sent {
			o.becomes(became, key)
		}
	}
	got := o.judge([]row{{"r0", 0}, {"r1", 1}, {"r1", 1}, {"r2", 7}, {"r4", 4}, {"r6", 6}, {"alien", 1}})
	want := []string{
		"alien: is stored and was never sent",
		"r1 by api: is stored 2 times",
		"r2 by api: its executionTime is 7 and was 2",
		"r3 by api: was acknowledged and is not stored",
		"r4 by api: is stored and was refused",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The same seed deals the same faults, whatever round it begins with, and each
// fault once before any comes again.
func TestFaultsAreDealtBySeed(t *testing.T) {
	all := processFaults()
	names := func(seed uint64, round int) (dealt []string) {
		for _, f := range (&deck{seed, all}).faults(round) {
			dealt = append(dealt, fmt.Sprint(f.name, f.rng.IntN(1000)))
		}
		return dealt
	}
	if diff := cmp.Diff(names(1, 3), names(1, 3)); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(slices.Concat(names(1, 1), names(1, 2)), slices.Concat(names(2, 1), names(2, 2))) {
		t.Error("another seed deals the same")
	}
	seen := map[string]bool{}
	for round := 1; round <= len(all)/perRound; round++ {
		for _, f := range (&deck{1, all}).faults(round) {
			seen[f.name] = true
		}
	}
	if len(seen) != len(all)/perRound*perRound {
		t.Errorf("%d of %d faults were dealt", len(seen), len(all))
	}
}

func TestTableTakesThePlaceOfAnother(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	before := "# Page\n\n<!-- begin of sqlite -->\nold\n<!-- end of sqlite -->\n\nbehind\n"
	if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := replaceTable(file, "sqlite", "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "# Page\n\n<!-- begin of sqlite -->\n\nnew\n\n<!-- end of sqlite -->\n\nbehind\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if err := replaceTable(file, "postgres", "new\n"); err == nil {
		t.Error("a page without the marks was taken")
	}
}
