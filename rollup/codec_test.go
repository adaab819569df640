package rollup

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sandtrail/sandtrail"
)

func sampleDay(seed uint64, n, spread int) *Day {
	r := rand.New(rand.NewPCG(7, seed))
	var day Day
	for range n {
		c := randomChange(r, 1, spread)
		c.CreatedAt = DateOf(noon).Time().Add(c.CreatedAt.Sub(noon) + 24*60*60*1e9)
		day.Apply(c)
		if r.IntN(3) == 0 {
			c.Sign, c.Retired = -1, r.IntN(2) == 0
			day.Apply(c)
		}
	}
	return &day
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 50, 2000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			want := sampleDay(uint64(n), n, 1<<20)
			var got Day
			check(t, got.UnmarshalSummary(want.MarshalSummary()))
			check(t, got.UnmarshalSlots(want.MarshalSlots()))
			if diff := cmp.Diff(*want, got, cellOptions); diff != "" {
				t.Errorf("day (-want +got)\n%s", diff)
			}
			var cell Cell
			b, err := want.Summary.Live.MarshalBinary()
			check(t, err)
			check(t, cell.UnmarshalBinary(b))
			if diff := cmp.Diff(want.Summary.Live, cell, cellOptions); diff != "" {
				t.Errorf("cell (-want +got)\n%s", diff)
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	good := sampleDay(1, 20, 100).MarshalSlots()
	tests := map[string][]byte{
		"unknown version": {9},
		"cut short":       good[:len(good)-1],
		"trailing bytes":  append(good[:len(good):len(good)], 0),
		"slot out of day": {version, 1, SlotsPerDay, 0, 0},
		"slots unordered": {version, 2, 5, 0, 0, 4, 0, 0},
		"unknown kind":    {version, 1, 0, 7, 0},
		"too many bins":   {version, 1, 0, exactCell, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0x03},
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			var day Day
			if err := day.UnmarshalSlots(b); err == nil {
				t.Error("no error")
			}
		})
	}
}

func FuzzCodec(f *testing.F) {
	for _, n := range []int{0, 1, 300} {
		day := sampleDay(uint64(n), n, 1<<16)
		total, _ := day.Summary.Live.MarshalBinary()
		f.Add(total)
		f.Add(day.MarshalSummary())
		f.Add(day.MarshalSlots())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var cell, cell2 Cell
		if cell.UnmarshalBinary(b) == nil {
			again, _ := cell.MarshalBinary()
			check(t, cell2.UnmarshalBinary(again))
			cell2.Merge(cell)
			cell2.Quantile(95)
		}
		var day, day2 Day
		if day.UnmarshalSummary(b) == nil {
			check(t, day2.UnmarshalSummary(day.MarshalSummary()))
		}
		if day.UnmarshalSlots(b) == nil {
			check(t, day2.UnmarshalSlots(day.MarshalSlots()))
			day2.Merge(&day)
		}
	})
}

// TestDaysCountedAnew reads a day of version 1, of which three live records and
// a retired one are in one slot.
func TestDaysCountedAnew(t *testing.T) {
	part, err := hex.DecodeString("01060600d08c0106a001068090bcfd02000003d00f02a01f02a01f0201020200a01f0228028084af5f000001a01f02")
	check(t, err)
	var day Day
	if err := day.UnmarshalSummary(append([]byte{1}, part...)); sandtrail.CodeOf(err) != sandtrail.CodeUnavailable {
		t.Errorf("before a migration: %v", err)
	}
	check(t, day.UnmarshalSummary(append([]byte{recounted}, part...)))
	check(t, day.UnmarshalSlots(append([]byte{recounted, 1, 48}, part...)))
	for _, p := range []Part{day.Summary, day.Slot(48)} {
		if !p.Live.IsEmpty() || p.Retired.Total != 1 || p.Retired.Memory != 20 || p.Retired.Costs() != (sandtrail.Costs{}) {
			t.Errorf("got %+v", p)
		}
	}
}

// TestWideSums adds the greatest costs that a table can hold, and takes them away.
func TestWideSums(t *testing.T) {
	most, cpu := sandtrail.MaxInt, sandtrail.MaxCPUUsage
	greatest := Change{Sign: 1, ExecutionTime: most, MemoryUsed: &most, CPUUsage: &cpu}
	var cell Cell
	for range 1000 {
		cell.Add(greatest)
	}
	seconds := float64(most) / 1e3
	want := sandtrail.Costs{CPUSeconds: ptr(seconds * 1e4 * 1000), MemoryMiBSeconds: ptr(seconds * float64(most) * 1000)}
	if diff := cmp.Diff(want, cell.Costs(), cmpopts.EquateApprox(1e-15, 0)); diff != "" {
		t.Errorf("costs (-want +got)\n%s", diff)
	}
	for range 1000 {
		cell.Sub(greatest)
	}
	if !cell.IsEmpty() {
		t.Errorf("left: %+v", cell.Counts)
	}
}
