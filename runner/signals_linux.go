package runner

import (
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that are for the command, without those that we
// were started to ignore, as nohup does: the command ignores them too.
func forwarded() []os.Signal {
	all := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}
	return slices.DeleteFunc(all, signal.Ignored)
}

// survived are the signals that must not end us before the run is recorded:
// that our output is read no longer, that a session's file has reached the
// limit on files. (To ignore them would have the command ignore them too.)
var survived = []os.Signal{syscall.SIGPIPE, syscall.SIGXFSZ}

// isOpen reports whether a descriptor above standard error is open.
func isOpen(fd int) bool {
	if fd < 3 {
		return false
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}
