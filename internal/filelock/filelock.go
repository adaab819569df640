// Package filelock locks open files against other processes. The system gives
// a lock back when its holder closes the file or dies.
package filelock

import (
	"errors"
	"fmt"
	"os"
)

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("another process holds the lock")

// Lock keeps other processes from locking the file; it waits until
// it can.
func Lock(f *os.File) error { return wrap(f, lock(f, true)) }

// TryLock fails with ErrLocked where Lock would wait.
func TryLock(f *os.File) error { return wrap(f, lock(f, false)) }

func wrap(f *os.File, err error) error {
	if err == nil || errors.Is(err, ErrLocked) {
		return err
	}
	return fmt.Errorf("lock %s: %w", f.Name(), err)
}
