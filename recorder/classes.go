package recorder

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// PythonClasses lists the classes that a Python source declares at module
// level, in order, each once, without running it: the names that
// ast.parse(source).body holds as ClassDef. A source with errors gives what
// can be made out; one whose text cannot be told, because of its encoding
// (PEP 263), gives nil.
func PythonClasses(source []byte) []string {
	text, ok := decodePython(source)
	if !ok {
		return nil
	}
	s := scanner{src: text}
	classes := []string{}
	for s.at < len(s.src) {
		if name := s.logicalLine(); name != "" {
			classes = append(classes, name)
		}
	}
	return distinct(classes)
}

// distinct keeps the first of each name, in order.
func distinct(names []string) []string {
	seen, kept := make(map[string]bool, len(names)), make([]string, 0, len(names))
	for _, name := range names {
		if !seen[name] {
			seen[name], kept = true, append(kept, name)
		}
	}
	return kept
}

// scanner walks over Python source, knowing just enough of its lexis to tell
// where logical lines begin.
type scanner struct {
	src []byte
	at  int
}

func (s *scanner) peek(text string) bool { return bytes.HasPrefix(s.src[s.at:], []byte(text)) }

// logicalLine passes one logical line and returns the class it declares at
// module level, if any.
func (s *scanner) logicalLine() (class string) {
	if s.at < len(s.src) && s.src[s.at] == '\f' { // a form feed resets the indentation
		s.at++
	}
	if s.peek("class") {
		class = classAfter(s.src[s.at+len("class"):])
	}
	depth := 0
	for s.at < len(s.src) {
		switch c := s.src[s.at]; {
		case c == '#':
			s.skipComment()
		case c == '\\':
			s.at++
			s.skipNewline()
		case c == '\n' || c == '\r':
			s.skipNewline()
			if depth == 0 {
				return class
			}
		case c == '(' || c == '[' || c == '{':
			depth++
			s.at++
		case c == ')' || c == ']' || c == '}':
			depth = max(0, depth-1)
			s.at++
		case c == '"' || c == '\'':
			s.skipString(plain, 0)
		case isNameByte(c):
			s.skipWord(0)
		default:
			s.at++
		}
	}
	return class
}

// classAfter reads the name that follows the word class.
func classAfter(rest []byte) string {
	name := bytes.TrimLeft(rest, " \t\f")
	for {
		continued, ok := bytes.CutPrefix(name, []byte("\\\n"))
		if !ok {
			if continued, ok = bytes.CutPrefix(name, []byte("\\\r\n")); !ok {
				break
			}
		}
		name = bytes.TrimLeft(continued, " \t\f")
	}
	if len(name) == len(rest) {
		return "" // classes, class_
	}
	end := 0
	for end < len(name) {
		r, size := utf8.DecodeRune(name[end:])
		if !(r == '_' || unicode.IsLetter(r) || end > 0 && (unicode.IsDigit(r) || unicode.IsMark(r))) {
			break
		}
		end += size
	}
	return string(name[:end])
}

func (s *scanner) skipComment() {
	for s.at < len(s.src) && s.src[s.at] != '\n' && s.src[s.at] != '\r' {
		s.at++
	}
}

func (s *scanner) skipNewline() {
	switch {
	case s.peek("\r\n"):
		s.at += 2
	case s.peek("\n"), s.peek("\r"):
		s.at++
	}
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// skipWord passes a name or number, and the string of which it is the prefix.
func (s *scanner) skipWord(nesting int) {
	start := s.at
	for s.at < len(s.src) && isNameByte(s.src[s.at]) {
		s.at++
	}
	if s.at == len(s.src) || s.src[s.at] != '"' && s.src[s.at] != '\'' {
		return
	}
	switch strings.ToLower(string(s.src[start:s.at])) {
	case "f", "fr", "rf", "t", "tr", "rt":
		s.skipString(formatted, nesting)
	default: // another prefix, or a keyword such as in
		s.skipString(plain, nesting)
	}
}

// literal says whether fields in braces have a meaning in a string.
type literal int

const (
	plain literal = iota
	formatted
)

// skipString passes a string literal, from its opening quote on.
func (s *scanner) skipString(kind literal, nesting int) {
	quote := string(s.src[s.at])
	if s.peek(quote + quote + quote) {
		quote += quote + quote
	}
	s.at += len(quote)
	for s.at < len(s.src) && !s.endsLine(quote) {
		switch c := s.src[s.at]; {
		case c == '\\':
			s.skipEscape()
		case s.peek(quote):
			s.at += len(quote)
			return
		case kind == formatted && (s.peek("{{") || s.peek("}}")):
			s.at += 2
		case kind == formatted && c == '{' && nesting < maxNesting:
			s.at++
			s.skipField(quote, nesting+1)
		default:
			s.at++
		}
	}
}

// maxNesting bounds strings in the fields of formatted strings; Python's bound
// is 150.
const maxNesting = 150

// endsLine reports whether the string is broken off here: one in single quotes
// that meets the end of its line is an error in the source.
func (s *scanner) endsLine(quote string) bool {
	return len(quote) == 1 && (s.src[s.at] == '\n' || s.src[s.at] == '\r')
}

func (s *scanner) skipEscape() {
	s.at++
	if s.peek("\r\n") {
		s.at++
	}
	s.at++
}

// skipField passes the replacement field of a formatted string, from behind
// its opening brace to behind its closing one. Since Python 3.12 it may hold
// any expression, strings in the same quotes too.
func (s *scanner) skipField(quote string, nesting int) {
	depth := 0
	for s.at < len(s.src) && !s.endsLine(quote) {
		switch c := s.src[s.at]; {
		case c == '}' && depth == 0:
			s.at++
			return
		case c == ':' && depth == 0:
			s.at++
			s.skipFormat(quote, nesting)
			return
		case c == '#':
			s.skipComment()
		case c == '(' || c == '[' || c == '{':
			depth++
			s.at++
		case c == ')' || c == ']' || c == '}':
			depth--
			s.at++
		case c == '"' || c == '\'':
			s.skipString(plain, nesting)
		case isNameByte(c):
			s.skipWord(nesting)
		default:
			s.at++
		}
	}
}

// skipFormat passes the format of a field, to behind the field's closing brace.
func (s *scanner) skipFormat(quote string, nesting int) {
	for s.at < len(s.src) && !s.endsLine(quote) && !s.peek(quote) {
		switch c := s.src[s.at]; {
		case c == '}':
			s.at++
			return
		case c == '\\':
			s.skipEscape()
		case c == '{' && nesting < maxNesting:
			s.at++
			s.skipField(quote, nesting+1)
		default:
			s.at++
		}
	}
}
