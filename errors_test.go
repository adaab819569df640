package sandtrail_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sandtrail/sandtrail"
)

// A code matches each error of it; another target matches itself alone.
func TestTargetsOfErrors(t *testing.T) {
	gone := sandtrail.Errorf(sandtrail.CodeUnavailable, "the table is gone")
	away := sandtrail.Errorf(sandtrail.CodeUnavailable, "the server is away")
	private := &sandtrail.Error{Code: sandtrail.CodeUnavailable, Private: "10.0.0.1"}
	for _, tt := range []struct {
		err, target error
		want        bool
	}{
		{gone, sandtrail.CodeUnavailable, true},
		{fmt.Errorf("open: %w", gone), sandtrail.CodeUnavailable, true},
		{fmt.Errorf("open: %w", gone), gone, true},
		{sandtrail.CodeUnavailable, sandtrail.CodeUnavailable, true},
		{gone, sandtrail.CodeInvalid, false},
		{away, gone, false},
		{sandtrail.CodeUnavailable, gone, false},
		{gone, private, false},
		{gone, errors.New("the table is gone"), false},
	} {
		if got := errors.Is(tt.err, tt.target); got != tt.want {
			t.Errorf("errors.Is(%q, %q): %t", tt.err, tt.target, got)
		}
	}
}
