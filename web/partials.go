package web

import (
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/auth"
	"github.com/sandtrail/sandtrail/internal/human"
)

// functions are what templates can call beside methods.
func functions(files *assets) template.FuncMap {
	return template.FuncMap{
		"asset": files.url,
		"count": human.Count, "percent": formatPercent, "millis": formatMillis, "memory": formatMemory,
		"cputime": formatCPUTime, "memorytime": formatMemoryTime,
		"mean": formatMean, "plural": func(n int, word string) string { return plural(n, word) }, "lower": strings.ToLower,
		"int":    func(n int) int64 { return int64(n) },
		"choose": func(condition, yes, no string) string { return map[bool]string{true: yes, false: no}[condition != ""] },
		"item":   navItem, "ranking": newRanking, "field": newField, "invalid": invalid, "within": withinChoices,
		"bytes": formatBytes, "number": func(n int64) int { return int(n) }, "verify": verifyCommand, "roles": roleChoices, "receipt": receiptCommand,
		"keyed": func(n node, index int) node { n.Key = strconv.Itoa(index); return n },
	}
}

// verifyCommand ends a command with the keys to be trusted.
func verifyCommand(keys []string, command string) string {
	for _, key := range keys {
		command += " --public-key " + key
	}
	return command
}

func receiptCommand(id sandtrail.ID) string {
	return "sandtrail verify --receipt receipt-" + id.String() + ".json"
}

type roleChoice struct {
	Value auth.Role
	Label string
}

// roleChoices are what a key may do; the first key must be an administrator's,
// as no other key can make the next.
func roleChoices(first bool) []roleChoice {
	admin := roleChoice{auth.RoleAdmin, "everything (admin)"}
	if first {
		return []roleChoice{admin}
	}
	return []roleChoice{
		{auth.RoleIngest, "write only (ingest)"},
		{auth.RoleRead, "read"},
		{auth.RoleAuditor, "read, verify, audit (auditor)"},
		admin,
	}
}

type navLink struct {
	Href, Label string
	Current     bool
}

// navItem takes the page's data, which embeds its frame.
func navItem(page interface{ section() string }, section, href, label string) navLink {
	return navLink{Href: href, Label: label, Current: page.section() == section}
}

func (f *frame) section() string { return f.Section }

type rankingPart struct {
	Subject string
	Rows    []rankRow
}

func newRanking(subject any, rows []rankRow) rankingPart {
	if s, ok := subject.(sandtrail.Subject); ok {
		return rankingPart{string(s), rows}
	}
	return rankingPart{subject.(string), rows}
}

// textField is one input of the filter.
type textField struct {
	Name, Label, Value, Example string
	Bad                         bool
}

func newField(p executionsPage, name, label, value, example string) textField {
	return textField{name, label, value, example, p.Problems[name] != ""}
}

// invalid words the problems of the filter's fields.
func invalid(problems map[string]string) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(problems)) {
		if name != "" && name != "cursor" {
			lines = append(lines, name+": "+problems[name])
		}
	}
	return lines
}

// withinChoices are the lengths offered, and the one that is in use.
func withinChoices(current string) []string {
	choices := []string{"15m", "1h", "24h", "7d", "30d", "90d"}
	if current != "" && !slices.Contains(choices, current) {
		choices = append(choices, current)
	}
	return choices
}
