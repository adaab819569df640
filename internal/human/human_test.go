package human

import (
	"math"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	now := time.Date(2026, 11, 24, 15, 20, 0, 0, time.UTC)
	for _, test := range []struct{ got, want string }{
		{Count(0), "0"},
		{Count(999), "999"},
		{Count(-1000), "-1,000"},
		{Count(-100), "-100"},
		{Count(2147483647), "2,147,483,647"},
		{Count(math.MinInt64), "-9,223,372,036,854,775,808"},
		{Plural(1, "error"), "1 error"},
		{Plural(1200, "error"), "1,200 errors"},
		{Percent(0), "0 %"},
		{Percent(0.04), "<0.1 %"},
		{Percent(33.333), "33.3 %"},
		{Percent(99.97), "99.9 %"},
		{Percent(100), "100 %"},
		{Percent(1600.25), "1,600 %"},
		{Percent(math.MaxFloat64), "1.8e+308 %"},
		{Millis(0), "0 ms"},
		{Millis(0.04), "<0.1 ms"},
		{Millis(0.3), "0.3 ms"},
		{Millis(9.97), "10 ms"},
		{Millis(842.4), "842 ms"},
		{Millis(999.6), "1 s"},
		{Millis(3262), "3.26 s"},
		{Millis(9999), "10 s"},
		{Millis(12345), "12.3 s"},
		{Millis(30_000), "30 s"},
		{Millis(59_999), "1 min 0 s"},
		{Millis(61_000), "1 min 1 s"},
		{Millis(2 * 3_600_000), "2 h 0 min"},
		{Millis(math.MaxInt32), "24 d 20 h"},
		{Millis(1e14), "1,157,407 d"},
		{Millis(1e308), "1.16e+300 d"},
		{Millis(-math.MaxFloat64), "-1.8e+308 ms"},
		{MiB(0), "0 MiB"},
		{MiB(0.25), "256 KiB"},
		{MiB(64), "64 MiB"},
		{MiB(1536), "1.5 GiB"},
		{MiB(2048), "2 GiB"},
		{MiBSeconds(0), "0 MiB·s"},
		{MiBSeconds(0.05), "51.2 KiB·s"},
		{MiBSeconds(3072), "3 GiB·s"},
		{Seconds(0.505), "505 ms"},
		{Seconds(90_000), "1 d 1 h"},
		{MiB(math.MaxInt32), "2 PiB"},
		{Bytes(0), "0 B"},
		{Bytes(510), "510 B"},
		{Bytes(1000), "1 KiB"},
		{Bytes(math.MaxInt64), "8,192 PiB"},
		{Number(0.126), "0.13"},
		{Number(1), "1"},
		{Opt(nil, Percent), None},
		{OptInt(nil, MiB), None},
		{Ago(now, now), "just now"},
		{Ago(now, now.Add(-59*time.Second)), "59 s ago"},
		{Ago(now, now.Add(-61*time.Minute)), "1 h ago"},
		{Ago(now, now.Add(-50*time.Hour)), "2 d ago"},
		{Ago(now, now.Add(3*time.Minute)), "in 3 min"},
		{Ago(now, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)), "in 106,751 d"},
		{Ago(now, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)), "106,751 d ago"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}
