// Package human writes figures the way people read them.
package human

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// None stands for what was not measured or cannot be told.
const None = "–"

// Count writes a number with its thousands apart: 12,345.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
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
	switch {
	case ms < 10 && ms != math.Trunc(ms):
		return trim(ms, 1) + " ms"
	case ms < 999.5:
		return trim(ms, 0) + " ms"
	case ms < 59_995:
		return trim(ms/1000, 2) + " s"
	}
	d := time.Duration(ms * float64(time.Millisecond)).Round(time.Second)
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// MiB writes an amount of memory given in MiB.
func MiB(n float64) string {
	switch {
	case n < 1024:
		return trim(n, 1) + " MiB"
	case n < 1024*1024:
		return trim(n/1024, 1) + " GiB"
	}
	return trim(n/1024/1024, 1) + " TiB"
}

// Percent writes a percentage.
func Percent(p float64) string { return trim(p, 1) + " %" }

// Number writes a mean or another fraction.
func Number(n float64) string { return trim(n, 2) }

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

// Ago says how long before now t is.
func Ago(now, t time.Time) string {
	d := now.Sub(t)
	if d < 0 {
		return "in " + span(-d)
	}
	if d < time.Second {
		return "now"
	}
	return span(d) + " ago"
}

func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/day)
}

// Time writes an instant in UTC to the second.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// trim writes a number with up to so many decimals, without trailing zeros.
func trim(f float64, decimals int) string {
	scale := math.Pow10(decimals)
	return strconv.FormatFloat(math.Round(f*scale)/scale, 'f', -1, 64)
}

// Bytes writes an amount of memory; 0 is None.
func Bytes(n int) string {
	switch {
	case n == 0:
		return None
	case n < 1024:
		return fmt.Sprintf("%d bytes", n)
	case n < 1024*1024:
		return trim(float64(n)/1024, 1) + " KiB"
	}
	return MiB(float64(n) / 1024 / 1024)
}
