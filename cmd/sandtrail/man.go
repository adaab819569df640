package main

import (
	"bufio"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/sandtrail/sandtrail/runner"
)

type manCmd struct{}

// Examples shows how it is used.
func (manCmd) Examples() []string { return []string{"sandtrail man | man -l -"} }

// Run prints the manual page, made from the same commands and flags as the
// help is.
func (manCmd) Run(d *deps) error {
	p := &manual{Writer: bufio.NewWriter(d.out)}
	model := d.parser.Model
	p.line(`.TH SANDTRAIL 1 "" "` + roff(runner.BuildVersion()) + `" "User Commands"`)
	p.section("NAME", `sandtrail \- audit trail for code sandboxes`)
	p.section("SYNOPSIS", `.B sandtrail`, `.I command`, `[\fIflags\fR]`)
	p.section("DESCRIPTION", roff(model.Help))
	p.line(".SH FLAGS OF EVERY COMMAND")
	p.flags(model.Flags)
	p.line(".SH COMMANDS")
	for _, child := range model.Children {
		p.command(child)
	}
	p.section("EXIT STATUS", ".TP", "0", "Done.", ".TP", "1", "A finding: an alert fires, a check failed, a removal is refused.",
		".TP", "2", "Usage or input error.", ".TP", "3", "The store or server is out of reach.", ".PP", ".B sandtrail exec", "ends with the status of its command.")
	p.section("SEE ALSO", ".B sandtrail help", ".I command")
	return p.Flush()
}

// manual writes a page in the language of man.
type manual struct{ *bufio.Writer }

func (p *manual) line(text string) { _, _ = p.WriteString(text + "\n") } // Flush tells of errors

func (p *manual) section(title string, lines ...string) {
	p.line(".SH " + title)
	for _, text := range lines {
		p.line(text)
	}
}

func (p *manual) command(node *kong.Node) {
	if node.Hidden {
		return
	}
	for _, child := range node.Children {
		p.command(child)
	}
	if len(node.Children) > 0 {
		return
	}
	p.line(".SS " + roff(node.Summary()))
	p.line(roff(node.Help))
	if node.Detail != "" {
		p.line(".PP\n" + roff(node.Detail))
	}
	p.flags(node.Flags)
	if with, ok := node.Target.Addr().Interface().(examples); ok {
		p.line(".PP\nExamples:\n.nf")
		for _, example := range with.Examples() {
			p.line(roff(example))
		}
		p.line(".fi")
	}
}

func (p *manual) flags(flags []*kong.Flag) {
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		name := "--" + f.Name
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", " + name
		}
		if !f.IsBool() {
			name += "=" + f.FormatPlaceHolder()
		}
		p.line(".TP\n.B " + roff(name) + "\n" + roff(f.Help))
	}
}

// roff writes a text so that it stands on the page as it is.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n\n", "\n.PP\n").Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
