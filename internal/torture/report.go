//go:build linux

package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// report is where the outcome goes.
type report struct{ table, command string }

// losses is how many faults ended with something that must not be.
func (c *campaign) losses() (n int) {
	for _, t := range c.counted {
		n += t.losses
	}
	return n + len(c.findings)
}

func (r report) write(c *campaign) error {
	summary := c.summary(r.command)
	fmt.Fprintf(c.Out, "\n%s\n", summary)
	c.printMessages()
	if r.table == "" {
		return nil
	}
	return replaceTable(r.table, c.Store, summary)
}

// summary is what the document says of a campaign.
func (c *campaign) summary(command string) string {
	lines := []string{
		fmt.Sprintf("`go run ./internal/torture %s` at commit %s took %s: %d rounds, %d acknowledged executions.",
			command, c.commit, c.took.Round(time.Second), c.rounds, c.acked),
		fmt.Sprintf("A server had %d MiB of memory at most. The slowest answer of `/healthz` took %s.", c.memory>>20, c.longest.Round(time.Millisecond)),
		"", "| fault | promise | tried | losses |", "|---|---|--:|--:|",
	}
	for _, f := range faults() {
		if t := c.counted[f.name]; t != nil {
			lines = append(lines, fmt.Sprintf("| %s | %s | %d | %d |", f.name, f.promise, t.tried, t.losses))
		} else if why := c.skipped[f.name]; why != "" {
			lines = append(lines, fmt.Sprintf("| %s | %s | not tried: %s | |", f.name, f.promise, why))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// commit is what the programs were built from.
func commit() string {
	at, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	changed, errChanged := exec.Command("git", "status", "--porcelain", "--untracked-files=no", "--", ":!docs").Output()
	switch {
	case err != nil || errChanged != nil:
		return "unknown"
	case len(changed) > 0:
		return strings.TrimSpace(string(at)) + " with changes"
	}
	return strings.TrimSpace(string(at))
}

// advice is in messages that say what to do, or what is done.
var advice = regexp.MustCompile(`\b(again|repeat|wait(s|ed)?|check|send|give|add|make|set|use|start|start(s|ed)|look|take|lists?|keeps?)\b`)

// printMessages lists what clients were told: first what says nothing of what to do,
// for a person to judge.
func (c *campaign) printMessages() {
	all := slices.Sorted(maps.Keys(c.messages))
	for _, part := range []struct {
		title  string
		advice bool
	}{{"told without a word of what to do:", false}, {"told with one:", true}} {
		fmt.Fprintln(c.Out, part.title)
		for _, text := range all {
			if advice.MatchString(text) == part.advice {
				fmt.Fprintf(c.Out, "%6d × %s\n", c.messages[text], text)
			}
		}
	}
}

// replaceTable puts a summary between the marks of its store.
func replaceTable(file, store, summary string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := "<!-- begin of "+store+" -->\n", "<!-- end of "+store+" -->"
	before, rest, found := strings.Cut(string(content), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return errors.New(file + ": has no line " + strings.TrimSpace(begin) + " before one " + end)
	}
	return os.WriteFile(file, []byte(before+begin+"\n"+summary+"\n"+end+after), 0o644)
}
