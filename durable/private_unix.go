//go:build unix

package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openFlags keep the opening of a pipe from waiting for its other end.
const openFlags = syscall.O_NONBLOCK

// noFollow refuses a link in the last place of a path.
const noFollow = syscall.O_NOFOLLOW

// checkPrivate refuses a folder into which another user could put files.
func checkPrivate(dir string, info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to user %d, this program runs as user %d; run it as that user, or name another folder",
			ErrNotPrivate, dir, stat.Uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%w: others may write to %s (mode %04o); run chmod go-w on it, or name another folder",
			ErrNotPrivate, dir, info.Mode().Perm())
	}
	return nil
}

func isLink(err error) bool { return errors.Is(err, syscall.ELOOP) }
