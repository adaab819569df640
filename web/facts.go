package web

import (
	"encoding/json"
	"slices"
)

// Fact is one line of what the metadata of an execution tells.
type Fact struct{ Name, Value string }

// Facts are what metadata tells besides errors and warnings: how the execution
// was measured, in the page's words, and what its sender added. Members of
// metadata.run that are named in without are left out.
func Facts(metadata json.RawMessage, without ...string) (facts []Fact) {
	root := parseTree(metadata)
	if root == nil {
		return nil
	}
	if run := root.child("run"); run != nil {
		for _, key := range without {
			run.drop(key)
		}
	}
	told, sha256 := runFacts(root)
	for _, f := range told {
		facts = append(facts, Fact(f))
	}
	if sha256 != "" {
		facts = append(facts, Fact{"Source SHA-256", sha256})
	}
	for _, n := range root.Children {
		if n.Key != "errors" && n.Key != "warnings" && n.Key != "run" {
			facts = append(facts, Fact{n.Key, runValue(n)})
		}
	}
	return facts
}

// drop removes the members with a key.
func (n *node) drop(key string) {
	n.Children = slices.DeleteFunc(n.Children, func(child node) bool { return child.Key == key })
}
