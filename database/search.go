package database

import (
	"bytes"
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/sandtrail/sandtrail"
)

const (
	// SearchTime is how long a store searches for text before a page fails with
	// CodeUnavailable.
	SearchTime = 10 * time.Second

	// SearchBudget is how many executions a page of a search for text looks at, each
	// of them counting once more for every SearchUnit bytes of metadata. A page that
	// ends there has fewer executions than its limit, and a cursor.
	SearchBudget = 100_000
	SearchUnit   = 512
)

// SearchCost is what looking at an execution takes from SearchBudget.
func SearchCost(metadata []byte) int { return 1 + len(metadata)/SearchUnit }

// Needle is a text to look for in metadata, ASCII case ignored, in time
// proportional to the metadata, whatever both consist of.
type Needle struct {
	lower []byte
}

// NewNeedle returns the needle of a filter's text.
func NewNeedle(text string) Needle { return Needle{lowerASCII([]byte(text))} }

// In reports whether metadata contains the text. Every metadata contains "".
func (n Needle) In(metadata []byte) bool {
	for rest := lowerASCII(metadata); ; {
		at := bytes.Index(rest, n.lower)
		if at < 0 {
			return false
		}
		// In what is not UTF-8, more of the last character may follow.
		if rest = rest[at+len(n.lower):]; len(n.lower) == 0 || n.lower[len(n.lower)-1] < utf8.RuneSelf ||
			len(rest) == 0 || utf8.RuneStart(rest[0]) {
			return true
		}
	}
}

// Search bounds a search for text by SearchTime. Where that ends it, the error
// says how to ask for less.
func Search[T any](ctx context.Context, search func(context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, SearchTime, errSearchTime)
	defer cancel()
	found, err := search(bounded)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(bounded), errSearchTime) {
		err = &sandtrail.Error{Code: sandtrail.CodeUnavailable, Message: errSearchTime.Error(), Err: err}
	}
	return found, err
}

var errSearchTime = errors.New("the search for text took longer than " + SearchTime.String() +
	": narrow it by time, user or strategy, or search for a longer text")

// Selects reports whether an execution belongs to a filter without Within.
func Selects(f sandtrail.Filter, e sandtrail.Execution) bool {
	return (f.UserID == "" || f.UserID == e.UserID) &&
		(f.StrategyID == "" || f.StrategyID == e.StrategyID) &&
		(f.Type == "" || f.Type == e.Type) &&
		(f.Success == nil || *f.Success == e.Success) &&
		(f.TimedOut == nil || *f.TimedOut == e.TimedOut) &&
		(f.Since.IsZero() || !e.CreatedAt.Before(f.Since)) && (f.Until.IsZero() || e.CreatedAt.Before(f.Until)) &&
		between(&e.ExecutionTime, f.MinTime, f.MaxTime) && between(e.MemoryUsed, f.MinMemory, f.MaxMemory) &&
		(f.Text == "" || NewNeedle(f.Text).In(e.Metadata))
}

// between reports whether a measure lies within limits; what was not measured
// lies within none.
func between(measure, least, most *int) bool {
	return (least == nil || measure != nil && *measure >= *least) && (most == nil || measure != nil && *measure <= *most)
}

func lowerASCII(text []byte) []byte {
	lower := make([]byte, len(text))
	for i, c := range text {
		if lower[i] = c; 'A' <= c && c <= 'Z' {
			lower[i] += 'a' - 'A'
		}
	}
	return lower
}
