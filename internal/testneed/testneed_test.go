package testneed_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sandtrail/sandtrail/internal/testneed"
)

const lackEnv = "SANDTRAIL_TEST_LACK"

func TestMain(m *testing.M) {
	if lack := os.Getenv(lackEnv); lack != "" {
		if err := testneed.LeaveOut("^ExampleLeaveOut$", errors.New(lack)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func ExampleLeaveOut() {
	fmt.Println("runs")
	// Output: runs
}

func TestExamplesAreLeftOut(t *testing.T) {
	const lack = "no server here"
	for _, tt := range []struct {
		ci, lack, flag string
		runs, ok       bool
	}{
		{"", "", "-test.v", true, true},
		{"true", "", "-test.v", true, true},
		{"", lack, "-test.v", false, true},
		{"", lack, "-test.skip=^TestOther$", false, true},
		{"true", lack, "-test.v", false, false},
	} {
		cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^Example", tt.flag)
		cmd.Env = append(os.Environ(), "CI="+tt.ci, lackEnv+"="+tt.lack)
		out, err := cmd.CombinedOutput()
		if runs := strings.Contains(string(out), "--- PASS: ExampleLeaveOut"); runs != tt.runs || (err == nil) != tt.ok {
			t.Errorf("%+v: %v\n%s", tt, err, out)
		}
		if tt.lack != "" && !strings.Contains(string(out), tt.lack) {
			t.Errorf("%+v: the lack is not told:\n%s", tt, out)
		}
	}
}
