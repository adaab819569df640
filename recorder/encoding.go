package recorder

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// codingIn is the encoding that a line declares in a comment (PEP 263); "": none.
func codingIn(line []byte) string {
	comment, is := bytes.CutPrefix(bytes.TrimLeft(line, " \t\f"), []byte("#"))
	for is {
		var found bool
		if _, comment, found = bytes.Cut(comment, []byte("coding")); !found || len(comment) == 0 {
			return ""
		}
		if comment[0] != ':' && comment[0] != '=' {
			continue
		}
		name := bytes.TrimLeft(comment[1:], " \t")
		rest := bytes.TrimLeft(name, "-_.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
		if len(rest) < len(name) {
			return string(name[:len(name)-len(rest)])
		}
	}
	return ""
}

// decodePython returns a source in UTF-8 without its byte order mark. It reads
// UTF-8, Latin-1, and whatever is plain ASCII in an encoding that extends it.
func decodePython(source []byte) (text []byte, ok bool) {
	text, marked := bytes.CutPrefix(source, []byte("\xef\xbb\xbf"))
	switch encoding := declaredEncoding(text); {
	case encoding == "utf-8":
		return text, utf8.Valid(text)
	case marked:
		return nil, false // they contradict each other
	case isLatin1(encoding):
		runes := make([]rune, len(text))
		for i, b := range text {
			runes[i] = rune(b)
		}
		return []byte(string(runes)), true
	default:
		return text, extendsASCII(encoding) && !slices.ContainsFunc(text, func(b byte) bool { return b >= utf8.RuneSelf })
	}
}

// declaredEncoding reads the first two lines; the second counts only where the
// first is blank or a comment.
func declaredEncoding(text []byte) string {
	for range 2 {
		line := text
		if end := bytes.IndexAny(text, "\r\n"); end >= 0 {
			line, text = text[:end], bytes.TrimPrefix(bytes.TrimPrefix(text[end:], []byte("\r")), []byte("\n"))
		} else {
			text = nil
		}
		if found := codingIn(line); found != "" {
			name := strings.ReplaceAll(strings.ToLower(found), "_", "-")
			if name == "utf8" || name == "u8" || name == "utf-8" || strings.HasPrefix(name, "utf-8-") {
				return "utf-8"
			}
			return name
		}
		if rest := bytes.TrimLeft(line, " \t\f"); len(rest) > 0 && rest[0] != '#' {
			break
		}
	}
	return "utf-8"
}

func isLatin1(encoding string) bool {
	return slices.ContainsFunc([]string{"latin-1", "iso-8859-1", "iso-latin-1"}, func(name string) bool {
		return encoding == name || strings.HasPrefix(encoding, name+"-")
	}) || slices.Contains([]string{"latin1", "l1", "iso8859-1", "8859"}, encoding)
}

func extendsASCII(encoding string) bool {
	return slices.ContainsFunc([]string{
		"ascii", "us-ascii", "iso-8859-", "iso8859-", "latin", "windows-125", "cp125", "cp437", "cp85", "cp86", "koi8-", "mac-",
		"euc-", "gbk", "gb2312", "gb18030", "big5", "cp93", "cp94", "cp95", "tis-620",
	}, func(prefix string) bool { return strings.HasPrefix(encoding, prefix) })
}
