package sandtrail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// UnmarshalJSON reads one execution in the form of docs/reference/record.md. Names are
// matched exactly, unknown and repeated fields are refused, and every fault
// is reported with its path, all at once. Values are only checked for their
// JSON type here; the rules are Admission's.
func (d *Draft) UnmarshalJSON(raw []byte) error {
	*d = Draft{}
	if !utf8.Valid(raw) {
		return &Error{Code: CodeInvalid, Message: "invalid execution", Fields: []FieldError{{"", "not valid UTF-8"}}}
	}
	members, err := objectMembers(raw)
	if err != nil {
		return &Error{Code: CodeInvalid, Message: "invalid execution", Fields: []FieldError{{"", err.Error()}}}
	}
	var p Faults
	for _, m := range members {
		d.setField(&p, m.name, m.value)
	}
	p.sort()
	for _, m := range members {
		switch m.name { // what reads add
		case "user":
			checkOwner(&p, m.name, m.value, d.UserID)
		case "strategy":
			checkOwner(&p, m.name, m.value, d.StrategyID)
		}
	}
	return p.Err("invalid execution")
}

func (d *Draft) setField(p *Faults, name string, value json.RawMessage) {
	null := string(value) == "null"
	switch name {
	case "id":
		if !null {
			var s string
			if setText(p, name, value, &s, "a UUID string") {
				id, err := ParseID(s)
				if err != nil {
					p.Addf(name, "%s, got %q", errBadID.Fields[0].Message, s)
				}
				d.ID = id
			}
		}
	case "userId":
		setText(p, name, value, &d.UserID, "a string")
	case "strategyId":
		setText(p, name, value, &d.StrategyID, "a string")
	case "executionType":
		setText(p, name, value, &d.Type, "VALIDATION or TERMINAL")
	case "success":
		d.Success = readBool(p, name, value)
	case "executionTime":
		d.ExecutionTime = readInt(p, name, value)
	case "memoryUsed":
		d.MemoryUsed = readInt(p, name, value)
	case "cpuUsage":
		d.CPUUsage = readNumber(p, name, value)
	case "timedOut":
		if timedOut := readBool(p, name, value); timedOut != nil {
			d.TimedOut = *timedOut
		}
	case "errorCount":
		d.ErrorCount = readInt(p, name, value)
	case "warningCount":
		d.WarningCount = readInt(p, name, value)
	case "classesFound":
		d.Classes = readClasses(p, name, value)
	case "metadata":
		if !null {
			d.Metadata = bytes.Clone(value) // the caller may use raw again
		}
	case "createdAt":
		if !null {
			d.CreatedAt = readTime(p, name, value)
		}
	case "user", "strategy", "ledger": // added by reads and exports
	default:
		p.Addf(name, "%s", unknownField(name))
	}
}

// checkOwner refuses an owner beside the record that contradicts it.
func checkOwner(p *Faults, name string, value json.RawMessage, id string) {
	var owner struct{ ID string }
	if err := json.Unmarshal(value, &owner); err != nil {
		p.Addf(name, "%s", wrongOwner(name, value))
	} else if owner.ID != id && string(value) != "null" {
		p.Addf(name+".id", "is %q, and %sId is %q: they must be the same", owner.ID, name, id)
	}
}

func setText[T ~string](p *Faults, path string, value json.RawMessage, into *T, want string) bool {
	text, err := unquote(value)
	if err != nil {
		p.Addf(path, "must be %s, got %s", want, abbreviate(value))
		return false
	}
	*into = T(text)
	return true
}

// unquote reads a string, which rarely needs more than its quotes taken off.
// null is the empty string.
func unquote(value json.RawMessage) (text string, err error) {
	if value[0] == '"' && bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil
	}
	err = json.Unmarshal(value, &text)
	return text, err
}

func readBool(p *Faults, path string, value json.RawMessage) *bool {
	switch string(value) {
	case "true":
		return new(true)
	case "false":
		return new(false)
	case "null":
	default:
		p.Addf(path, "must be true or false, got %s", abbreviate(value))
	}
	return nil
}

func readNumber(p *Faults, path string, value json.RawMessage) *float64 {
	if string(value) == "null" {
		return nil
	}
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		p.Addf(path, "must be a number or null, got %s", abbreviate(value))
		return nil
	}
	return &f
}

func readInt(p *Faults, path string, value json.RawMessage) *int {
	if string(value) == "null" {
		return nil
	}
	n, err := strconv.Atoi(string(value))
	if err != nil {
		// 12.0 and 1.2e3 are integers too, to JSON and to JavaScript.
		f, ferr := strconv.ParseFloat(string(value), 64)
		if ferr != nil || f != float64(int64(f)) || f > 1e15 || f < -1e15 {
			p.Addf(path, "must be an integer, got %s", abbreviate(value))
			return nil
		}
		n = int(f)
	}
	return &n
}

func readClasses(p *Faults, path string, value json.RawMessage) []string {
	if string(value) == "null" {
		return nil
	}
	if value[0] == '"' {
		text, err := unquote(value)
		if err == nil {
			return SplitClasses(&text)
		}
	}
	if value[0] == '[' {
		if classes, plain := plainTexts(value); plain {
			return classes
		}
	}
	classes := []string{}
	if err := json.Unmarshal(value, &classes); err != nil {
		p.Addf(path, "must be an array of strings, a comma-separated string or null, got %s", abbreviate(value))
	}
	return classes
}

