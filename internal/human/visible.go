package human

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible shows a text in one line. Characters that move a terminal's cursor,
// change its state, hide or reorder text or pile up on a letter stand as the
// escapes of JSON: records are written by others than those who read them.
func Visible(s string) string {
	s, _ = visible(s, "", 0)
	return s
}

// VisibleLines is Visible for a text that may have lines and tabs.
func VisibleLines(s string) string {
	s, _ = visibleLines(s, 0)
	return s
}

func visibleLines(s string, marks int) (string, int) {
	return visible(strings.ReplaceAll(s, "\r\n", "\n"), "\n\t", marks)
}

// maxMarks is how many marks may combine with a letter. No script needs more;
// more are drawn across the lines around them.
const maxMarks = 12

// visible begins after a text that ended in so many marks, and counts those at
// the end of s.
func visible(s, keep string, marks int) (string, int) {
	var b strings.Builder
	done := 0 // s up to done is in b, unless b is empty
	for i, r := range s {
		if marks++; r < 0x300 || !unicode.In(r, unicode.Mn, unicode.Me) {
			marks = 0
		}
		if marks <= maxMarks && !hidden(r) || strings.ContainsRune(keep, r) {
			continue
		}
		b.WriteString(s[done:i])
		b.WriteString(escape(r))
		done = i + utf8.RuneLen(r)
	}
	if done == 0 {
		return s, marks
	}
	return b.String() + s[done:], marks
}

// Hidden reports whether s has characters that VisibleLines does not leave as
// they are.
func Hidden(s string) bool { return VisibleLines(s) != s }

// hidden reports whether a character is control (C0, DEL, C1), formatting
// (such as overrides of the direction) or another line's end. The two joiners
// are parts of words and of emoji.
func hidden(r rune) bool {
	const joiner, nonJoiner = '\u200d', '\u200c'
	if r >= ' ' && r < 0x7f {
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && r != joiner && r != nonJoiner
}

func escape(r rune) string {
	switch r {
	case '\n':
		return `\n`
	case '\t':
		return `\t`
	case '\r':
		return `\r`
	}
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// VisibleWriter passes on what is written as VisibleLines shows it. JSON stays
// the same JSON, as its strings may be escaped so.
func VisibleWriter(w io.Writer) io.Writer { return &visibleWriter{to: w} }

type visibleWriter struct {
	to    io.Writer
	part  []byte // the beginning of a character or line end whose end is to come
	marks int    // on the last letter passed on
}

func (v *visibleWriter) Write(p []byte) (int, error) {
	text := append(v.part, p...)
	whole := len(text)
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if utf8.RuneStart(text[len(text)-i]) {
			if !utf8.FullRune(text[len(text)-i:]) {
				whole = len(text) - i
			}
			break
		}
	}
	if whole == len(text) && whole > 0 && text[whole-1] == '\r' {
		whole--
	}
	shown, marks := visibleLines(string(text[:whole]), v.marks)
	v.part, v.marks = append([]byte(nil), text[whole:]...), marks
	if _, err := io.WriteString(v.to, shown); err != nil {
		return 0, err
	}
	return len(p), nil
}
