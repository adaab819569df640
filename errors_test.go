package sandtrail_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sandtrail/sandtrail"
)

// A target that is a code alone matches all of that code; one that says more is
// an error of its own, which others of its code are not.
func TestTargetsOfErrors(t *testing.T) {
	gone := sandtrail.Errorf(sandtrail.CodeUnavailable, "the table is gone")
	away := sandtrail.Errorf(sandtrail.CodeUnavailable, "the server is away")
	private := &sandtrail.Error{Code: sandtrail.CodeUnavailable, Private: "10.0.0.1"}
	for _, tt := range []struct {
		err, target error
		want        bool
	}{
		{gone, sandtrail.ErrUnavailable, true},
		{fmt.Errorf("open: %w", gone), sandtrail.ErrUnavailable, true},
		{fmt.Errorf("open: %w", gone), gone, true},
		{sandtrail.ErrUnavailable, sandtrail.ErrUnavailable, true},
		{gone, sandtrail.ErrInvalid, false},
		{away, gone, false},
		{sandtrail.ErrUnavailable, gone, false},
		{gone, private, false},
		{gone, errors.New("the table is gone"), false},
	} {
		if got := errors.Is(tt.err, tt.target); got != tt.want {
			t.Errorf("errors.Is(%q, %q): %t", tt.err, tt.target, got)
		}
	}
}
