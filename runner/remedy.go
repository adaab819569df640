package runner

import (
	"errors"
	"slices"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
	"github.com/sandtrail/sandtrail/remedy"
)

// maxAdvice bounds the commands that are offered at once.
const maxAdvice = 10

// advice offers the commands that mend an error, each on a line of its own to
// be pasted; "" where there are none.
func advice(err error) string {
	var e *sandtrail.Error
	if !errors.As(err, &e) || len(e.Remedies) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\nTo mend it:")
	for i, r := range e.Remedies {
		if i == maxAdvice {
			b.WriteString("\n  … and " + human.Count(int64(len(e.Remedies)-i)) + " more")
			break
		}
		b.WriteString("\n  " + RemedyCommand(r))
		if r.Note != "" {
			b.WriteString("   # " + r.Note)
		}
	}
	return b.String()
}

// RemedyCommand is a remedy as a command for a shell.
func RemedyCommand(r sandtrail.Remedy) string {
	words := append([]string{"sandtrail"}, map[sandtrail.Act][]string{
		remedy.Migrate:     {"migrate"},
		remedy.Verify:      {"verify"},
		remedy.Examine:     {"doctor"},
		remedy.Deliver:     {"outbox", "flush"},
		remedy.AddUser:     {"users", "add"},
		remedy.AddStrategy: {"strategies", "add"},
		remedy.AddKey:      {"keys", "create", "--role"},
	}[r.Act]...)
	for _, o := range r.Options {
		words = append(words, "--"+o.Name)
		if o.Value != "" {
			words = append(words, human.ShellWord(o.Value))
		}
	}
	return strings.Join(slices.Concat(words, named(r)), " ")
}

// named is what the act is done to, and what a person has to fill in.
func named(r sandtrail.Remedy) []string {
	word := human.ShellWord(r.Value)
	switch {
	case r.Value == "":
		return nil
	case strings.HasPrefix(r.Value, "-"): // no flag
		return append(slices.Clone(needed[r.Act]), "--", word)
	}
	return append([]string{word}, needed[r.Act]...)
}

// needed is what a person has to fill in.
var needed = map[sandtrail.Act][]string{
	remedy.AddUser:     {"--email", "ADDRESS"},
	remedy.AddStrategy: {"--name", "NAME"},
}
