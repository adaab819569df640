package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullDisk runs a command that fills the disk on which its record is to be
// kept. The exit status stays the command's, the loss is told at once, and the
// run is in the trail once there is room again.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("no disk to be filled: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	database := "sqlite:" + filepath.Join(disk, "sandtrail.db")
	prepare(t, database)
	call := func(args ...string) (string, int) {
		cmd := sandtrailCommand(t, database, args...)
		cmd.Env = append(cmd.Env, "SANDTRAIL_OUTBOX="+filepath.Join(disk, "outbox"))
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		_ = cmd.Run() // its status is compared
		return said.String(), cmd.ProcessState.ExitCode()
	}
	full := filepath.Join(disk, "full")
	said, status := call("exec", "--user", "ada", "--strategy", "momentum", "--", "sh", "-c",
		"dd if=/dev/zero of="+full+" bs=4k 2>/dev/null; exit 3")
	if status != 3 || !strings.Contains(said, "records it as lost") ||
		!strings.Contains(said, "make room and repeat") || !strings.Contains(said, "make room there") {
		t.Errorf("status %d, said %s", status, said)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if said, status := call("outbox", "flush"); status != 0 {
		t.Errorf("status %d, said %s", status, said)
	}
	if said, _ := call("list", "-o", "ndjson"); strings.Count(said, `"status":"lost"`) != 1 {
		t.Errorf("the trail holds %s", said)
	}
}
