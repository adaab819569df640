// Package ownerkey spells the keys that an application gives its users and
// strategies as the application's database spells them. Everywhere else keys
// are texts.
package ownerkey

import (
	"regexp"
	"strconv"
	"strings"
)

// Type is what distinguishes keys. The zero value is Text.
type Type int

// The types.
const (
	Text  Type = 0 // as it is
	UUID  Type = 1
	Int16 Type = 16
	Int32 Type = 32
	Int64 Type = 64
)

// Of is the type of the keys of a column, by its type in SQL.
func Of(sqlType string) Type {
	return map[string]Type{"uuid": UUID, "smallint": Int16, "integer": Int32, "bigint": Int64}[sqlType]
}

var uuid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// Canonical is an id as the column gives it back. What cannot be one of its
// ids at all comes back as it is, with false.
func (t Type) Canonical(id string) (string, bool) {
	switch t {
	case Text:
		return id, true
	case UUID:
		if !uuid.MatchString(id) {
			return id, false
		}
		return strings.ToLower(id), true
	}
	n, err := strconv.ParseInt(id, 10, int(t))
	if err != nil {
		return id, false
	}
	return strconv.FormatInt(n, 10), true
}

// Spell is Canonical for ids that are looked for.
func (t Type) Spell(id string) string {
	id, _ = t.Canonical(id)
	return id
}
