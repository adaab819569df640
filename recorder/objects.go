package recorder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// search is what was found in an output: the last object that a test accepts,
// and why another that looks like one could not be read.
type search struct {
	found      map[string]json.RawMessage // nil: none
	unreadable string                     // "": nothing that looks like one was passed over
}

// object is a JSON object of an output that was read wholly.
type object struct {
	members map[string]json.RawMessage
	end     int // behind its closing brace
}

// searcher looks for the outermost JSON objects of an output in one pass: where
// an object breaks off, the search goes on there, and nothing is looked at
// twice. What stands inside of a broken object is not trusted: it is forgotten
// when that ends.
type searcher struct {
	output    []byte
	truncated bool     // the beginning of the output is missing
	keys      [][]byte // in quotes, of which one is in every object that is looked for
	accepts   func(members map[string]json.RawMessage) (yes bool, objection string)

	sure, inside map[string]json.RawMessage // found outside, and inside of broken objects
	pending      int                        // open braces of broken objects
	brokenFrom   int                        // where a broken object began that is not accounted for; -1: none
	last         int                        // where the last character is
	why          string                     // of the first that could not be read
}

// withoutEscapes leaves out the sequences that colour a terminal.
func withoutEscapes(output []byte) []byte {
	plain := make([]byte, 0, len(output))
	for {
		at := bytes.Index(output, []byte("\x1b["))
		if at < 0 {
			return append(plain, output...)
		}
		plain = append(plain, output[:at]...)
		output = output[at:]
		length := escapeLength(output)
		if length == 0 {
			plain, output = append(plain, output[0]), output[1:]
		}
		output = output[length:]
	}
}

// escapeLength is the length of the control sequence that an output begins
// with; 0: it is none.
func escapeLength(output []byte) int {
	at := len("\x1b[")
	for at < len(output) && bytes.IndexByte([]byte("0123456789;:?"), output[at]) >= 0 {
		at++
	}
	for at < len(output) && ' ' <= output[at] && output[at] <= '/' {
		at++
	}
	if at == len(output) || output[at] < '@' || output[at] > '~' {
		return 0
	}
	return at + 1
}

func (s *searcher) search() search {
	if bytes.IndexByte(s.output, 0x1b) >= 0 {
		s.output = withoutEscapes(s.output)
	}
	s.brokenFrom, s.last = -1, len(bytes.TrimSpace(s.output))-1
	for at := 0; ; {
		next := bytes.IndexAny(s.output[at:], "{}")
		if next < 0 {
			break
		}
		if at += next; s.output[at] == '}' {
			s.closes(at)
			at++
			continue
		}
		at = s.object(at)
	}
	s.account(len(s.output), "it breaks off")
	if s.inside != nil {
		s.sure = s.inside
	}
	return search{s.sure, s.why}
}

// object reads the object that begins here and returns where to go on.
func (s *searcher) object(begin int) (next int) {
	o, broken := readObject(s.output, begin)
	if broken != nil {
		if s.brokenFrom < 0 {
			s.brokenFrom = begin
		}
		s.pending += broken.open
		return broken.at
	}
	s.account(begin, "it is not JSON")
	yes, objection := s.accepts(o.members)
	switch {
	case objection != "":
		s.note(objection)
	case yes && s.pending > 0:
		s.inside = o.members
	case yes:
		s.sure, s.inside = o.members, nil
	}
	return o.end
}

// closes takes note of a brace that ends no object that could be read.
func (s *searcher) closes(at int) {
	switch {
	case s.pending > 0:
		s.pending--
		if s.inside != nil {
			s.inside = nil
			s.note("it stands inside of an object that is not JSON")
		}
	case s.truncated && (s.sure != nil || at == s.last):
		s.sure = nil
		s.note(tooLong)
	}
}

var tooLong = fmt.Sprintf("its beginning is not in the last %d MiB of the output", maxVerdictBytes>>20)

// account looks whether a broken object, which may reach up to here, looks like
// one that is looked for.
func (s *searcher) account(end int, why string) {
	if s.brokenFrom >= 0 && s.looksAlike(s.output[s.brokenFrom:end]) {
		s.note(why)
	}
	s.brokenFrom = -1
}

func (s *searcher) looksAlike(text []byte) bool {
	return slices.ContainsFunc(s.keys, func(key []byte) bool { return bytes.Contains(text, key) })
}

func (s *searcher) note(why string) {
	if s.why == "" {
		s.why = why
	}
}

