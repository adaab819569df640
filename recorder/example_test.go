//go:build linux

package recorder_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/recorder"
)

func ExampleRun() {
	r, err := recorder.Run(context.Background(), recorder.Command{
		Args:    []string{"sh", "-c", `echo checking; echo '{"success":true,"errors":[],"classes_found":["Momentum"]}'`},
		Stderr:  os.Stderr,
		Timeout: 30 * time.Second,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	draft := r.Draft("ada", "momentum", sandtrail.Validation)
	fmt.Println(r.Status, r.ExitStatus(), *draft.Success, draft.Classes)
	// Output: exited 0 true [Momentum]
}
