// Package human writes figures the way people read them, on the command line
// and on the page.
package human

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// None stands for what was not measured or cannot be told.
const None = "–"

// Count writes a number with its thousands apart: 12,345.
func Count(n int64) string { return group(strconv.FormatInt(n, 10)) }

// group parts the thousands of a whole number's digits.
func group(digits string) string {
	start := len(digits) - len(strings.TrimPrefix(digits, "-"))
	for i := len(digits) - 3; i > start; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Plural writes a count with its noun: "1 record", "2,000 records".
func Plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(n) + " " + noun + "s"
}

// Millis writes a length of time given in milliseconds.
func Millis(ms float64) string {
	const longest = float64(math.MaxInt64 / time.Millisecond)
	switch {
	case ms > 0 && ms < 0.1:
		return "<0.1 ms"
	case ms < 9.95:
		return number(ms, 1) + " ms"
	case ms < 999.5:
		return number(ms, 0) + " ms"
	case ms < 9_995:
		return number(ms/1000, 2) + " s"
	case ms < 59_950:
		return number(ms/1000, 1) + " s"
	case ms > longest:
		return number(ms/float64(24*time.Hour/time.Millisecond), 0) + " d"
	}
	return long(time.Duration(ms * float64(time.Millisecond)).Round(time.Second))
}

// long writes a minute and more in its two largest units.
func long(d time.Duration) string {
	const day = 24 * time.Hour
	for _, u := range []struct {
		length, part time.Duration
		name, of     string
	}{{day, time.Hour, "d", "h"}, {time.Hour, time.Minute, "h", "min"}, {time.Minute, time.Second, "min", "s"}} {
		if d >= u.length {
			return fmt.Sprintf("%s %s %d %s", Count(int64(d/u.length)), u.name, d%u.length/u.part, u.of)
		}
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// MiB writes an amount of memory given in MiB.
func MiB(n float64) string {
	if n == 0 {
		return "0 MiB"
	}
	return bytes(n * (1 << 20))
}

// Seconds writes an amount of CPU time given in seconds.
func Seconds(s float64) string { return Millis(1000 * s) }

// MiBSeconds writes memory × time given in MiB × seconds.
func MiBSeconds(n float64) string { return MiB(n) + "·s" }

// Bytes writes an amount of memory or the size of a file.
func Bytes(n int64) string { return bytes(float64(n)) }

func bytes(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	unit := units[0]
	for _, unit = range units {
		if n < 999.5 || unit == "PiB" {
			break
		}
		n /= 1024
	}
	decimals := 0
	if n < 99.95 {
		decimals = 1
	}
	return number(n, decimals) + " " + unit
}

// Percent writes a percentage. Only what is nothing is 0 % and only what is
// all is 100 %.
func Percent(p float64) string {
	switch {
	case p > 0 && p < 0.1:
		return "<0.1 %"
	case p > 99.9 && p < 100:
		return "99.9 %"
	case p >= 100: // CPU of several cores
		return number(p, 0) + " %"
	}
	return number(p, 1) + " %"
}

// Number writes a mean or another fraction.
func Number(n float64) string { return number(n, 2) }

// Opt applies a writer to a value that may be absent.
func Opt(value *float64, write func(float64) string) string {
	if value == nil {
		return None
	}
	return write(*value)
}

// OptInt is Opt for integers.
func OptInt(value *int, write func(float64) string) string {
	if value == nil {
		return None
	}
	return write(float64(*value))
}

// Ago says how long before or after now t is.
func Ago(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case d <= -5*time.Second:
		return "in " + Span(-max(d, -math.MaxInt64)) // as times too far apart differ by the most there is
	case d < 5*time.Second:
		return "just now"
	}
	return Span(d) + " ago"
}

// Span writes a length of time in its largest unit.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return Count(int64(d/day)) + " d"
}

// Time writes an instant in UTC to the second.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// number writes a number with up to so many decimals, without trailing zeros
// and its thousands apart.
func number(f float64, decimals int) string {
	const exact = 1e15 // more digits than a float64 has would be made up
	if math.Abs(f) >= exact {
		return strconv.FormatFloat(f, 'g', 3, 64)
	}
	scale := math.Pow10(decimals)
	whole, fraction, parted := strings.Cut(strconv.FormatFloat(math.Round(f*scale)/scale, 'f', -1, 64), ".")
	if parted {
		fraction = "." + fraction
	}
	return group(whole) + fraction
}
