package main

import (
	"strings"
	"testing"
)

// TestEveryCommandHasExamples shows that the help of each command has some, and
// that the command line takes each.
func TestEveryCommandHasExamples(t *testing.T) {
	parser, _, err := newParser(nil, &deps{})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range leaves(parser.Model.Node) {
		with, ok := node.Target.Addr().Interface().(examples)
		if !ok {
			t.Errorf("%s has none", node.FullPath())
			continue
		}
		for _, example := range with.Examples() {
			if !strings.Contains(example, "sandtrail") && !strings.Contains(example, "duckdb") {
				t.Errorf("%s: %s", node.FullPath(), example)
			}
		}
	}
}
