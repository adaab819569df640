package outbox_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// opens counts which files below a directory are opened while something runs,
// by anyone.
func opens(t *testing.T, dir string, run func()) (records, others int) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	check(t, err)
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	for _, sub := range []string{"", "refused", "damaged", "started", "dropped"} {
		_, err := unix.InotifyAddWatch(fd, filepath.Join(dir, sub), unix.IN_OPEN)
		check(t, err)
	}
	run()
	raw := make([]byte, 1<<20)
	n, err := unix.Read(fd, raw)
	if err == unix.EAGAIN {
		return 0, 0
	}
	check(t, err)
	for raw = raw[:n]; len(raw) > 0; {
		var event unix.InotifyEvent
		check(t, binary.Read(bytes.NewReader(raw), binary.NativeEndian, &event))
		if event.Mask&unix.IN_Q_OVERFLOW != 0 {
			t.Fatal("more files were opened than can be counted")
		}
		end := unix.SizeofInotifyEvent + int(event.Len)
		name := string(bytes.TrimRight(raw[unix.SizeofInotifyEvent:end], "\x00"))
		if strings.HasSuffix(name, ".records") {
			records++
		} else {
			others++
		}
		raw = raw[end:]
	}
	return records, others
}
