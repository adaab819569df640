package sandtrail

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// minIDPrefix is how many hexadecimal digits of an id name it at least.
const minIDPrefix = 8

// IDPrefix is how the ids of some executions begin: what people type in place
// of a whole id.
type IDPrefix struct {
	Low, High ID // the first and the last id that begin so
}

// ParseIDPrefix reads the beginning of an id, at least minIDPrefix digits in
// either case, with the hyphens of the canonical form or without any.
func ParseIDPrefix(s string) (IDPrefix, error) {
	digits := strings.ReplaceAll(s, "-", "")
	if strings.Contains(s, "-") && !strings.HasPrefix(hyphenated(digits)+"-", s) || len(digits) < minIDPrefix || len(digits) > 32 {
		return IDPrefix{}, errBadIDPrefix
	}
	var p IDPrefix
	for bound, filler := range map[*ID]string{&p.Low: "0", &p.High: "f"} {
		if _, err := hex.Decode(bound[:], []byte(digits+strings.Repeat(filler, 32-len(digits)))); err != nil {
			return IDPrefix{}, errBadIDPrefix
		}
	}
	return p, nil
}

var errBadIDPrefix = &Error{
	Code: CodeInvalid,
	Fields: []FieldError{{"id", fmt.Sprintf(
		"must be a UUID such as 0192d3a4-7b1c-7def-8a90-1b2c3d4e5f60 or at least its first %d digits", minIDPrefix)}},
}

// hyphenated puts the hyphens of the canonical form between digits.
func hyphenated(digits string) string {
	var b strings.Builder
	for i, digit := range []byte(digits) {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			b.WriteByte('-')
		}
		b.WriteByte(digit)
	}
	return b.String()
}

// Whole is the id of a prefix that has all digits.
func (p IDPrefix) Whole() (id ID, whole bool) { return p.Low, p.Low == p.High }

// String gives the digits that all the ids have in common, in canonical form.
func (p IDPrefix) String() string {
	low, high := p.Low.String(), p.High.String()
	n := 0
	for n < len(low) && low[n] == high[n] {
		n++
	}
	return strings.TrimSuffix(low[:n], "-")
}