// plainTexts reads an array of strings without escapes.
func plainTexts(array json.RawMessage) (texts []string, plain bool) {
	texts = []string{}
	if bytes.IndexByte(array, '\\') >= 0 {
		return nil, false
	}
	for element := range elements(array) {
		if element[0] != '"' {
			return nil, false
		}
		texts = append(texts, string(element[1:len(element)-1]))
	}
	return texts, true
}

// elements are those of an array, which is valid JSON.
func elements(array json.RawMessage) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		const between = ", \t\r\n"
		for rest := bytes.TrimLeft(array[1:], between); rest[0] != ']'; rest = bytes.TrimLeft(rest, between) {
			end := valueEnd(rest)
			if !yield(rest[:end:end]) {
				return
			}
			rest = rest[end:]
		}
	}
}

func readTime(p *Faults, path string, value json.RawMessage) time.Time {
	var s string
	if !setText(p, path, value, &s, "an RFC 3339 time such as 2026-11-24T09:30:00.000Z") {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	// RFC 3339 has neither the decimal comma nor the hour of one digit that
	// time.Parse takes.
	if err != nil || t.IsZero() || s[13] != ':' || strings.Contains(s, ",") {
		p.Addf(path, "must be an RFC 3339 time with zone such as 2026-11-24T09:30:00.000Z, got %q", s)
		return time.Time{}
	}
	return t
}

func abbreviate(value []byte) string {
	const limit = 60
	if len(value) <= limit {
		return string(value)
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(value[cut]) {
		cut--
	}
	return string(value[:cut]) + "…"
}

// member is a member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// objectMembers splits a JSON object into its members, sorted by name if one of
// them is not in names, and refuses repeated names, which parsers disagree about.
func objectMembers(raw []byte) ([]member, error) {
	if !json.Valid(raw) {
		return nil, wordSyntax(json.Unmarshal(raw, new(json.RawMessage)))
	}
	return validMembers(bytes.TrimSpace(raw))
}

// validMembers does that with valid JSON that begins with the value.
func validMembers(rest []byte) ([]member, error) {
	if rest[0] != '{' {
		return nil, errors.New("must be a JSON object")
	}
	members := make([]member, 0, 14) // as many fields as a record has
	var seen uint32
	sorted := false
	for rest = bytes.TrimLeft(rest[1:], " \t\r\n"); rest[0] != '}'; rest = bytes.TrimLeft(rest, ", \t\r\n") {
		end := valueEnd(rest)
		known := names[string(rest[:end])]
		if known.bit == 0 {
			var err error
			if known.text, err = unquote(rest[:end]); err != nil {
				return nil, wordSyntax(err)
			}
			sorted = true
		}
		if seen&known.bit != 0 {
			return nil, givenTwice(known.text)
		}
		seen |= known.bit
		rest = bytes.TrimLeft(rest[end:], ": \t\r\n")
		end = valueEnd(rest)
		members = append(members, member{known.text, rest[:end:end]})
		rest = rest[end:]
	}
	if !sorted {
		return members, nil
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(members); i++ {
		if name := members[i].name; name == members[i-1].name {
			return nil, givenTwice(name)
		}
	}
	return members, nil
}

func givenTwice(name string) error { return fmt.Errorf("the field %q is given twice", name) }

// name is one that most members have, and its bit among them.
type name struct {
	text string
	bit  uint32
}

// names are found by their JSON.
var names = func() map[string]name {
	known := map[string]name{}
	for i, text := range append([]string{"user", "strategy", "ledger", "run", "errors", "warnings"}, fields...) {
		known[`"`+text+`"`] = name{text, 1 << i}
	}
	return known
}()

// valueEnd is where the value ends that text, valid JSON, begins with.
func valueEnd(text []byte) int {
	for i, depth := 0, 0; ; i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++ // whatever is escaped, it does not end the string
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		default:
			if depth == 0 {
				return i + bytes.IndexAny(text[i:], ",}] \t\r\n")
			}
		}
	}
}

func wordSyntax(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("not valid JSON at byte %d: %w", syntax.Offset, err)
	}
	return fmt.Errorf("not valid JSON: %w", err)
}

// MarshalJSON writes the form that UnmarshalJSON reads; what was not given is
// left out.
func (d Draft) MarshalJSON() ([]byte, error) {
	form := struct {
		ID            string          `json:"id,omitempty"`
		UserID        string          `json:"userId"`
		StrategyID    string          `json:"strategyId"`
		Type          ExecutionType   `json:"executionType"`
		Success       *bool           `json:"success,omitempty"`
		ExecutionTime *int            `json:"executionTime,omitempty"`
		MemoryUsed    *int            `json:"memoryUsed"`
		CPUUsage      *float64        `json:"cpuUsage"`
		TimedOut      bool            `json:"timedOut"`
		ErrorCount    *int            `json:"errorCount,omitempty"`
		WarningCount  *int            `json:"warningCount,omitempty"`
		Classes       []string        `json:"classesFound"`
		Metadata      json.RawMessage `json:"metadata,omitempty"`
		CreatedAt     string          `json:"createdAt,omitempty"`
	}{
		UserID: d.UserID, StrategyID: d.StrategyID, Type: d.Type, Success: d.Success,
		ExecutionTime: d.ExecutionTime, MemoryUsed: d.MemoryUsed, CPUUsage: d.CPUUsage, TimedOut: d.TimedOut,
		ErrorCount: d.ErrorCount, WarningCount: d.WarningCount, Classes: d.Classes, Metadata: d.Metadata,
	}
	if !d.ID.IsZero() {
		form.ID = d.ID.String()
	}
	if !d.CreatedAt.IsZero() {
		form.CreatedAt = d.CreatedAt.UTC().Format(time.RFC3339Nano)
	}
	return EncodeJSON(form)
}
