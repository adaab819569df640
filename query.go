package sandtrail

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Page sizes.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
)

// Filter selects executions; zero fields select everything.
type Filter struct {
	UserID     string
	StrategyID string
	Type       ExecutionType
	Success    *bool
	TimedOut   *bool
	Since      time.Time     // inclusive
	Until      time.Time     // exclusive
	Within     time.Duration // Since = now − Within, fixed when the first page is read

	MinTime   *int   // executionTime ≥, milliseconds
	MaxTime   *int   // executionTime ≤, milliseconds
	MinMemory *int   // memoryUsed ≥, MiB
	MaxMemory *int   // memoryUsed ≤, MiB
	Text      string // metadata contains, ASCII case ignored
}

// Query is one page of a filter, newest first.
type Query struct {
	Filter Filter
	Limit  int    // 1 to MaxLimit; 0: DefaultLimit
	Cursor string // Page.NextCursor of the page before; "" starts
}

// Page has executions in the order (CreatedAt, ID), descending. A page of a search for
// text may have fewer than the limit, even none, and others behind its cursor: a store
// bounds the executions that one page looks at.
type Page struct {
	Items      []Execution
	NextCursor string // "" on the last page
}

// Position is a place in the order (CreatedAt, ID).
type Position struct {
	CreatedAt time.Time
	ID        ID
}

// Plan is a query with its defaults filled in: what a store runs.
type Plan struct {
	Filter Filter // Within is resolved into Since
	Limit  int
	After  *Position // executions strictly older than this; nil: from the newest

	bound [8]byte
}

// Plan checks the query and resolves its cursor. Faults are *Errors of
// CodeInvalid naming the field.
func (q Query) Plan(now time.Time) (Plan, error) {
	var p Faults
	f := q.Filter
	plan := Plan{Filter: f, Limit: q.Limit, bound: f.fingerprint()}
	if plan.Limit == 0 {
		plan.Limit = DefaultLimit
	}
	if plan.Limit < 1 || plan.Limit > MaxLimit {
		p.Addf("limit", "must be 1 to %d, got %d", MaxLimit, q.Limit)
	}
	if f.Type != "" && f.Type != Validation && f.Type != Terminal {
		p.Addf("executionType", "must be VALIDATION or TERMINAL, got %q", f.Type)
	}
	if f.Within < 0 {
		p.Addf("within", "must be a positive duration")
	}
	for path, text := range map[string]string{"userId": f.UserID, "strategyId": f.StrategyID, "text": f.Text} {
		p.Name(path, text)
	}
	plan.Filter.Since, plan.Filter.Until = CeilMillisecond(f.Since), CeilMillisecond(f.Until)
	if f.Within > 0 {
		plan.Filter.Within = 0
		if since := CeilMillisecond(now.Add(-f.Within)); since.After(f.Since) {
			plan.Filter.Since = since
		}
	}
	if plan.Filter.Until.Year() > maxYear {
		plan.Filter.Until = time.Time{} // no store has anything later
	}
	if q.Cursor != "" {
		if err := plan.resume(q.Cursor); err != nil {
			p.Addf("cursor", "%v", err)
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && f.Until.Before(f.Since) {
		p.Addf("until", "is before since")
	}
	p.sort()
	return plan, p.Err("invalid query")
}

// Cursor is the cursor for the page after the one that ended at last.
func (p Plan) Cursor(last Execution) string {
	b := append([]byte{cursorVersion}, p.bound[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(unixMilli(p.Filter.Since)))
	b = binary.BigEndian.AppendUint64(b, uint64(last.CreatedAt.UnixMilli()))
	b = append(b, last.ID[:]...)
	return base64.RawURLEncoding.EncodeToString(b)
}

const cursorVersion = 1

func (p *Plan) resume(cursor string) error {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) != 1+8+8+8+16 || b[0] != cursorVersion {
		return errBadCursor
	}
	if [8]byte(b[1:9]) != p.bound {
		return fmt.Errorf("belongs to another filter; start again without it")
	}
	p.Filter.Since = time.Time{}
	if since := int64(binary.BigEndian.Uint64(b[9:17])); since != noTime {
		p.Filter.Since = time.UnixMilli(since).UTC()
	}
	after := time.UnixMilli(int64(binary.BigEndian.Uint64(b[17:25]))).UTC()
	for _, t := range []time.Time{p.Filter.Since, after} {
		if t.Year() < minYear || t.Year() > maxYear {
			return errBadCursor
		}
	}
	p.After = &Position{CreatedAt: after, ID: ID(b[25:41])}
	return nil
}

var errBadCursor = errors.New("not a cursor of this service; start again without one")

const noTime = -1 << 63

// The years that a database's clients can write: PostgreSQL's.
const minYear, maxYear = -4713, 294276

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.UnixMilli()
}

// fingerprint binds a cursor to the filter as it was asked.
func (f Filter) fingerprint() [8]byte {
	deref := func(v any) string {
		switch v := v.(type) {
		case *bool:
			if v != nil {
				return fmt.Sprint(*v)
			}
		case *int:
			if v != nil {
				return fmt.Sprint(*v)
			}
		}
		return "-"
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %s %s %d %d %d %s %s %s %s %q",
		f.UserID, f.StrategyID, f.Type, deref(f.Success), deref(f.TimedOut),
		unixMilli(f.Since), unixMilli(f.Until), f.Within, deref(f.MinTime), deref(f.MaxTime), deref(f.MinMemory), deref(f.MaxMemory), f.Text))
	return [8]byte(sum[:8])
}

// OwnerQuery is one page of users or strategies, ordered by id ascending.
type OwnerQuery struct {
	Limit  int    // 1 to MaxLimit; 0: DefaultLimit
	Cursor string // OwnerPage.NextCursor of the page before; "" starts
}

// Next is the cursor for the page after the one that ended at an id. It
// is the id itself, but for an application's empty id and those that could be
// taken for it.
func (OwnerQuery) Next(last string) string {
	if last == "" || last[0] == '\\' {
		return `\` + last
	}
	return last
}

// After is the id that the page begins behind; nil: it begins with the first.
func (q OwnerQuery) After() *string {
	if q.Cursor == "" {
		return nil
	}
	return new(strings.TrimPrefix(q.Cursor, `\`))
}

// Plan checks the query and fills in its default.
func (q OwnerQuery) Plan() (OwnerQuery, error) {
	var p Faults
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		p.Addf("limit", "must be 1 to %d, got %d", MaxLimit, q.Limit)
	}
	p.text("cursor", q.Cursor, MaxMetadataBytes) // an application's ids may be longer than ours
	return q, p.Err("invalid query")
}
