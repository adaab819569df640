//go:build linux

package main

import (
	"fmt"
	"maps"
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

func (r report) write(c *campaign, took time.Duration) error {
	fmt.Fprintf(c.Out, "\n%s, seed %d, %s: at most %d MiB of memory, slowest /healthz %s\n\n", c.Store, c.Seed,
		took.Round(time.Second), c.memory>>20, c.longest.Round(time.Millisecond))
	for _, line := range c.table() {
		fmt.Fprintln(c.Out, line)
	}
	fmt.Fprintln(c.Out, "\nwhat clients were told:")
	for _, text := range slices.Sorted(maps.Keys(c.messages)) {
		fmt.Fprintf(c.Out, "%5d × %s\n", c.messages[text], strings.ReplaceAll(text, "\n", " "))
	}
	return nil
}

// table has a row for each fault.
func (c *campaign) table() []string {
	lines := []string{"| fault | promise | tried | losses |", "|---|---|--:|--:|"}
	for _, f := range faults() {
		if t := c.counted[f.name]; t != nil {
			lines = append(lines, fmt.Sprintf("| %s | %s | %d | %d |", f.name, f.promise, t.tried, t.losses))
		} else if why := c.skipped[f.name]; why != "" {
			lines = append(lines, fmt.Sprintf("| %s | %s | not tried: %s | |", f.name, f.promise, why))
		}
	}
	return lines
}
