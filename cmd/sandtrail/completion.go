package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string   `arg:"" enum:"bash,zsh,fish,words" help:"bash, zsh or fish."`
	Words []string `arg:"" optional:"" passthrough:"" hidden:""`
}

// Examples shows how it is used.
func (completionCmd) Examples() []string {
	return []string{
		"source <(sandtrail completion bash)",
		"sandtrail completion zsh > ~/.zfunc/_sandtrail",
		"sandtrail completion fish > ~/.config/fish/completions/sandtrail.fish",
	}
}

// shells are the scripts; each asks "sandtrail completion words", which
// prints what can follow the words typed so far. Those of sandtrail-exec are
// those of exec.
var shells = map[string]string{
	"bash": `_sandtrail() {
	local IFS=$'\n' current="${COMP_WORDS[COMP_CWORD]}"
	local -a exec=()
	[ "${COMP_WORDS[0]##*/}" = sandtrail-exec ] && exec=(exec)
	COMPREPLY=($(compgen -W "$(sandtrail completion words "${exec[@]}" "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)" -- "$current"))
}
complete -o default -F _sandtrail sandtrail sandtrail-exec
`,
	"zsh": `#compdef sandtrail sandtrail-exec
_sandtrail() {
	local -a candidates exec
	[ "${words[1]:t}" = sandtrail-exec ] && exec=(exec)
	candidates=("${(@f)$(sandtrail completion words "${exec[@]}" "${words[@]:1:CURRENT-2}" 2>/dev/null)}")
	compadd -a candidates || _files
}
if [ "$funcstack[1]" = "_sandtrail" ]; then _sandtrail "$@"; else compdef _sandtrail sandtrail sandtrail-exec; fi
`,
	"fish": `complete -c sandtrail -a '(sandtrail completion words (commandline -opc)[2..] 2>/dev/null)'
complete -c sandtrail-exec -a '(sandtrail completion words exec (commandline -opc)[2..] 2>/dev/null)'
`,
}

// Run prints a script, or what can follow some words.
func (c *completionCmd) Run(d *deps) error {
	if c.Shell == "words" {
		for _, word := range candidates(d.parser.Model.Node, c.Words) {
			if err := d.say("%s", word); err != nil {
				return err
			}
		}
		return nil
	}
	_, err := fmt.Fprint(d.out, shells[c.Shell])
	return err
}

// candidates are the commands, flags and values that can follow words.
func candidates(node *kong.Node, words []string) []string {
	var last *kong.Flag
	for _, word := range words {
		if last != nil {
			last = nil // the word is the flag's value
			continue
		}
		if strings.HasPrefix(word, "-") {
			last = valueFlag(node, word)
			continue
		}
		i := slices.IndexFunc(node.Children, func(child *kong.Node) bool { return child.Name == word })
		if i >= 0 {
			node = node.Children[i]
		}
	}
	if last != nil {
		return enumOf(last.Value)
	}
	return append(followers(node), flagsOf(node)...)
}

// valueFlag is the flag that the word names, if a value follows it.
func valueFlag(node *kong.Node, word string) *kong.Flag {
	for _, group := range node.AllFlags(false) {
		for _, f := range group {
			named := word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short)
			if named && !f.IsBool() {
				return f
			}
		}
	}
	return nil
}

// followers are the commands below a command, or the values of its argument.
func followers(node *kong.Node) []string {
	var out []string
	for _, child := range node.Children {
		if !child.Hidden {
			out = append(out, child.Name)
		}
	}
	if len(out) == 0 && len(node.Positional) > 0 {
		return enumOf(node.Positional[0])
	}
	return out
}

func enumOf(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return v.EnumSlice()
}

func flagsOf(node *kong.Node) []string {
	var out []string
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			out = append(out, "--"+f.Name)
		}
	}
	return out
}
