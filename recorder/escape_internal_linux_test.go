package recorder

import (
	"os/exec"
	"testing"
)

// While a process ends, the kernel shows it at the root of every cgroup v1. The
// more memory it gives back, the longer that takes. It has not left.
func TestWhoEndsHasNotLeftTheCage(t *testing.T) {
	tree, err := newTree(Command{OwnProcess: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tree.close(); err != nil {
			t.Error(err)
		}
	}()
	if tree.group == nil {
		t.Log("there is no cage on this machine")
		return
	}
	const storm = `i=0; while [ $i -lt 25 ]; do head -c 20000000 /dev/zero | tail -c 20000000 >/dev/null; i=$((i+1)); done`
	if err := tree.start(exec.Command("sh", "-c", storm), Limits{}); err != nil {
		t.Fatal(err)
	}
	looks := 0
	for ; !tree.hasEnded(); looks++ {
		tree.findEscaped()
	}
	if len(tree.escaped) > 0 {
		t.Errorf("%d processes are said to have left, in %d looks: %v", len(tree.escaped), looks, tree.escaped)
	}
}