// broken is where an object stopped being one.
type broken struct {
	at   int // always behind its beginning
	open int // braces
}

// maxDepth bounds how deep objects and arrays may stand in each other.
const maxDepth = 1000

// readObject reads the object that begins with the brace at begin. NaN and
// Infinity, which Python writes, are taken for texts.
func readObject(text []byte, begin int) (object, *broken) {
	r := reader{text: text, at: begin}
	if !r.value() {
		return object{}, &broken{r.at, bytes.Count(r.stack, []byte("{"))}
	}
	raw := text[begin:r.at]
	if len(r.notNumbers) > 0 {
		raw = bytes.Clone(raw)
		for _, at := range r.notNumbers {
			word := raw[at.from-begin : at.to-begin]
			copy(word, strings.Repeat(" ", len(word)))
			copy(word, `""`)
		}
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return object{}, &broken{r.at, 0} // a number such as 01, an escape such as \x
	}
	return object{members, r.at}, nil
}

// reader passes over one JSON value, without recursion.
type reader struct {
	text       []byte
	at         int
	stack      []byte // open braces and brackets
	notNumbers []span // where NaN and Infinity stand
}

// span is a part of a text.
type span struct{ from, to int }

// value passes over the value that begins here, and reports whether it is whole.
func (r *reader) value() bool {
	for wantsValue := true; ; {
		r.skipSpace()
		if wantsValue {
			opened, ok := r.begin()
			if !ok {
				return false
			}
			if opened && !r.closed() {
				if !r.key() {
					return false
				}
				continue
			}
		}
		if len(r.stack) == 0 {
			return true
		}
		r.skipSpace()
		var ok bool
		if wantsValue, ok = r.separator(); !ok {
			return false
		}
	}
}

// begin passes over a scalar, or over what opens an object or array.
func (r *reader) begin() (opened, ok bool) {
	switch c := r.peek(); {
	case c == '{' || c == '[':
		if len(r.stack) == maxDepth {
			return false, false
		}
		r.stack = append(r.stack, c)
		r.at++
		return true, true
	case c == '"':
		return false, r.str()
	default:
		return false, r.word()
	}
}

// closed passes over the end of an object or array that holds nothing.
func (r *reader) closed() bool {
	r.skipSpace()
	if r.peek() != r.stack[len(r.stack)-1]+2 { // { and }, [ and ] are two apart
		return false
	}
	r.pop()
	return true
}

func (r *reader) pop() {
	r.stack = r.stack[:len(r.stack)-1]
	r.at++
}

// key passes over the name of a member, in an object.
func (r *reader) key() bool {
	if r.stack[len(r.stack)-1] == '[' {
		return true
	}
	r.skipSpace()
	if r.peek() != '"' || !r.str() {
		return false
	}
	r.skipSpace()
	if r.peek() != ':' {
		return false
	}
	r.at++
	return true
}

// separator passes over what follows a value, and reports whether another one
// comes.
func (r *reader) separator() (another, ok bool) {
	switch c := r.peek(); {
	case c == ',':
		r.at++
		return true, r.key()
	case c == r.stack[len(r.stack)-1]+2:
		r.pop()
		return false, true
	}
	return false, false
}

// str passes over a text, which holds no control characters.
func (r *reader) str() bool {
	for r.at++; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return true
		case c < ' ':
			return false
		case c == '\\':
			r.at++
		}
	}
	r.at = min(r.at, len(r.text))
	return false
}

// word passes over a number or a literal; whether it is one is seen later.
func (r *reader) word() bool {
	begin := r.at
	for r.at < len(r.text) && (isNameByte(r.text[r.at]) && r.text[r.at] < 0x80 || strings.IndexByte("+-.", r.text[r.at]) >= 0) {
		r.at++
	}
	switch word := string(r.text[begin:min(r.at, begin+len("-Infinity")+1)]); word {
	case "":
		return false
	case "NaN", "Infinity", "-Infinity":
		r.notNumbers = append(r.notNumbers, span{begin, r.at})
		return true
	case "true", "false", "null":
		return true
	default:
		return strings.IndexByte("-0123456789", word[0]) >= 0
	}
}

func (r *reader) skipSpace() {
	for r.at < len(r.text) && strings.IndexByte(" \t\r\n", r.text[r.at]) >= 0 {
		r.at++
	}
}

// peek is the next byte, 0 at the end.
func (r *reader) peek() byte {
	if r.at == len(r.text) {
		return 0
	}
	return r.text[r.at]
}
