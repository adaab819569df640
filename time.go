package sandtrail

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Time is an instant whose text may be of any year: those beyond RFC 3339's
// have a sign and six digits, as in ISO 8601 and JavaScript. Other clients of a
// database can write such times.
type Time struct{ time.Time }

// isRFC3339 reports whether package time writes an instant as JSON.
func isRFC3339(t time.Time) bool { return 0 <= t.Year() && t.Year() <= 9999 }

// String is RFC 3339 in UTC, with fractions of a second as far as there are any.
func (t Time) String() string {
	utc := t.UTC()
	if isRFC3339(utc) {
		return utc.Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("%+07d", utc.Year()) + utc.Format("-01-02T15:04:05.999999999Z07:00")
}

// MarshalText is String.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON is String in quotes.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// UnmarshalText reads RFC 3339, and years with a sign and six digits.
func (t *Time) UnmarshalText(text []byte) (err error) {
	t.Time, err = parseTime(string(text))
	return err
}

// UnmarshalJSON reads what MarshalJSON writes; null leaves the time alone.
func (t *Time) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	return t.UnmarshalText([]byte(strings.Trim(string(raw), `"`)))
}

// parseTime reads RFC 3339, and years with a sign and six digits.
func parseTime(text string) (time.Time, error) {
	if len(text) < 7 || text[0] != '+' && text[0] != '-' {
		return time.Parse(time.RFC3339Nano, text)
	}
	year, err := strconv.Atoi(text[:7])
	if err != nil {
		return time.Time{}, fmt.Errorf("parse time %q: the year must have six digits after its sign", text)
	}
	t, err := time.Parse(time.RFC3339Nano, "2000"+text[7:]) // which has a 29th of February
	if err != nil {
		return time.Time{}, err
	}
	moved := t.AddDate(year-t.Year(), 0, 0)
	if moved.Day() != t.Day() {
		return time.Time{}, fmt.Errorf("parse time %q: the year has no such day", text)
	}
	return moved, nil
}

func timeOrNil(t *time.Time) *Time {
	if t == nil {
		return nil
	}
	return &Time{*t}
}
