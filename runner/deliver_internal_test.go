package runner

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/cmdline"
)

// A delivery that takes too long names the flag that says how long it may take.
func TestLateDeliveryNamesItsLimit(t *testing.T) {
	var said bytes.Buffer
	r := &run{
		Flags: &Flags{DeliverWait: cmdline.Duration(time.Millisecond)},
		Program: &Program{Name: "sandtrail", Err: &said, Now: time.Now, Open: func(ctx context.Context) (sandtrail.Appender, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("POST /v1/executions: %w", ctx.Err())
		}},
	}
	r.settle(t.Context(), sandtrail.Draft{
		UserID: "ada", StrategyID: "momentum", Type: sandtrail.Validation, Success: new(true), ExecutionTime: new(1),
	})
	if want := "the store has not taken it within 1ms (--deliver-wait)"; !strings.Contains(said.String(), want) {
		t.Errorf("said %q", said.String())
	}
}
