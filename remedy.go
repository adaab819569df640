package sandtrail

import "slices"

// Act is what mends an error.
type Act string

// Remedy is one way to mend an error. An error names the act; a program words
// it as its own command, button or call.
type Remedy struct {
	Act   Act
	Value string // the id of what is to be added
	// Options are those of the store's migration that the act takes, by the
	// names they have in Options, such as "adopt".
	Options []Option
	Note    string // what comes of it, where there is a choice
}

// Option is an option of an act; Value is "" for those that are on or off.
type Option struct{ Name, Value string }

// With adds remedies to an error, each once.
func (e *Error) With(remedies ...Remedy) *Error {
	for _, r := range remedies {
		if !slices.ContainsFunc(e.Remedies, r.same) {
			e.Remedies = append(e.Remedies, r)
		}
	}
	return e
}

func (r Remedy) same(other Remedy) bool {
	return r.Act == other.Act && r.Value == other.Value && slices.Equal(r.Options, other.Options)
}
