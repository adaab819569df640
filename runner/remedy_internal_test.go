package runner

import (
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/remedy"
)

// TestAdviceIsBounded keeps a batch of strangers from filling the screen.
func TestAdviceIsBounded(t *testing.T) {
	err := &sandtrail.Error{Code: sandtrail.CodeInvalid}
	for _, id := range strings.Split(strings.Repeat("u,", 3*maxAdvice), ",") {
		err.With(sandtrail.Remedy{Act: remedy.AddUser, Value: id})
	}
	if got := strings.Count(advice(err), "\n"); got != 3 {
		t.Errorf("the same remedy is offered more than once:\n%s", advice(err))
	}
	for i := range 3 * maxAdvice {
		err.With(sandtrail.Remedy{Act: remedy.AddUser, Value: strings.Repeat("x", i+1)})
	}
	if got := strings.Count(advice(err), "\n"); got != maxAdvice+2 {
		t.Errorf("%d lines:\n%s", got, advice(err))
	}
}
