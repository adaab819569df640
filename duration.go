package sandtrail

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a length of time for people: the units of
// time.ParseDuration and d (24 hours) and w (7 days), as in "90d", "1h30m",
// "2w". Negative lengths and bare numbers other than 0 are refused.
func ParseDuration(s string) (time.Duration, error) {
	bad := func() (time.Duration, error) {
		return 0, Errorf(CodeInvalid, "must be a duration such as 90d, 1h30m or 250ms, got %q", s)
	}
	if s == "0" {
		return 0, nil
	}
	total, rest := time.Duration(0), s
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		unitLen := len(rest[digits:]) - len(strings.TrimLeft(rest[digits:], "abcdefghijklmnopqrstuvwxyzµμ"))
		if digits == 0 || unitLen == 0 {
			return bad()
		}
		number, unit := rest[:digits], rest[digits:digits+unitLen]
		rest = rest[digits+unitLen:]
		part, err := parsePart(number, unit)
		if err != nil || total > math.MaxInt64-part {
			return bad()
		}
		total += part
	}
	if s == "" {
		return bad()
	}
	return total, nil
}

func parsePart(number, unit string) (time.Duration, error) {
	days := map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[unit]
	if days == 0 {
		return time.ParseDuration(number + unit)
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, err
	}
	if n*float64(days) >= math.MaxInt64 {
		return 0, fmt.Errorf("out of range")
	}
	return time.Duration(n * float64(days)), nil
}

// FormatDuration writes whole days as "90d" and everything else as Go does
// without trailing zero units ("1h30m").
func FormatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
