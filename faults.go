package sandtrail

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxFaults is how many faults one error lists; it counts the others.
const MaxFaults = 100

// Faults gathers the broken rules of a value, or of the elements of a batch, into
// one error. The zero value has none.
type Faults struct {
	fields []FieldError
	more   int
}

// Addf adds a fault at a path, worded as fmt.Sprintf does. Beyond MaxFaults faults
// are counted alone.
func (f *Faults) Addf(path, format string, args ...any) {
	if len(f.fields) >= MaxFaults {
		f.more++ // a caller that sends millions of faults gets no memory for them
		return
	}
	f.fields = append(f.fields, FieldError{path, fmt.Sprintf(format, args...)})
}

// Add takes the error of the element at a path. An error without fields is a fault
// of the element as a whole. nil adds none.
func (f *Faults) Add(path string, err error) {
	if err == nil {
		return
	}
	var e *Error
	if errors.As(err, &e) && len(e.Fields) > 0 {
		f.addAll(path, Faults{e.Fields, e.More})
		return
	}
	f.Addf(path, "%v", err)
}

// addAll adds the faults of a part that is at prefix.
func (f *Faults) addAll(prefix string, part Faults) {
	for i, field := range part.fields {
		if len(f.fields) >= MaxFaults {
			f.more += len(part.fields) - i
			break
		}
		f.fields = append(f.fields, FieldError{joinPath(prefix, field.Path), field.Message})
	}
	f.more += part.more
}

// Err is nil without faults, else an *Error of CodeInvalid.
func (f *Faults) Err(message string) error {
	if len(f.fields) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Message: message, Fields: f.fields, More: f.more}
}

// sort orders the faults by path, so that messages are stable.
func (f *Faults) sort() {
	slices.SortStableFunc(f.fields, func(a, b FieldError) int { return strings.Compare(a.Path, b.Path) })
}

// Key applies the rules of an identifier that an application chooses.
func (f *Faults) Key(path, value string) {
	switch {
	case value == "":
		f.Addf(path, "required")
	case strings.TrimFunc(value, unseen) == "":
		f.Addf(path, "must have a character that can be seen, got %q", value)
	default:
		f.OptionalKey(path, value)
	}
}

// OptionalKey applies the rules of an identifier that may be empty.
func (f *Faults) OptionalKey(path, value string) { f.text(path, value, MaxKeyBytes) }

// Name applies the rules of a name or reason: at most MaxNameBytes of UTF-8.
func (f *Faults) Name(path, value string) { f.text(path, value, MaxNameBytes) }

// newKey applies Key and refuses dots alone, which browsers and proxies take for a
// step up. An application may have such keys.
func (f *Faults) newKey(path, value string) {
	if value == "." || value == ".." {
		f.Addf(path, "must be more than dots, got %q", value)
		return
	}
	f.Key(path, value)
}

// unseen reports a blank, or a character that only formats others.
func unseen(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

func (f *Faults) text(path, value string, limit int) {
	switch {
	case len(value) > limit:
		f.Addf(path, "at most %d bytes, got %d", limit, len(value))
	case !utf8.ValidString(value):
		f.Addf(path, "not valid UTF-8")
	case strings.IndexByte(value, 0) >= 0:
		f.Addf(path, "contains a NUL character, which no store can hold")
	}
}
