package runner_test

import (
	"testing"

	"github.com/sandtrail/sandtrail/runner"
)

func TestCheckText(t *testing.T) {
	if err := runner.CheckText([]string{"exec", "--user", "größe", "--", "echo", "a\xff"}); err != nil {
		t.Errorf("the command's own arguments are refused: %v", err)
	}
	if err := runner.CheckText([]string{"exec", "--user", "a\xff", "--", "true"}); err == nil {
		t.Error("an id that no record can hold is taken")
	}
}
