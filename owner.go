package sandtrail

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the text that names people and strategies, in bytes.
const (
	MaxKeyBytes   = 255
	MaxEmailBytes = 320
	MaxNameBytes  = 1024
)

// User is the person or account on whose behalf code runs. Deleting a user
// deletes their executions.
type User struct {
	ID    string  `json:"id"`
	Email string  `json:"email"` // unique
	Name  *string `json:"name"`  // nil: not known
}

// Strategy is the piece of code that runs. Deleting a strategy deletes its
// executions.
type Strategy struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Validate reports every broken rule as an *Error of CodeInvalid.
func (u User) Validate() error {
	var p problems
	checkNewKey(&p, "id", u.ID)
	checkText(&p, "email", u.Email, MaxEmailBytes)
	if at := strings.IndexByte(u.Email, '@'); u.Email != "" && (at < 1 || at == len(u.Email)-1) {
		p.add("email", "must be an address such as ada@example.com, got %q", u.Email)
	}
	if u.Email == "" {
		p.add("email", "required")
	}
	if u.Name != nil {
		checkText(&p, "name", *u.Name, MaxNameBytes)
	}
	return p.err("invalid user")
}

// Validate reports every broken rule as an *Error of CodeInvalid.
func (s Strategy) Validate() error {
	var p problems
	checkNewKey(&p, "id", s.ID)
	if s.Name == "" {
		p.add("name", "required")
	}
	checkText(&p, "name", s.Name, MaxNameBytes)
	return p.err("invalid strategy")
}

// checkNewKey applies checkKey and refuses what an address cannot name, for
// browsers and proxies take it for a step up. An application may have it.
func checkNewKey(p *problems, path, value string) {
	if value == "." || value == ".." {
		p.add(path, "must be more than dots, got %q", value)
		return
	}
	checkKey(p, path, value)
}

// checkKey applies the rules of an identifier chosen by the application.
func checkKey(p *problems, path, value string) {
	switch {
	case value == "":
		p.add(path, "required")
	case strings.TrimFunc(value, unseen) == "":
		p.add(path, "must have a character that can be seen, got %q", value)
	default:
		checkText(p, path, value, MaxKeyBytes)
	}
}

// unseen reports a blank, or a character that only formats others.
func unseen(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

func checkText(p *problems, path, value string, limit int) {
	switch {
	case len(value) > limit:
		p.add(path, "at most %d bytes, got %d", limit, len(value))
	case !utf8.ValidString(value):
		p.add(path, "not valid UTF-8")
	case strings.IndexByte(value, 0) >= 0:
		p.add(path, "contains a NUL character, which no store can hold")
	}
}
