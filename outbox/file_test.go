package outbox

import (
	"bytes"
	"testing"

	"github.com/sandtrail/sandtrail"
)

// FuzzDecode checks that whatever is accepted is exactly what encode writes.
func FuzzDecode(f *testing.F) {
	success, elapsed := true, 12
	d := sandtrail.Draft{
		ID: sandtrail.ID{1}, UserID: "u", StrategyID: "s", Type: sandtrail.Validation, Success: &success, ExecutionTime: &elapsed,
	}
	for n := range 3 {
		raw, err := encode([]sandtrail.Draft{d, d, d}[:n])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		drafts, err := decode(raw)
		if err != nil {
			return
		}
		again, err := encode(drafts)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decode(again); err != nil || len(back) != len(drafts) {
			t.Errorf("%d records became %d, %v", len(drafts), len(back), err)
		}
		if len(drafts) == 0 && !bytes.Equal(raw, again) {
			t.Errorf("an empty batch in other bytes: %q", raw)
		}
	})
}
