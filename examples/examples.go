// Package examples holds the strategies that the demo runs, and says how.
package examples

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sandtrail/sandtrail"
)

//go:embed *.sh *.py *.txt
var files embed.FS

// Example is one strategy and the way to run it.
type Example struct {
	Strategy sandtrail.Strategy
	About    string // what it shows
	Type     sandtrail.ExecutionType

	Args    []string      // the program and its arguments, relative to the directory of Extract
	Stdin   string        // a file there; "": none
	Source  string        // the file there that is the strategy
	Timeout time.Duration // 0: none

	MemoryMiB int // limit; 0: none
}

// Needs is the program that the example cannot do without.
func (e Example) Needs() string { return e.Args[0] }

// All are the examples, those that need no more than a shell first.
func All() []Example {
	checked := func(id, name, about, interpreter, check, file string) Example {
		return Example{
			Strategy: sandtrail.Strategy{ID: id, Name: name}, About: about, Type: sandtrail.Validation,
			Args: []string{interpreter, check, file}, Source: file, Timeout: 10 * time.Second,
		}
	}
	run := func(id, name, about, interpreter, file string) Example {
		return Example{
			Strategy: sandtrail.Strategy{ID: id, Name: name}, About: about, Type: sandtrail.Validation,
			Args: []string{interpreter, file}, Source: file, Timeout: 10 * time.Second,
		}
	}
	endless := run("endless", "Endless", "loops until its time-out", "sh", "endless.sh")
	endless.Timeout = 700 * time.Millisecond
	greedy := run("greedy", "Greedy", "eats more memory than it may", "sh", "greedy.sh")
	greedy.MemoryMiB = 32
	session := Example{
		Strategy: sandtrail.Strategy{ID: "momentum", Name: "Momentum"}, About: "is a terminal session", Type: sandtrail.Terminal,
		Args: []string{"sh"}, Stdin: "session.txt",
	}
	return []Example{
		run("momentum", "Momentum", "is sound", "sh", "momentum.sh"),
		checked("unfinished", "Unfinished", "has a syntax error", "sh", "check.sh", "unfinished.sh"),
		checked("careless", "Careless", "earns warnings", "sh", "check.sh", "careless.sh"),
		endless,
		greedy,
		run("missing-data", "Missing data", "fails while it runs", "sh", "missing-data.sh"),
		session,
		checked("crossover", "Crossover", "is sound, in Python", "python3", "check.py", "crossover.py"),
		checked("misspelt", "Misspelt", "has a syntax error, in Python", "python3", "check.py", "misspelt.py"),
		checked("breakout", "Breakout", "earns a warning, in Python", "python3", "check.py", "breakout.py"),
		run("turnover", "Turnover", "fails while it runs, in Python", "python3", "divides.py"),
	}
}

// Extract writes the files of all examples into a directory.
func Extract(dir string) error {
	entries, err := files.ReadDir(".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		raw, err := files.ReadFile(entry.Name())
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, entry.Name()), raw, 0o600)
		}
		if err != nil {
			return fmt.Errorf("extract the examples: %w", err)
		}
	}
	return nil
}

// IsLong reports whether the example goes on until it is ended.
func (e Example) IsLong() bool { return e.Timeout > 0 && e.Timeout < time.Second || e.MemoryMiB > 0 }
