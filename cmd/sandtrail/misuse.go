package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/cmdline"
)

// refuseDropped refuses flags that were typed and would be dropped: by cmdline.Typed, and
// those for another kind of store.
func (d *deps) refuseDropped(parsed *kong.Context) error {
	typed := cmdline.Typed{}
	for _, step := range parsed.Path {
		f := step.Flag
		if f == nil || step.Resolved {
			continue
		}
		if err := typed.Add(f.Name, reflect.ValueOf(parsed.FlagValue(f)), f.Enum != "", flagUse(f)); err != nil {
			return err
		}
	}
	if path := pathOf(parsed.Selected()); slices.Contains(withoutStore, path) {
		for _, flag := range []string{"db", "schema", "server", "key"} {
			if typed[flag] {
				return sandtrail.Errorf(sandtrail.CodeInvalid, "--%s: %s works without a database or a server: leave it out", flag, path)
			}
		}
	}
	return d.Fits(typed, d.getenv)
}

// withoutStore are the commands that use no store, not even the name of one.
var withoutStore = []string{"prisma", "completion", "version", "help", "man"}

// check refuses ranges that hold nothing.
func (s selection) check(now time.Time) error {
	since, until := s.Since.at(now), s.Until.at(now)
	switch {
	case s.Since.given && s.Until.given && !since.Before(until):
		return sandtrail.Errorf(sandtrail.CodeInvalid,
			"--since, --until: nothing is between %s and %s: since must be the earlier, which as a duration is the longer",
			since.Format(time.RFC3339), until.Format(time.RFC3339))
	case s.MinTime != nil && s.MaxTime != nil && *s.MinTime > *s.MaxTime:
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--min-time, --max-time: must not be more than the other: exchange them")
	case s.MinMemory != nil && s.MaxMemory != nil && *s.MinMemory > *s.MaxMemory:
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--min-memory, --max-memory: must not be more than the other: exchange them")
	}
	return nil
}

// misplaced finds a flag of a command that stands before it.
func misplaced(root *kong.Node, args []string) string {
	if len(args) == 0 || !strings.HasPrefix(args[0], "--") || longFlag(root, flagName(args[0])) != nil {
		return ""
	}
	for _, word := range args[1:] {
		for _, child := range root.Children {
			if child.Name != word {
				continue
			}
			for _, node := range leaves(child) {
				if f := longFlag(node, flagName(args[0])); f != nil {
					return fmt.Sprintf("%s stands behind the command: %s %s", flagName(args[0]), node.FullPath(), flagUse(f))
				}
			}
		}
	}
	return ""
}

func flagName(word string) string {
	name, _, _ := strings.Cut(word, "=")
	return name
}

// second finds a command behind a command.
func second(node *kong.Node, message string) string {
	word, found := strings.CutPrefix(message, "unexpected argument ")
	word, _, _ = strings.Cut(word, ",")
	if !found || node.Parent == nil {
		return ""
	}
	whole, _, err := newParser(nil, &deps{}) // the one at hand may be of one command
	if err != nil {
		return ""
	}
	for _, siblings := range [][]*kong.Node{node.Parent.Children, whole.Model.Children} {
		for _, sibling := range siblings {
			if sibling.Name == word {
				return fmt.Sprintf("two commands, %s and %s: give one at a time", node.FullPath(), sibling.FullPath())
			}
		}
	}
	return ""
}

// leaves are the commands at or below a node that can be run.
func leaves(node *kong.Node) (all []*kong.Node) {
	if len(node.Children) == 0 {
		return []*kong.Node{node}
	}
	for _, child := range node.Children {
		all = append(all, leaves(child)...)
	}
	return all
}
