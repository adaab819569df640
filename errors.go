package sandtrail

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Code says what kind of error an [Error] is. Codes are stable: they travel
// over HTTP and decide exit statuses. A code is an error itself, so that
// errors.Is(err, CodeNotFound) finds each *Error of that code.
type Code string

// Error gives the code's name.
func (c Code) Error() string { return string(c) }

// The codes.
const (
	CodeInvalid      Code = "invalid"      // the input breaks a rule; Fields says which
	CodeNotFound     Code = "not_found"    // no such record, user, strategy, key
	CodeConflict     Code = "conflict"     // the id or e-mail is taken by something else
	CodeUnauthorized Code = "unauthorized" // no valid key
	CodeForbidden    Code = "forbidden"    // a valid key that may not do this
	CodeHeld         Code = "held"         // a legal hold or a finding refuses the removal
	CodeRateLimited  Code = "rate_limited" // too many requests; try again later
	CodeTooLarge     Code = "too_large"    // the request or record exceeds a limit
	CodeUnavailable  Code = "unavailable"  // the store or server cannot be reached now; retry
	CodeInternal     Code = "internal"     // a fault of ours
)

// Error is the one error type that crosses package boundaries with a meaning.
// Anything else that reaches an edge is an internal error.
type Error struct {
	Code    Code
	Message string       // what was wrong and what to do, for a person
	Fields  []FieldError // where, for CodeInvalid and CodeConflict; at most MaxFaults
	More    int          // how many further faults there are, which Fields leaves out
	// Private is what only the people who run the store may read, such as
	// where it is and what its driver said. Error tells it, Public does not.
	Private string
	// Remedies are the ways to mend it, where the program that asked can offer them.
	Remedies []Remedy
	Err      error // the cause, for logs; may be nil
}

// FieldError names one place in the input and what is wrong there.
type FieldError struct {
	// Path is the JSON path of the value, such as "executionTime",
	// "[3].metadata.errors[0].message"; "" is the value as a whole.
	Path    string `json:"path"`
	Message string `json:"message"`
}

// Errorf makes an Error with a message; %w sets the cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// Error gives what Public gives, then what is private.
func (e *Error) Error() string {
	if e.Private == "" {
		return e.Public()
	}
	return e.Public() + ": " + e.Private
}

// Public gives the message, then each field on the same line.
func (e *Error) Public() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for i, f := range e.Fields {
		switch {
		case i > 0:
			b.WriteString("; ")
		case e.Message != "":
			b.WriteString(": ")
		}
		if f.Path != "" {
			b.WriteString(f.Path + ": ")
		}
		b.WriteString(f.Message)
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "; and %d more", e.More)
	}
	if b.Len() == 0 {
		return string(e.Code)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether a target is the code of the error.
func (e *Error) Is(target error) bool { return target == error(e.Code) }

// CodeOf returns the code of the outermost *Error or Code in err's chain:
// CodeInternal for other errors, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	var c Code
	if errors.As(err, &c) {
		return c
	}
	return CodeInternal
}

// UnderPath prefixes every field path of an *Error in err's chain, so that a
// decoder of a larger document can say where the part stood.
func UnderPath(prefix string, err error) error {
	var e *Error
	if !errors.As(err, &e) || len(e.Fields) == 0 {
		return err
	}
	moved := *e
	moved.Fields = make([]FieldError, len(e.Fields))
	for i, f := range e.Fields {
		moved.Fields[i] = FieldError{joinPath(prefix, f.Path), f.Message}
	}
	return &moved
}

func joinPath(prefix, path string) string {
	switch {
	case prefix == "":
		return path
	case path == "":
		return prefix
	case path[0] == '[':
		return prefix + path
	}
	return prefix + "." + path
}

const inTheFuture = "in the future"

// Early reports whether the time alone was refused, because it is ahead of the clock
// of the machine that decided: the same execution is accepted later.
func (e *Error) Early() bool {
	return e.Code == CodeInvalid && len(e.Fields) > 0 && !slices.ContainsFunc(e.Fields, func(f FieldError) bool {
		return !strings.HasSuffix(f.Path, "createdAt") || !strings.Contains(f.Message, inTheFuture)
	})
}
