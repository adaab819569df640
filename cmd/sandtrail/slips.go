package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sandtrail/sandtrail"
)

// slip refuses flags that were typed and would be dropped: those with an empty
// value, such as that of a variable that is not set (but for a cursor's, which is
// the first page's); those that were given another
// value before; and those for another kind of store.
func (d *deps) slip(parsed *kong.Context) error {
	typed := map[string]bool{}
	for _, step := range parsed.Path {
		f := step.Flag
		if f == nil || step.Resolved {
			continue
		}
		switch {
		case f.Enum == "" && f.Name != "cursor" && isEmpty(reflect.ValueOf(parsed.FlagValue(f))):
			return sandtrail.Errorf(sandtrail.CodeInvalid, "--%s: its value is empty: give one, as in %s, or leave the flag out", f.Name, flagUse(f))
		case typed[f.Name] && !f.IsCumulative() && !f.IsBool():
			return sandtrail.Errorf(sandtrail.CodeInvalid, "--%s is given twice, and only one value can count: give it once", f.Name)
		}
		typed[f.Name] = true
	}
	db, server, err := d.target()
	switch {
	case err != nil:
		return err
	case typed["key"] && server == "":
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--key is for a server: name it with --server, or leave --key out")
	case typed["schema"] && (server != "" || strings.HasPrefix(db, "sqlite:")):
		return sandtrail.Errorf(sandtrail.CodeInvalid, "--schema is for PostgreSQL: name a database with --db postgres://…, or leave --schema out")
	}
	return nil
}

// isEmpty reports whether a text, or one of several, is empty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return v.Len() == 0
	case reflect.Slice:
		for i := range v.Len() {
			if isEmpty(v.Index(i)) {
				return true
			}
		}
		return v.Len() == 0
	}
	return false
}

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

// otherCase finds a command that was typed in other letters.
func otherCase(node *kong.Node, message string) string {
	word, found := strings.CutPrefix(message, "unexpected argument ")
	for _, child := range node.Children {
		if found && strings.EqualFold(child.Name, word) {
			return fmt.Sprintf("%s, did you mean %q?", message, child.Name)
		}
	}
	return ""
}

// oneLetter answers a short flag that is none with the long ones that begin
// like it: of one letter, no other letter is a slip.
func oneLetter(node *kong.Node, message string) string {
	word, found := strings.CutPrefix(message, "unknown flag ")
	word, _, _ = strings.Cut(word, ",")
	if !found || len(word) != 2 {
		return ""
	}
	var names []string
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			if strings.HasPrefix(f.Name, word[1:]) {
				names = append(names, fmt.Sprintf("%q", "--"+f.Name))
			}
		}
	}
	if len(names) == 0 {
		return "unknown flag " + word
	}
	return fmt.Sprintf("unknown flag %s, did you mean %s?", word, strings.Join(names, " or "))
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
