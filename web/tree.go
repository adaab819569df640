package web

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"

	"github.com/sandtrail/sandtrail/internal/human"
)

// node is a JSON value as the page shows it: members keep their order and
// numbers their digits.
type node struct {
	Key      string
	Value    string // of a leaf, as it is written; strings without quotes
	Kind     string // object, array, string, number, literal
	Children []node
	Told     bool // shown elsewhere on the page, or long, so that it stays folded
}

// Branch reports whether the node is an object or an array.
func (n node) Branch() bool { return n.Kind == "object" || n.Kind == "array" }

// maxTreeDepth is how deep the tree is unfolded; what lies deeper is shown as
// the JSON it is.
const maxTreeDepth = 24

// parseTree reads JSON into a tree, nil for what is not JSON.
func parseTree(raw json.RawMessage) *node {
	if !json.Valid(raw) {
		return nil
	}
	root := parseNode("", raw, 0)
	return &root
}

// parseNode reads one valid JSON value.
func parseNode(key string, raw json.RawMessage, depth int) node {
	n := node{Key: key, Value: string(bytes.TrimSpace(raw)), Kind: "literal"}
	switch first := n.Value[0]; {
	case first == '"':
		n.Kind = "string"
		_ = json.Unmarshal(raw, &n.Value) // it is valid
	case first == '-' || first >= '0' && first <= '9':
		n.Kind = "number"
	case (first == '{' || first == '[') && depth < maxTreeDepth:
		n.Kind, n.Value = map[byte]string{'{': "object", '[': "array"}[first], ""
		n.Children = parseMembers(raw, first == '{', depth+1)
	}
	return n
}

func parseMembers(raw json.RawMessage, object bool, depth int) []node {
	var children []node
	dec := json.NewDecoder(bytes.NewReader(raw))
	_, _ = dec.Token() // the opening bracket
	for dec.More() {
		key := ""
		if object {
			token, err := dec.Token()
			if err != nil {
				return children
			}
			key, _ = token.(string)
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return children
		}
		children = append(children, parseNode(key, value, depth))
	}
	return children
}

func (n *node) child(key string) *node {
	if n == nil {
		return nil
	}
	for i := range n.Children {
		if n.Children[i].Key == key {
			return &n.Children[i]
		}
	}
	return nil
}

// fold leaves every branch to be opened by the reader.
func (n *node) fold() {
	if n == nil {
		return
	}
	n.Told = true
	for i := range n.Children {
		n.Children[i].fold()
	}
}

// fact is one line about how an execution was measured.
type fact struct{ Name, Value string }

// runNames are the members of metadata.run that have a name for people.
var runNames = map[string]string{
	"status": "Status", "exitCode": "Exit code", "signal": "Signal", "command": "Command", "cpuTime": "CPU time",
	"memoryPeakBytes": "Memory peak", "cgroupPeakBytes": "Peak with page cache", "method": "Measured by", "limits": "Limits",
	"processesPeak": "Processes at peak", "sourceBytes": "Source size", "escaped": "Left the cgroup",
}

// runFacts reads metadata.run.
func runFacts(metadata *node) (facts []fact, sha256 string) {
	run := metadata.child("run")
	if run == nil {
		return nil, ""
	}
	for _, n := range run.Children {
		if n.Kind == "literal" && n.Value == "null" {
			continue // not known
		}
		if n.Key == "session" {
			continue // told where it is played
		}
		if n.Key == "sourceSha256" {
			sha256 = n.Value
			continue
		}
		name := runNames[n.Key]
		if name == "" {
			name = n.Key
		}
		if value := runValue(n); value != "" {
			facts = append(facts, fact{name, value})
		}
	}
	return facts, sha256
}

func runValue(n node) string {
	var number float64
	if n.Kind == "number" && json.Unmarshal([]byte(n.Value), &number) == nil {
		switch n.Key {
		case "cpuTime", "timeout":
			return formatMillis(&number)
		case "memoryPeakBytes", "cgroupPeakBytes":
			return formatMemory(new(number / (1 << 20)))
		case "memory":
			return formatMemory(&number)
		case "sourceBytes":
			return formatBytes(int64(min(number, math.MaxInt32)))
		case "processesPeak":
			return human.Number(number)
		}
	}
	if !n.Branch() {
		return n.Value
	}
	var parts []string
	for _, child := range n.Children {
		parts = append(parts, strings.TrimSpace(child.Key+" "+runValue(child)))
	}
	return strings.Join(parts, ", ")
}
