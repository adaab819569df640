package sandtrail

import "strings"

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
	var p Faults
	p.newKey("id", u.ID)
	p.text("email", u.Email, MaxEmailBytes)
	if at := strings.IndexByte(u.Email, '@'); u.Email != "" && (at < 1 || at == len(u.Email)-1) {
		p.Addf("email", "must be an address such as ada@example.com, got %q", u.Email)
	}
	if u.Email == "" {
		p.Addf("email", "required")
	}
	if u.Name != nil {
		p.Name("name", *u.Name)
	}
	return p.Err("invalid user")
}

// Validate reports every broken rule as an *Error of CodeInvalid.
func (s Strategy) Validate() error {
	var p Faults
	p.newKey("id", s.ID)
	if s.Name == "" {
		p.Addf("name", "required")
	}
	p.Name("name", s.Name)
	return p.Err("invalid strategy")
}
