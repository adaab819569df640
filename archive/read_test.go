package archive

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail"
)

// likelyAndOdd makes executions of every form that a column can have.
func likelyAndOdd(n int) []sandtrail.Execution {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]sandtrail.Execution, n)
	for i := range all {
		at := time.Date(2026, 11, 24, 12, 0, 0, i*1e6, time.UTC)
		e := sandtrail.Execution{
			ID: sandtrail.NewID(at), UserID: fmt.Sprintf("user %d", random.IntN(1+i)), StrategyID: "s", Type: sandtrail.Terminal,
			Success: random.IntN(2) == 0, TimedOut: random.IntN(9) == 0, ExecutionTime: random.IntN(1 << 30), ErrorCount: random.IntN(3), CreatedAt: at,
		}
		if random.IntN(3) > 0 {
			memory, cpu := random.IntN(1<<30), random.Float64()*200
			e.MemoryUsed, e.CPUUsage = &memory, &cpu
		}
		if random.IntN(3) > 0 {
			e.Classes = strings.Fields(strings.Repeat("Ünïcode ", random.IntN(4)))
			e.Metadata = fmt.Appendf(nil, `{"pad":"%s"}`, strings.Repeat("é", random.IntN(1+random.IntN(5000))))
		}
		all[i] = e
	}
	return all
}

// TestArchivesAreReadAsTheyWereWritten compares what is written with a library and
// what is read without it.
func TestArchivesAreReadAsTheyWereWritten(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 8, 9, 300, 3_000} {
		for _, form := range []struct {
			name   string
			change func(i int, e *sandtrail.Execution)
		}{
			{"as they come", func(int, *sandtrail.Execution) {}},
			{"nothing measured", func(_ int, e *sandtrail.Execution) {
				e.MemoryUsed, e.CPUUsage, e.Classes, e.Metadata = nil, nil, nil, nil
			}},
			{"all alike", func(_ int, e *sandtrail.Execution) {
				memory := 7
				e.MemoryUsed, e.Metadata, e.UserID, e.Classes = &memory, []byte(`{}`), "", []string{}
			}},
		} {
			if n > 1000 && form.name != "as they come" {
				continue
			}
			want := likelyAndOdd(n)
			var b bytes.Buffer
			out := NewWriter(&b)
			for i := range want {
				form.change(i, &want[i])
				if err := out.Write(want[i : i+1]); err != nil {
					t.Fatal(err)
				}
			}
			if err := out.Close(); err != nil {
				t.Fatal(err)
			}
			got := make([]sandtrail.Execution, 0, n)
			err := eachArchived(t.Context(), bytes.NewReader(b.Bytes()), int64(b.Len()), func(e sandtrail.Execution) { got = append(got, e) })
			if err != nil {
				t.Errorf("%d executions, %s: %v", n, form.name, err)
			} else if !reflect.DeepEqual(want, got) {
				t.Errorf("%d executions, %s:\n%.2000s", n, form.name, cmp.Diff(want, got))
			}
		}
	}
}
